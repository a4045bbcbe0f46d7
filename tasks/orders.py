"""The doors to an order, and the doorbell that the dispatcher rings."""

import logging
from typing import Any

import redis

from tasks.base import Door
from worker.celery import app
from worker.service import service

log = logging.getLogger("countersign.tasks")


@app.task(name="orders.confirm", base=Door, bind=True)
def confirm(self: Door, *args: Any, **kwargs: Any) -> None:
    """The payment of an order cleared: confirm it with its supplier."""
    self.receive(args, kwargs)


@app.task(name="orders.hint", base=Door, bind=True)
def hint(self: Door, *args: Any, **kwargs: Any) -> None:
    """Something changed at the supplier: look at this order now."""
    self.receive(args, kwargs)


@app.task(name="orders.withdraw", base=Door, bind=True)
def withdraw(self: Door, *args: Any, **kwargs: Any) -> None:
    """Do not confirm this order, if it is not too late for that."""
    self.receive(args, kwargs)


@app.task(name="orders.step", Request="worker.process.consumer:Request")
def step(supplier: str, order_id: str) -> None:
    """A doorbell: look at this order.

    The ledger knows everything else, and rings again if this comes to nothing.
    """
    try:
        service().threads.step(supplier, order_id)
    except redis.RedisError as error:
        log.error("ledger_unreachable", extra={"fields": {"error": type(error).__name__}})
