"""Users of the embedded registry: who they are, what they may do, and how they prove it.

The files in the folder of the users are standard ones that other tools may read and write;
`htpasswd`, `groups` and `rules` are pure, `users` reads and writes them, and `guard` brings
everything together.
"""
