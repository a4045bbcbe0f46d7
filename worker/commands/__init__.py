"""`celery -A worker orders | dead-letters | lanes | doctor`, each with `--json` for machines."""
