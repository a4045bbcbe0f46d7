"""What every door shares: hidden arguments, and a message that waits while the ledger is away."""

import logging
import time
from typing import Any

import redis
from celery import Task
from celery.exceptions import Reject

from worker.service import service

log = logging.getLogger("countersign.tasks")


class Door(Task):
    """A task that the web app sends by name."""

    Request = "worker.process.consumer:Request"
    typing = False

    def receive(self, args: Any, kwargs: Any) -> None:
        """Hands the message over; while the ledger is away it goes back to the queue."""
        try:
            service().doors.receive(self.name, args, kwargs)
        except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
            back_to_the_queue(error)


def back_to_the_queue(error: redis.RedisError) -> None:
    """Not acknowledged: the broker delivers it again."""
    log.error("ledger_unreachable", extra={"fields": {"error": type(error).__name__}})
    time.sleep(1)
    raise Reject(type(error).__name__, requeue=True) from None
