"""What Celery and the operating system need: consumer, broker, health, logs."""
