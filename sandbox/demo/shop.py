"""The web app's part: sends each order by name until it has heard of it, takes the outcomes, passes
webhooks on.

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
    """One paid order, and what the shop was told of it.

    `latest` is the one with the highest sequence.
    """

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
    """Sends and listens, on one thread each.

    `tracking` gives the webhook that a supplier would send for an order.
    """

    def __init__(self, url: str, queue: str, tracking: Callable[[str, str], Any]) -> None:
        self.app = Celery("shop", broker=url, set_as_current=False)
        self.queue = Queue(queue, Exchange(queue), routing_key=queue)
        self.tracking = tracking
        self.sales: dict[tuple[str, str], Sale] = {}
        self.doubled = 0
        self.outcomes: set[str] = set()
        self._stop = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="outcomes", daemon=True)

    def open(self, sales: list[Sale]) -> None:
        """Begins to listen, before the first order is sent."""
        self.sales = {sale.key: sale for sale in sales}
        self._listener.start()

    def close(self) -> None:
        """Stops listening."""
        self._stop.set()
        if self._listener.ident:
            self._listener.join(5)
        self.app.close()

    def send(self, sale: Sale) -> None:
        """One `orders.confirm`. A repeat is the same message again, which is harmless."""
        made = sale.made
        request = {name: made[name] for name in ("supplier", "order_id", "amount", "currency")}
        if made["supplier"] == "relograde":
            request["created_at"] = made["created_at"]
        sale.sends, sale.sent_at = sale.sends + 1, time.monotonic()
        self._tell("orders.confirm", reference=sale.reference, **request)

    def repeat(self) -> None:
        """Sends again what was sent a while ago and has not been heard of."""
        late = time.monotonic() - REPEAT_SECONDS
        for sale in self.sales.values():
            if sale.sends and not sale.accepted and sale.sent_at < late:
                self.send(sale)

    def _tell(self, task: str, **arguments: Any) -> None:
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
                self._take(message.payload[1]["outcome"])
                message.ack()

    def _take(self, outcome: dict[str, Any]) -> None:
        """Keeps it, then acknowledges it: in the other order a crash between the two would lose
        it.
        """
        data = outcome["data"]
        sale = self.sales.get((data["supplier"], data["order_id"]))
        new = outcome["id"] not in self.outcomes
        self.doubled += not new
        self.outcomes.add(outcome["id"])
        if sale is not None and new and data["sequence"] is not None:
            sale.heard.add(outcome["type"])
            if data["sequence"] > sale.latest.get("sequence", -1):
                sale.latest = data
        self._tell("outcomes.acknowledge", id=outcome["id"])
        if new and outcome["type"] == "order.confirmed" and data["inferred"]:
            self._tell(
                "webhooks.logitrail", payload=self.tracking(data["supplier"], data["order_id"])
            )
