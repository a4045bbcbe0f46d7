"""The words of the policy: a supplier's rules, a call, a step, and the constants they share. Pure.

Times are seconds since the epoch by the ledger's clock; other numbers are seconds.
"""

from dataclasses import dataclass
from typing import NamedTuple

from schemas.order import Order

CONFIRM, READ, NOTICE = "confirm", "read", "notice"
"""Kinds of call. A notice is a webhook: the supplier speaks first."""

DAY = 86400.0
SEND_WINDOW = 5.0
"""Seconds from an intent to the last moment at which its first byte may leave."""
HOST_STAYS = 600.0
"""Seconds for which a question at Logitrail goes to the host of the unresolved attempt."""
CANCELLED_RECHECKS = (900.0, DAY)
"""Seconds after the cancellation at which an order with lines that may change is read again."""
INCOMPLETE_RECHECK = 2.0
"""Seconds after which an incomplete delivery is read again."""
OWN_REASONS = {
    "forbidden": "access_denied",
    "unauthorized": "access_denied",
    "company_not_verified": "access_denied",
    "misconfigured": "invalid_request",
}
"""What an order dies of that is blocked while others pass, by the cause; never of a rate limit."""
CONTRADICTIONS = 3
"""Confirms that were refused although the order then reads `created`, before it is dead."""
NOT_FOUND_RECHECK = 30.0
"""Seconds after which an order that was not found is looked at again, at least.

Until then a known order has been asked for, and a crowd of unknown orders leaves calls to others.
"""
EXTRA_READS = 5
"""Failed reads in a row of an order that is not open, before its follow-up ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What differs between suppliers, from the settings."""

    reads: bool
    """The supplier documents a read; without one, a repeated confirm is the question."""
    settle: float
    confirm_within: float | None = None
    """Seconds from an order's creation to its deadline; None without a deadline."""
    margin: float = 0.0
    recheck: tuple[float, ...] = (15.0,)
    pending_limit: float = 7 * DAY
    give_up: float | None = None
    retry: tuple[float, ...] = (2.0,)
    hosts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One permitted call; `at` is the time of its permit, never later than its first byte."""

    kind: str
    details: bool = False
    """The order's details go with this confirm."""
    host: int = 0
    at: float = 0.0
    passed_at: float | None = None
    """When another call of the lane last got through."""
    found_at: float | None = None
    """When another call of the lane last found its order."""
    probing: bool = False
    """The lane is held and this call is its probe: a failure is the lane's, not the order's."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The call that was answered, and when its answer came."""

    call: Call
    now: float
    jitter: float


class Tell(NamedTuple):
    """An outcome for the web app; without a reason of its own it carries the record's."""

    type: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the ledger writes: the new record, the timeline's event, the outcomes."""

    order: Order
    event: str
    tells: tuple[Tell, ...] = ()
    proof: bool = False
    """The supplier has shown an end or a tracking code: even a stale fence merges it."""
    signal: str | None = None
    """Of the lane: passed, found, not_found, failed or blocked; None says nothing."""
    cause: str | None = None
    retry_after: float | None = None
    """Seconds that the supplier asked the lane to wait."""
    page: str | None = None
    """Of the page before this read: agreed or contradicted."""
