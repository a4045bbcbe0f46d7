"""`make demo`: paid orders of every kind over both suppliers, confirmed by real workers and judged
by the books.
"""
