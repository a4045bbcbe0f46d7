"""`celery -A worker orders | dead-letters | lanes | doctor`: for people, and with `--json` for
machines.
"""
