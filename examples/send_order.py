"""Sends one paid order, and repeats until Countersign has answered. Needs only celery.

REDIS_URL=... python send_order.py relograde RELO0TFQK8FXQXSPURM shop-1042 2026-11-22T09:30:00Z"""

import os
import sys
import time
from contextlib import suppress

from celery import Celery

app = Celery("shop", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
FINAL = ("order.accepted", "order.dead_lettered")


def outcomes(queue, seconds):
    """Outcomes of the next `seconds`. A shop stores each by its id, then acknowledges it."""
    ends = time.monotonic() + seconds
    with suppress(queue.Empty):
        while (left := ends - time.monotonic()) > 0:
            message = queue.get(timeout=left)
            outcome = message.payload[1]["outcome"]
            app.send_task("outcomes.acknowledge", kwargs={"id": outcome["id"]}, queue="orders")
            message.ack()
            yield outcome


def hand_over(order):
    """Returns the outcome that says whether Countersign has the order."""
    queue = app.connection_for_read().SimpleQueue(os.environ.get("OUTCOME_QUEUE", "outcomes"))
    while True:  # A broker can lose a message; the same message again changes nothing.
        app.send_task("orders.confirm", kwargs=order, queue="orders")
        for outcome in outcomes(queue, seconds=5):
            if outcome["data"]["reference"] == order["reference"] and outcome["type"] in FINAL:
                return outcome


if __name__ == "__main__":
    names = ("supplier", "order_id", "reference", "created_at")
    print(hand_over(dict(zip(names, sys.argv[1:], strict=False)))["type"])
