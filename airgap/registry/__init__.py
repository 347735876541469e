"""The distribution-spec client: blocking, for threads, one file per resource.

`client.Client` is what others open; `repository.Repository` is a place like any other. Nothing here
reads the environment, prints or knows a command line.
"""
