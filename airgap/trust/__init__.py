"""Keys, signatures and what is demanded of them. Nothing here ever contacts a network."""
