"""Both suppliers on loopback, over real HTTP, with books of their own.

These books judge the worker, so nothing here imports `worker`, `tasks` or `schemas`: the two sides
share the wire and no line of code.
"""
