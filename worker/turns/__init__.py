"""Whoever makes a supplier call, and who starts it."""
