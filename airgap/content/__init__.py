"""Places that hold content: the protocols that all of them follow, and the simple ones."""
