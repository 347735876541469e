"""Moving a graph of content from one place to another: decided first, done second.

`plan`, `platforms` and `destination` are pure; `copy` holds the only loop that moves bytes.
"""
