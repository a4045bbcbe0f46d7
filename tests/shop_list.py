"""A stand-in for Relograde on the tests' clock: a shop's list of orders, and its calls in a book.

Answers are the worker's own; what they say is decided by the recorded mix (12 of 21 accepted
confirms were pending).
"""

import random
from bisect import bisect_right, insort
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from worker.rules import answers as say

PENDING = 12 / 21
LONGEST = 600.0
PAGE = 100


class ShopList:
    """Every order of the shop, ours among them.

    `pages_say` replaces what a page shows of an order: a liar's.
    """

    def __init__(self, clock: Callable[[], float], seed: int, *, newest_first: bool) -> None:
        self.clock = clock
        self.random = random.Random(seed)
        self.newest_first = newest_first
        self.calls: list[tuple[float, str]] = []
        self.ends: dict[str, float] = {}
        self.pages_say: Callable[[str, say.Answer], say.Answer] = lambda order_id, answer: answer
        self._created: dict[str, float] = {}
        self._list: list[tuple[float, str]] = []

    def create(self, order_id: str, created_at: float) -> None:
        """A new order, not confirmed."""
        self._created[order_id] = created_at
        insort(self._list, (created_at, order_id))

    def confirm(self, order_id: str, gate: Any, host: int = 0, details: Any = None) -> say.Answer:
        self._book("confirm", gate)
        assert order_id not in self.ends, "confirmed twice"
        takes = self.random.uniform(0, LONGEST) if self.random.random() < PENDING else 0.0
        self.ends[order_id] = self.clock() + takes
        return self.status(order_id)

    def find(self, order_id: str, gate: Any) -> say.Answer:
        self._book("find", gate)
        return self.status(order_id)

    def find_page(self, page: int, gate: Any) -> dict[str, say.Answer] | say.Answer:
        self._book("page", gate)
        shown = self._list[: bisect_right(self._list, (self.clock(), ""))]
        shown = shown[::-1] if self.newest_first else shown
        ids = [order_id for _, order_id in shown[(page - 1) * PAGE : page * PAGE]]
        return {order_id: self.pages_say(order_id, self.status(order_id)) for order_id in ids}

    def status(self, order_id: str) -> say.Answer:
        """What the supplier knows of the order now."""
        created = datetime.fromtimestamp(self._created[order_id], UTC)
        if order_id not in self.ends:
            return say.Created(created)
        if self.clock() < self.ends[order_id]:
            return say.Pending((say.Line(f"TAG-{order_id}", "pending"),), created)
        return say.Confirmed((say.Line(f"TAG-{order_id}", "finished", True),), created_at=created)

    def _book(self, kind: str, gate: Any) -> None:
        gate.sent_at = self.clock()
        self.calls.append((self.clock(), kind))
