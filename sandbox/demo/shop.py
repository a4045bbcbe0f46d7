"""The web app's part: sends each order until it is accepted, receives outcomes, forwards webhooks.

It knows Celery and the contract, and nothing of the worker's code.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from kombu import Exchange, Queue
from kombu.simple import SimpleQueue

from sandbox.demo.kinds import Kind

HEARD = ("order.accepted", "order.dead_lettered")
ENDS = ("order.confirmed", "order.cancelled", "order.dead_lettered")
REPEAT_SECONDS = 3.0


@dataclass
class Sale:
    """One paid order and its outcomes; `latest` is the outcome with the highest sequence."""

    kind: Kind
    made: dict[str, Any]
    reference: str
    sends: int = 0
    sent_at: float = 0.0
    heard: set[str] = field(default_factory=set)
    latest: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.made["supplier"], self.made["order_id"]

    @property
    def accepted(self) -> bool:
        return bool(self.heard.intersection(HEARD))

    @property
    def ended(self) -> bool:
        return bool(self.heard.intersection(ENDS))


class Shop:
    """Sends on the caller's thread and listens on its own.

    `tracking(supplier, order_id)` gives the webhook that the supplier would send for an order.
    """

    def __init__(self, url: str, queue: str, tracking: Callable[[str, str], Any]) -> None:
        self.app = Celery("shop", broker=url, set_as_current=False)
        self.queue = Queue(queue, Exchange(queue), routing_key=queue)
        self.tracking = tracking
        self.sales: dict[tuple[str, str], Sale] = {}
        self.outcomes: set[str] = set()
        self._stop = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="outcomes", daemon=True)

    def open(self, sales: list[Sale]) -> None:
        """Starts to listen, before the first order is sent."""
        self.sales = {sale.key: sale for sale in sales}
        self._listener.start()

    def close(self) -> None:
        """Stops listening."""
        self._stop.set()
        if self._listener.ident:
            self._listener.join(5)
        self.app.close()

    def send(self, sale: Sale) -> None:
        """Sends `orders.confirm`; a repeat is the same message and harmless."""
        made = sale.made
        request = {name: made[name] for name in ("supplier", "order_id", "amount", "currency")}
        if made["supplier"] == "relograde":
            request["created_at"] = made["created_at"]
        sale.sends, sale.sent_at = sale.sends + 1, time.monotonic()
        self._publish("orders.confirm", reference=sale.reference, **request)

    def repeat(self) -> None:
        """Sends the orders again that were sent a while ago and are not accepted yet."""
        late = time.monotonic() - REPEAT_SECONDS
        for sale in self.sales.values():
            if sale.sends and not sale.accepted and sale.sent_at < late:
                self.send(sale)

    def _publish(self, task: str, **arguments: Any) -> None:
        self.app.send_task(task, kwargs=arguments, queue="orders", ignore_result=True)

    def _listen(self) -> None:
        with (
            self.app.connection_for_read() as connection,
            SimpleQueue(connection, self.queue) as queue,
        ):
            while not self._stop.is_set():
                try:
                    message = queue.get(timeout=0.5)
                except queue.Empty:
                    continue
                self._receive(message.payload[1]["outcome"])
                message.ack()

    def _receive(self, outcome: dict[str, Any]) -> None:
        """Keeps the outcome, then acknowledges it: a crash between the two must not lose it."""
        new = outcome["id"] not in self.outcomes
        self.outcomes.add(outcome["id"])
        if new:
            self._keep(outcome)
        self._publish("outcomes.acknowledge", id=outcome["id"])
        if new and outcome["type"] == "order.confirmed" and outcome["data"]["inferred"]:
            self._forward_webhook(outcome["data"])

    def _keep(self, outcome: dict[str, Any]) -> None:
        data = outcome["data"]
        sale = self.sales.get((data["supplier"], data["order_id"]))
        if sale is None or data["sequence"] is None:
            return
        sale.heard.add(outcome["type"])
        if data["sequence"] > sale.latest.get("sequence", -1):
            sale.latest = data

    def _forward_webhook(self, data: dict[str, Any]) -> None:
        """Asks the sandbox for the webhook: an inferred confirmation has no tracking code yet."""
        webhook = self.tracking(data["supplier"], data["order_id"])
        self._publish("webhooks.logitrail", payload=webhook)
