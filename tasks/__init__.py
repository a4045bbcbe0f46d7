"""Doors: thin Celery tasks. May import `worker` and `schemas`."""
