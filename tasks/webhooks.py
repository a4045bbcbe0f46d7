"""The doors for suppliers' webhooks, after the web app has checked where they came from."""

from typing import Any

from tasks.base import Door
from worker.celery import app


@app.task(name="webhooks.relograde", base=Door, bind=True)
def relograde(self: Door, *args: Any, **kwargs: Any) -> None:
    """A hint only: the order is read before anything is believed."""
    self.receive(args, kwargs)


@app.task(name="webhooks.logitrail", base=Door, bind=True)
def logitrail(self: Door, *args: Any, **kwargs: Any) -> None:
    """One event or a list of up to 100; may carry status and tracking."""
    self.receive(args, kwargs)
