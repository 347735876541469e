"""The bundle: one tar that is an OCI image layout, a docker archive and random-access.

docs/bundle-format.md is the normative description. Planning is pure and knows no file; which
modules those are stands in setup.cfg, as a contract.
"""
