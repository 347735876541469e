"""What the project generates about itself; nothing here is installed."""
