"""Hands an order over until Countersign has it: SUPPLIER ORDER_ID REFERENCE [CREATED_AT]."""

import os
import sys
import time

from celery import Celery

app = Celery("shop", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
TOLD = os.environ.get("OUTCOME_QUEUE", "outcomes")


def outcomes(queue, seconds):
    """A shop stores each outcome under its id, as it may come twice, and then acknowledges it."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            message = queue.get(timeout=seconds)
        except queue.Empty:
            return
        outcome = message.payload[1]["outcome"]
        app.send_task("outcomes.acknowledge", kwargs={"id": outcome["id"]}, queue="orders")
        message.ack()
        yield outcome


def hand_over(order):
    """Returns the outcome that says that the order is in good hands, or why it is not."""
    with app.connection_for_read() as link, link.SimpleQueue(TOLD) as queue:
        while True:  # a broker can lose a message; the same one again changes nothing
            app.send_task("orders.confirm", kwargs=order, queue="orders")
            for told in outcomes(queue, seconds=5):
                heard = told["type"] in ("order.accepted", "order.dead_lettered")
                if heard and told["data"]["reference"] == order["reference"]:
                    return told


if __name__ == "__main__":
    fields = ("supplier", "order_id", "reference", "created_at")
    print(hand_over(dict(zip(fields, sys.argv[1:], strict=False)))["type"])
