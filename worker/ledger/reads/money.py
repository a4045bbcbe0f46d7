"""Reads of the money: what a lane's accounts hold, and which orders want it. Changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from heapq import merge
from itertools import islice

from schemas.order import Order, load_order
from worker.ledger import keys
from worker.ledger.ledger import Ledger
from worker.rules.funds import Want
from worker.rules.words import SEND_WINDOW

REASON = "insufficient_balance"
PAGE = 500
NEAREST = 10_000
"""Waiting orders of a supplier that are looked at: at 50 calls a minute, more than three hours of
them.
"""


@dataclass(frozen=True, slots=True)
class Balance:
    """As it was told when it was asked for at `asked_at`, less what was confirmed since.

    `doubted`: an order was refused since although this seemed to cover it.
    """

    amount: Decimal
    asked_at: float
    doubted: bool


class FundsViews:
    """Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(self, ledger: Ledger, nearest: int = NEAREST) -> None:
        self.ledger = ledger
        self.nearest = nearest
        self.scripts = ledger.scripts
        self.client = ledger.scripts.client

    def balances(self, supplier: str, account: str | None) -> dict[str, Balance]:
        """The last known ones of a lane, by currency; none before somebody had to look."""
        fields = self.client.hgetall(self.scripts.key(supplier, "funds", keys.lane(account)))
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
        """How many orders of a supplier died for want of money, in all its lanes."""
        return int(self.client.zcard(self.scripts.key(supplier, "letters", REASON)))

    def letters(self, supplier: str, account: str | None) -> list[Want]:
        """A lane's letters that can still be confirmed in time and say what they cost, earliest
        deadline first.
        """
        policy, now = self.ledger.policies[supplier], self.ledger.time()
        found = []
        for order in self._orders(
            supplier, self.client.zrange(self.scripts.key(supplier, "letters", REASON), 0, -1)
        ):
            last_safe = policy.times.last_safe_moment(order)
            if order.account == account and last_safe and last_safe - SEND_WINDOW > now:
                found += _want(order, last_safe)
        return sorted(found, key=lambda want: want.last_safe)

    def waiting(self, supplier: str, account: str | None) -> Iterator[Want]:
        """A lane's orders that wait for their confirm and say what they cost, the nearest deadlines
        first.
        """
        rows = merge(
            *(self._rows(supplier, name) for name in ("warned", "deadlines")),
            key=lambda row: row[1],
        )
        nearest = islice(rows, self.nearest)
        while page := list(islice(nearest, PAGE)):
            pipe = self.client.pipeline(transaction=False)
            for order_id, _ in page:
                pipe.hmget(
                    self.scripts.key(supplier, "order", order_id),
                    "account",
                    "state",
                    "amount",
                    "currency",
                )
            for (order_id, last_safe), (of, state, amount, currency) in zip(
                page, pipe.execute(), strict=True
            ):
                if of == account and state == "accepted" and amount and currency:
                    yield Want(
                        order_id=order_id,
                        last_safe=last_safe,
                        amount=Decimal(amount),
                        currency=currency,
                    )

    def more_wait(self, supplier: str) -> bool:
        """Whether orders of a supplier wait that `waiting` does not look at."""
        return self.nearest < sum(
            self.client.zcard(self.scripts.key(supplier, name)) for name in ("warned", "deadlines")
        )

    def _rows(self, supplier: str, name: str) -> Iterator[tuple[str, float]]:
        index, start = self.scripts.key(supplier, name), 0
        while rows := self.client.zrange(index, start, start + PAGE - 1, withscores=True):
            yield from rows
            start += PAGE

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
    amount = Decimal(order.amount)
    return [
        Want(
            order_id=order.order_id,
            last_safe=last_safe,
            amount=amount,
            currency=order.currency,
            letter_at=order.letter_at,
        )
    ]
