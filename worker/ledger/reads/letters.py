"""Reads of dead letters: orders, refused messages and undeliverable outcomes."""

from typing import Any

from schemas.order import REASONS, Order
from schemas.outcomes import iso
from worker.ledger.messages import ROOM as MESSAGES
from worker.ledger.outbox import outcome_id
from worker.ledger.reads.orders import OrderReads

NO_ORDER = {"deadline_at": None, "amount": None, "currency": None}
"""What the letter of a message or an outcome says where an order's letter has a value."""


class LetterReads:
    """Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(self, orders: OrderReads) -> None:
        self.orders = orders
        self.scripts = orders.scripts
        self.client = orders.client

    def letters(
        self, reason: str | None = None, supplier: str | None = None
    ) -> list[dict[str, Any]]:
        """Dead letters of every kind, oldest first; None stands for any reason or supplier."""
        rooms = [supplier] if supplier else [*self.orders.suppliers, MESSAGES]
        reasons = [reason] if reason else REASONS
        rows: list[tuple[float, dict[str, Any]]] = []
        for room in rooms:
            for name in reasons:
                index = self.scripts.key(room, "letters", name)
                members = self.client.zrange(index, 0, -1, withscores=True)
                rows += [
                    (since, self._letter(room, member, name, since)) for member, since in members
                ]
        rows.sort(key=lambda row: row[0])
        return [letter for _, letter in rows if letter]

    def _letter(self, room: str, member: str, reason: str, since: float) -> dict[str, Any]:
        """One letter; empty when its order is gone."""
        if reason == "outcome_undeliverable":
            return _outcome(room, member, since)
        if room == MESSAGES:
            return self.message(member)
        order = self.orders.order(room, member)
        if order:
            return self.order_letter(order)
        return {}

    def order_letter(self, order: Order) -> dict[str, Any]:
        """The dead letter of an order, beside the order's own keys."""
        return {
            **self.orders.brief(order),
            "key": order.key,
            "reason": order.letter,
            "detail": order.detail,
            "since": iso(order.letter_at),
            "amount": order.amount,
            "currency": order.currency,
        }

    def message(self, number: str) -> dict[str, Any]:
        """One refused message; its body is shown by `dead-letters show` alone."""
        fields = self.client.hgetall(self.scripts.key(MESSAGES, "order", number))
        names = ("supplier", "order_id", "reference", "detail", "count")
        return {
            "key": f"message/{number}",
            "reason": fields.get("letter"),
            "since": iso(fields.get("letter_at")),
            **NO_ORDER,
            **{name: fields.get(name) for name in names},
            "count": int(fields.get("count", 0)),
        }


def _outcome(room: str, member: str, since: float) -> dict[str, Any]:
    order_id, _, sequence = member.rpartition("|")
    return {
        "key": f"outcome/{outcome_id(room, order_id, sequence)}",
        "reason": "outcome_undeliverable",
        "since": iso(since),
        **NO_ORDER,
        "detail": None,
    }
