"""The embedded registry: the distribution specification over any depot.

No module but those of this package knows the web framework.
"""
