"""The door for the web app's receipt."""

from typing import Any

from tasks.base import Door
from worker.celery import app


@app.task(name="outcomes.acknowledge", base=Door, bind=True)
def acknowledge(self: Door, *args: Any, **kwargs: Any) -> None:
    """The web app has taken this outcome."""
    self.receive(args, kwargs)
