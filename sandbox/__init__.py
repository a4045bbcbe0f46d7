"""Both suppliers on loopback, over real HTTP, with books of their own.

The worker is judged by what the suppliers saw, not by what the worker says, so nothing here imports
`worker`, `tasks` or `schemas`: the two sides share the wire and `suppliers.md`, and no line of
code.
"""
