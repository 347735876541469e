"""Pages for people: what the registry holds, how to get it, and a way to bring bundles in.

They work on the same depot and guard as the registry's API, show only what their visitor may pull,
ask no other machine for anything, and can be read without JavaScript.
"""
