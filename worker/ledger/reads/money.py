"""Reads of the money: what a lane's accounts hold, and which orders want it."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from heapq import merge
from itertools import islice
from operator import itemgetter

from schemas.lane import Lane
from schemas.order import Order, load_order
from worker.ledger.shelf import Shelf
from worker.rules.money import BY_DEADLINE, Want
from worker.rules.words import SEND_WINDOW

REASON = "insufficient_balance"
ROWS_AT_ONCE = 500
NEAREST = 10_000
"""Waiting orders of a supplier that are read: at 50 calls a minute, more than three hours of
them.
"""


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance as the supplier told it at `asked_at`, less what was confirmed since."""

    amount: Decimal
    asked_at: float
    doubted: bool
    """An order was refused since although this balance seemed to cover it."""


class MoneyReads:
    """Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(self, shelf: Shelf, nearest: int = NEAREST) -> None:
        self.shelf = shelf
        self.nearest = nearest
        self.scripts = shelf.scripts
        self.client = shelf.scripts.client

    def balances(self, lane: Lane) -> dict[str, Balance]:
        """The last known balances of a lane, by currency; none before the first look."""
        fields = self.client.hgetall(self.scripts.key(lane.supplier, "funds", lane.key))
        return {
            currency: Balance(
                amount=Decimal(told) - Decimal(fields.get(f"{currency}:spent", 0)),
                asked_at=float(fields[f"{currency}:at"]),
                doubted=f"{currency}:doubted" in fields,
            )
            for currency, told in fields.items()
            if ":" not in currency
        }

    def count_letters(self, supplier: str) -> int:
        """How many letters of `insufficient_balance` a supplier has, in all its lanes."""
        return int(self.client.zcard(self.scripts.key(supplier, "letters", REASON)))

    def letters(self, lane: Lane) -> list[Want]:
        """A lane's letters that have an amount and can still be confirmed in time, by deadline."""
        times, now = self.shelf.policies[lane.supplier].times, self.shelf.time()
        index = self.scripts.key(lane.supplier, "letters", REASON)
        found = []
        for order in self._orders(lane.supplier, self.client.zrange(index, 0, -1)):
            last_safe = times.last_safe_moment(order)
            in_time = last_safe is not None and last_safe - SEND_WINDOW > now
            if in_time and last_safe and order.account == lane.account:
                found += _want(order, last_safe)
        return sorted(found, key=BY_DEADLINE)

    def waiting(self, lane: Lane) -> Iterator[Want]:
        """A lane's orders that have an amount and wait for their confirm, by deadline."""
        indexes = (self._rows(lane.supplier, name) for name in ("warned", "deadlines"))
        nearest = islice(merge(*indexes, key=itemgetter(1)), self.nearest)
        while rows := list(islice(nearest, ROWS_AT_ONCE)):
            yield from self._wants(lane, rows)

    def _wants(self, lane: Lane, rows: list[tuple[str, float]]) -> Iterator[Want]:
        pipe = self.client.pipeline(transaction=False)
        for order_id, _ in rows:
            name = self.scripts.key(lane.supplier, "order", order_id)
            pipe.hmget(name, "account", "state", "amount", "currency")
        for (order_id, last_safe), fields in zip(rows, pipe.execute(), strict=True):
            account, state, amount, currency = fields
            waits = account == lane.account and state == "accepted"
            if waits and amount and currency:
                yield Want(
                    order_id=order_id,
                    last_safe=last_safe,
                    amount=Decimal(amount),
                    currency=currency,
                )

    def more_wait(self, supplier: str) -> bool:
        """True when orders of a supplier wait that `waiting` does not read."""
        indexes = (self.scripts.key(supplier, name) for name in ("warned", "deadlines"))
        number: int = sum(self.client.zcard(index) for index in indexes)
        return self.nearest < number

    def _rows(self, supplier: str, name: str) -> Iterator[tuple[str, float]]:
        index, start = self.scripts.key(supplier, name), 0
        while rows := self.client.zrange(index, start, start + ROWS_AT_ONCE - 1, withscores=True):
            yield from rows
            start += ROWS_AT_ONCE

    def _orders(self, supplier: str, ids: list[str]) -> Iterator[Order]:
        pipe = self.client.pipeline(transaction=False)
        for order_id in ids:
            pipe.hgetall(self.scripts.key(supplier, "order", order_id))
        for order_id, fields in zip(ids, pipe.execute(), strict=True):
            if fields:
                yield load_order(supplier, order_id, fields)


def _want(order: Order, last_safe: float) -> list[Want]:
    if not order.amount or not order.currency:
        return []
    want = Want(
        order_id=order.order_id,
        last_safe=last_safe,
        amount=Decimal(order.amount),
        currency=order.currency,
        letter_at=order.letter_at,
    )
    return [want]
