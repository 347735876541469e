"""The bundle: one tar that is an OCI image layout, a docker archive and random-access.

docs/bundle-format.md is the normative description. `catalog`, `placement`, `members`, `layout`,
`engines` and `relocation` are pure; `writer`, `reader`, `stream`, `check` and `journal` do I/O.
"""
