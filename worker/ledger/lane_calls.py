"""Lane calls: supplier calls that are about no single order.

They are permitted, spent and settled as an order's calls are. A lane makes one of a kind at a time,
in whichever process was first; the lease of a process that dies with one ends.
"""

import secrets
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from schemas.lane import Lane
from worker.ledger.limits import slot_free_at
from worker.ledger.shelf import Shelf
from worker.rules.lane_signals import signal_of
from worker.rules.money import Funds
from worker.rules.words import SEND_WINDOW

KIND_ACCOUNT, KIND_PAGE, KIND_KNOWN = "account", "page", "known"
"""Kinds: the accounts of a key; a page of orders; an order that the lane has found before."""
WOKEN_AT_ONCE = 250
"""Orders that waited for a look and are due at once when it has been made.

The others are due when the look would have timed out.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCall:
    """`result` is permitted, or why not: unwanted, busy, early, held, later, no_budget."""

    result: str
    now: float
    """The ledger's time."""
    lane: Lane
    kind: str
    token: str

    @property
    def window(self) -> float:
        """Seconds that the first byte has, counted from before the permit was asked for."""
        return SEND_WINDOW


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the accounts changed."""

    lane: str | None
    """Held or released, when that changed."""
    funds: dict[str, Funds]
    """By currency; empty when the look was not answered."""


class LaneCalls:
    """Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def permit(self, lane: Lane, kind: str, every: float, *, wanted: bool = True) -> LaneCall:
        """One call of `kind`, at least `every` seconds after the one before.

        A probe waits for its turn instead. `wanted` is false when the caller needs no call: then it
        is made for an order that waits for it, or as a probe, or not at all (`unwanted`).
        """
        limits, token = self.shelf.limits[lane.supplier], secrets.token_hex(8)
        reply = self.shelf.scripts.run(
            "lane_call_permit",
            lane.supplier,
            lane=lane.key,
            kind=kind,
            token=token,
            wanted=wanted or None,
            every=every,
            max_in_flight=limits.max_in_flight,
            **limits.spending(),
        )
        now = float(reply["now"])
        return LaneCall(result=reply["result"], now=now, lane=lane, kind=kind, token=token)

    def settle(self, call: LaneCall, answer: Any, sent_at: float | None = None) -> str | None:
        """Ends the call; returns `held` or `released` when that changed.

        `sent_at` is when the first byte left; None: it is not known, or nothing left. A call whose
        lease has ended corrects the budget and no more.
        """
        return self.settle_look(call, answer, sent_at).lane

    def settle_look(
        self, call: LaneCall, answer: dict[str, Decimal] | Any, sent_at: float | None
    ) -> Look:
        """Ends a look at the accounts: balances are kept, and the orders that waited are due."""
        balances = None
        if call.kind == KIND_ACCOUNT and isinstance(answer, dict):
            balances = {currency: f"{amount:f}" for currency, amount in answer.items()}
        reply = self.shelf.scripts.run(
            "lane_call_settle",
            call.lane.supplier,
            lane=call.lane.key,
            kind=call.kind,
            token=call.token,
            retry=list(self.shelf.retry),
            call_free_at=slot_free_at(sent_at),
            balances=balances,
            wakes=WOKEN_AT_ONCE,
            **signal_of(answer)._asdict(),
        )
        funds = reply.get("funds") or {}
        found = {currency: _funds(fields) for currency, fields in funds.items()}
        return Look(reply.get("lane"), found)


def _funds(fields: dict[str, str]) -> Funds:
    free = Decimal(fields["told"]) - Decimal(fields["gone"])
    return Funds(free=free, rose_at=float(fields["rose_at"]))
