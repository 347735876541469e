"""What a side writes down: inventories, lock files, receipts and the log. Values and bytes only."""
