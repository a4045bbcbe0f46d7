"""What a supplier can say: a closed set of values.

The clients in `worker.suppliers` translate every transport error, HTTP status and body into exactly
one answer, and the policy decides from nothing else. No answer holds a secret: a line says whether
it has something to deliver, and carries the sealed voucher only if the web app gave a public key.
"""

from dataclasses import dataclass
from datetime import datetime

NOT_FINAL = ("pending", "created")
"""Statuses of a line that the supplier may still change."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a Relograde order."""

    tag: str
    status: str
    """The supplier's word: created, pending, finished or cancelled."""
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
        """True when every line is finished and has something to deliver."""
        return all(line.status == "finished" and line.deliverable for line in self.lines)


@dataclass(frozen=True, slots=True)
class Pending:
    """The supplier has accepted the order and will finish it later; some lines may be finished."""

    lines: tuple[Line, ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The supplier has cancelled the order; some lines may have been delivered."""

    lines: tuple[Line, ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A read says that the order is not confirmed."""

    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The supplier refuses this order, for one of `schemas.order.REASONS`."""

    reason: str
    detail: str = ""
    certain: bool = True
    """This call had no effect; False when it may have had one."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """The supplier refuses the lane: its key, its company or its rate. The call had no effect."""

    cause: str
    retry_after: float | None = None
    """Seconds that the supplier asked the lane to wait."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nothing was sent: DNS, connection refused, TLS, connect timeout, or `send_by` had passed."""

    detail: str = ""
    late: bool = False
    """`send_by` had passed: this worker was slow, or the deadline left little time."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The call was sent and no usable answer came: it may have had its effect."""

    detail: str = ""
    outage: bool = False
    """The supplier's trouble, not the order's: a 5xx, a timeout, a broken connection, a redirect,
    or a web page where JSON was due.
    """
    refused: bool = False
    """Relograde's `this order can not be confirmed`, which a read must explain (documented)."""


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
