"""Reads of orders: one record, lists of records, and what `orders show` and `list` print."""

import json
from collections.abc import Iterable
from typing import Any

from schemas.order import STATES, Order, load_order
from schemas.outcomes import iso
from worker.ledger.shelf import Shelf


class OrderReads:
    """Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(self, shelf: Shelf, suppliers: Iterable[str]) -> None:
        self.shelf = shelf
        self.scripts = shelf.scripts
        self.client = shelf.scripts.client
        self.suppliers = tuple(suppliers)

    def order(self, supplier: str, order_id: str) -> Order | None:
        """The record of one order, or None."""
        fields = self.client.hgetall(self.scripts.key(supplier, "order", order_id))
        if fields:
            return load_order(supplier, order_id, fields)
        return None

    def orders(self, state: str | None, supplier: str | None, limit: int) -> list[Order]:
        """Up to `limit` orders, newest first; None stands for any state or supplier."""
        suppliers = [supplier] if supplier else self.suppliers
        states = [state] if state else STATES
        found: list[tuple[float, str, str]] = []
        for room in suppliers:
            for name in states:
                index = self.scripts.key(room, "state", name)
                rows = self.client.zrevrange(index, 0, limit - 1, withscores=True)
                found += [(accepted_at, room, order_id) for order_id, accepted_at in rows]
        found.sort(reverse=True)
        records = [self.order(room, order_id) for _, room, order_id in found[:limit]]
        return [record for record in records if record is not None]

    def show(self, supplier: str, order_id: str) -> dict[str, Any] | None:
        """The object of the contract with its timeline; None when there is no such order."""
        order = self.order(supplier, order_id)
        if order is None:
            return None
        accepted = {"event": "accepted", "at": iso(order.accepted_at)}
        kept = self.client.lrange(self.scripts.key(supplier, "timeline", order_id), 0, -1)
        later = [_entry(text) for text in kept]
        return {**self.brief(order), "timeline": [accepted, *later]}

    def brief(self, order: Order) -> dict[str, Any]:
        """One order as `orders list` shows it."""
        return {
            "supplier": order.supplier,
            "order_id": order.order_id,
            "account": order.account,
            "reference": order.reference,
            "state": order.state,
            "reason": order.reason,
            "attempts": order.attempts,
            "created_at": iso(order.created_at),
            "accepted_at": iso(order.accepted_at),
            "deadline_at": iso(order.deadline_at),
            "next_look_at": iso(order.due_at),
            "last_sent_at": iso(order.last_sent_at),
            "unresolved": order.unresolved,
            "inferred": order.inferred,
            "tracking_code": order.tracking_code,
            "tracking_url": order.tracking_url,
            "lines_total": order.lines_total,
            "lines_finished": order.lines_finished,
            "outcome_delivered": self._delivered(order),
        }

    def _delivered(self, order: Order) -> bool | None:
        """True when the web app has taken the latest outcome; None without a channel."""
        if not self.shelf.channels:
            return None
        member = f"{order.order_id}|{order.sequence}"
        boxes = [
            self.scripts.key(order.supplier, "outbox", channel) for channel in self.shelf.channels
        ]
        boxes.append(self.scripts.key(order.supplier, "letters", "outcome_undeliverable"))
        return all(self.client.zscore(box, member) is None for box in boxes)


def _entry(text: str) -> dict[str, Any]:
    entry = json.loads(text)
    return {**entry, "at": iso(entry["at"])}
