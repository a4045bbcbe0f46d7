"""What a supplier can say: a closed set of values.

The clients in `worker.suppliers` translate every transport error, HTTP status and body into exactly
one of these; the policy decides from nothing else. Nothing here holds a secret: a line keeps that
it *has* something to deliver, and the sealed form of it when the web app gave us a public key,
never the voucher itself.
"""

from dataclasses import dataclass
from datetime import datetime

NOT_FINAL = ("pending", "created")
"""Statuses of a line that the supplier may still change."""


@dataclass(frozen=True, slots=True)
class Line:
    """One order line of a Relograde order; `status` is the supplier's word (created, pending,
    finished, cancelled).
    """

    tag: str
    status: str
    deliverable: bool = False
    expires_at: datetime | None = None
    sealed: str | None = None

    @property
    def final(self) -> bool:
        """True when the supplier will not change this line any more."""
        return self.status not in NOT_FINAL


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The supplier says that the order is confirmed: Relograde `finished`, Logitrail `success`."""

    lines: tuple[Line, ...] = ()
    tracking_code: str | None = None
    tracking_url: str | None = None
    created_at: datetime | None = None

    @property
    def complete(self) -> bool:
        """False when some line of a finished order has nothing to deliver."""
        return all(line.status == "finished" and line.deliverable for line in self.lines)


@dataclass(frozen=True, slots=True)
class Pending:
    """Accepted by the supplier, outcome later; finished lines may be inside already."""

    lines: tuple[Line, ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Cancelled by the supplier; some lines may have been delivered."""

    lines: tuple[Line, ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A read says that the order is not confirmed."""

    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A refusal of this order.

    `certain`: this very call had no effect; else it may have had one.
    """

    reason: str
    detail: str = ""
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Blocked:
    """Not the order's fault: key, company or rate.

    No effect. `retry_after` in seconds, as the supplier asked.
    """

    cause: str
    retry_after: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No effect for sure: nothing was sent (DNS, refused, TLS, connect timeout, or `send_by` had
    passed).

    `late` is true for the last of these: we were slow, or the deadline left little time. The
    supplier was not asked.
    """

    detail: str = ""
    late: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """Sent, and no usable answer: it may have happened.

    `outage` is true when it looks like the supplier's trouble and not this order's: a 5xx, a
    timeout, a broken connection, a redirect or a page where its API should speak; `refused` is true
    for Relograde's `this order can not be confirmed`, which a read must explain.
    """

    detail: str = ""
    outage: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class NotFound:
    """The supplier does not know this order, with this key."""

    detail: str = ""


Answer = (
    Confirmed
    | Pending
    | Cancelled
    | Created
    | Rejected
    | Blocked
    | Unavailable
    | Unknown
    | NotFound
)
