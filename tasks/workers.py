"""The message that a worker sends to itself, to see that it still hears."""

from worker.celery import app, progress


@app.task(name="workers.beat", send_events=False)
def beat() -> None:
    """This worker has taken a message."""
    progress.note()
