"""Hands one paid order over, and repeats until Countersign has said that it has it. Needs only
celery.

REDIS_URL=... OUTCOME_QUEUE=... python send_order.py relograde RELO0TFQK8FXQXSPURM shop-1042
2026-11-22T09:30:00Z
"""

import os
import sys
import time

from celery import Celery

app = Celery("shop", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
HEARD = ("order.accepted", "order.dead_lettered")


def outcomes(queue, seconds):
    """What Countersign tells.

    A shop stores each one under its id, as it may come twice, and then acknowledges it.
    """
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        try:
            message = queue.get(timeout=left)
        except queue.Empty:
            return
        outcome = message.payload[1]["outcome"]
        app.send_task("outcomes.acknowledge", kwargs={"id": outcome["id"]}, queue="orders")
        message.ack()
        yield outcome


def hand_over(order):
    """Returns the outcome that says that the order is in good hands, or why it is not."""
    with (
        app.connection_for_read() as link,
        link.SimpleQueue(os.environ.get("OUTCOME_QUEUE", "outcomes")) as queue,
    ):
        while True:  # a broker can lose a message; the same one again changes nothing
            app.send_task("orders.confirm", kwargs=order, queue="orders")
            for told in outcomes(queue, seconds=5):
                if told["data"]["reference"] == order["reference"] and told["type"] in HEARD:
                    return told


if __name__ == "__main__":
    print(
        hand_over(
            dict(
                zip(("supplier", "order_id", "reference", "created_at"), sys.argv[1:], strict=False)
            )
        )["type"]
    )
