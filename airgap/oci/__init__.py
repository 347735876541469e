"""The OCI image and distribution specifications as values: no I/O happens in this package.

Sources: image-spec v1.1.1 and distribution-spec v1.1.1, named by section where a fact comes from.
"""
