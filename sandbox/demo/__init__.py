"""`make demo`: paid orders of every kind, confirmed by real workers and judged by the books."""
