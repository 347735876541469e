"""The command line: it parses, calls one function of the engine and shows what came of it.

`main` is the entry and the only place that ends the process, `settings` the only one that reads
the environment. Commands are loaded when they are used.
"""
