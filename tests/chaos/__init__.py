"""Real processes, a real Redis, suppliers over TCP: kill, freeze, cut and restart, then judge by
the books.
"""
