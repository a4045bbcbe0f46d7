"""The web app in the storm: it repeats until it has heard, acknowledges what it takes, and survives
its broker.
"""

import base64
import json
import threading
import time
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError

HEARD = ("order.accepted", "order.dead_lettered")
REPEAT_SECONDS = 3.0
LONGEST_REPEAT = 30.0
"""A sender that repeats ever faster than it is heard would only feed an overload."""


class Shop:
    """Sends `orders.confirm` for each order until it has heard of it; remembers all it was told."""

    def __init__(self, url: str, queue: str) -> None:
        self.app = Celery("shop", broker=url, set_as_current=False)
        self.app.conf.broker_transport_options = {"socket_timeout": 5, "socket_connect_timeout": 2}
        self.app.conf.task_publish_retry = False
        self.queue = queue
        self.client = redis.Redis.from_url(url, decode_responses=True, socket_timeout=5)
        self.told: dict[str, dict[str, dict[str, Any]]] = {}
        self.accepted_at: dict[str, set[str]] = {}
        self.sent_at: dict[str, float] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.sends = 0
        self.tries: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "Shop":
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._listener.join(10)
        self.client.close()
        self.app.close()

    def send(self, order: dict[str, Any]) -> None:
        """One `orders.confirm`; a broker that is away loses nothing, since it is sent again."""
        created = {"created_at": order["created_at"]} if order["supplier"] == "relograde" else {}
        self.orders[order["order_id"]] = order
        self.sent_at[order["order_id"]] = time.monotonic()
        self.sends += 1
        self.tries[order["order_id"]] = self.tries.get(order["order_id"], 0) + 1
        self._tell(
            "orders.confirm",
            supplier=order["supplier"],
            order_id=order["order_id"],
            reference=f"shop-{order['order_id']}",
            **created,
        )

    def repeat(self) -> int:
        """Sends again what has not been heard of for a while; returns how many are not heard of."""
        unheard = [order for name, order in self.orders.items() if not self.heard(name)]
        now = time.monotonic()
        for order in unheard:
            name = order["order_id"]
            if (
                self.sent_at[name]
                + min(REPEAT_SECONDS * 2 ** (self.tries[name] - 1), LONGEST_REPEAT)
                < now
            ):
                self.send(order)
        return len(unheard)

    def heard(self, order_id: str) -> bool:
        """True when the order was accepted, or refused, as far as the shop knows."""
        return any(outcome["type"] in HEARD for outcome in self.told.get(order_id, {}).values())

    def latest(self, order_id: str) -> dict[str, Any] | None:
        """The outcome with the highest sequence."""
        told = [
            outcome
            for outcome in self.told.get(order_id, {}).values()
            if outcome["data"]["sequence"]
        ]
        return max(told, key=lambda outcome: outcome["data"]["sequence"], default=None)

    def _tell(self, task: str, **arguments: Any) -> None:
        try:
            with self._lock:
                self.app.send_task(task, kwargs=arguments, queue="orders")
        except (OperationalError, redis.RedisError):
            return

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                messages = self.client.rpop(self.queue, 100)
            except redis.RedisError:
                messages = None
            for message in messages or ():
                outcome = json.loads(base64.b64decode(json.loads(str(message))["body"]))[1][
                    "outcome"
                ]
                name = outcome["data"]["order_id"]
                self.told.setdefault(name, {})[outcome["id"]] = outcome
                if outcome["type"] == "order.accepted":
                    self.accepted_at.setdefault(name, set()).add(outcome["timestamp"])
                self._tell("outcomes.acknowledge", id=outcome["id"])
            if not messages:
                self._stop.wait(0.05)
