"""Lane calls: supplier calls that are about no single order. Permitted, spent and settled as an
order's are.

One of a kind is made at a time in a lane, by whichever process was first; a process that dies with
one leaves a lease that ends.
"""

import secrets
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from worker.ledger import keys
from worker.ledger.ledger import WAY, WINDOW, Ledger
from worker.rules.funds import Funds
from worker.rules.lane_signals import signal_of
from worker.rules.words import SEND_WINDOW

ACCOUNT, PAGE = "account", "page"
"""Kinds: the accounts of a key; a page of orders."""
WAKES = 250
"""Orders that waited for a look and are due at once when it has been made; the others when it would
have timed out.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCall:
    """`result` is permitted, or why not: unwanted, busy, early, held, later, no_budget.

    `now`: ledger's time.
    """

    result: str
    now: float
    supplier: str
    account: str | None
    kind: str
    token: str

    @property
    def window(self) -> float:
        """Seconds that the first byte has, counted from before the permit was asked for."""
        return SEND_WINDOW


@dataclass(frozen=True, slots=True)
class Look:
    """`lane`: held or released, when that changed.

    `funds`: by currency, after a look that was answered.
    """

    lane: str | None
    funds: dict[str, Funds]


class LaneCalls:
    """Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def permit(
        self, supplier: str, account: str | None, kind: str, every: float, *, wanted: bool = True
    ) -> LaneCall:
        """One call of `kind`, at least `every` seconds after the one before; a probe waits for its
        turn instead.

        `wanted` is false when the caller does not need it himself: then it is made for an order
        that waits for it, or as a probe, or not at all (`unwanted`).
        """
        limits, token = self.ledger.limits[supplier], secrets.token_hex(8)
        answer = self.ledger.scripts.run(
            "lane_call_permit",
            supplier,
            lane=keys.lane(account),
            kind=kind,
            token=token,
            wanted=wanted or None,
            every=every,
            lease=limits.lease,
            per_minute=limits.calls_per_minute,
            max_in_flight=limits.max_in_flight,
            window=SEND_WINDOW,
            way=WAY,
        )
        return LaneCall(
            result=answer["result"],
            now=float(answer["now"]),
            supplier=supplier,
            account=account,
            kind=kind,
            token=token,
        )

    def settle(self, call: LaneCall, answer: Any, sent_at: float | None = None) -> str | None:
        """Ends the call: what came back, and when its first byte left (None: it is not known, or
        none did).

        Returns `held` or `released` when that changed. A call whose lease has ended corrects the
        budget and no more.
        """
        return self.settle_look(call, answer, sent_at).lane

    def settle_look(
        self, call: LaneCall, answer: dict[str, Decimal] | Any, sent_at: float | None
    ) -> Look:
        """The same of a look at the accounts: balances are kept, and the orders that waited for
        them are due.
        """
        balances = None
        if call.kind == ACCOUNT and isinstance(answer, dict):
            balances = {currency: f"{amount:f}" for currency, amount in answer.items()}
        settled = self._settle(call, answer, sent_at, balances)
        funds = settled.get("funds") or {}
        return Look(
            settled.get("lane"), {currency: _funds(fields) for currency, fields in funds.items()}
        )

    def _settle(
        self, call: LaneCall, answer: Any, sent_at: float | None, balances: dict[str, str] | None
    ) -> dict[str, Any]:
        return self.ledger.scripts.run(
            "lane_call_settle",
            call.supplier,
            lane=keys.lane(call.account),
            kind=call.kind,
            token=call.token,
            retry=self.ledger.retry,
            call_free_at=None if sent_at is None else sent_at + WINDOW,
            balances=balances,
            wakes=WAKES,
            **signal_of(answer)._asdict(),
        )


def _funds(fields: dict[str, str]) -> Funds:
    free = Decimal(fields["told"]) - Decimal(fields["gone"])
    return Funds(free=free, rose_at=float(fields["rose_at"]))
