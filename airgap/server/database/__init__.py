"""What a registry knows of its content, in SQLite or PostgreSQL.

The database never holds content: that lies in the data folder as an image layout. A row that
names content is written after the content is durable, and content is removed after no row names
it any more. So whatever a row says is there, is there.
"""
