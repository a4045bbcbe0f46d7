"""The record of one order: a flat hash of strings in Redis, a frozen value here.

Times are seconds since the epoch, UTC, as the ledger's clock gives them; `None` is an absent field.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.lane import Lane

OPEN = ("accepted", "submitted", "pending")
ENDED = ("confirmed", "cancelled", "withdrawn", "resolved")
STATES = (*OPEN, "dead", *ENDED)

REASONS = (
    "insufficient_balance",
    "out_of_stock",
    "offer_unavailable",
    "order_expired",
    "deadline_missed",
    "order_not_found",
    "order_not_passive",
    "multiple_order_lines",
    "invalid_request",
    "access_denied",
    "incomplete_delivery",
    "unrecognised_answer",
    "contradictory_answers",
    "outcome_unknown",
    "gave_up",
    "pending_too_long",
    "tracking_missing",
    "unreadable_message",
    "invalid_message",
    "conflicting_request",
    "outcome_undeliverable",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One supplier order, keyed by (supplier, order_id)."""

    supplier: str
    order_id: str
    account: str | None = None
    reference: str = ""
    state: str = "accepted"
    reason: str | None = None
    created_at: float | None = None
    paid_at: float | None = None
    amount: str | None = None
    currency: str | None = None
    accepted_at: float = 0.0
    deadline_at: float | None = None
    """The instant after which the supplier refuses a confirm, without our margin."""
    requeued_at: float | None = None
    """The last requeue by a person; limits count from it."""
    ended_at: float | None = None

    due_at: float | None = None
    """The next look."""
    failures: int = 0
    """Failed calls in a row: the index into RETRY_SECONDS."""
    snoozes: int = 0
    """Pending answers so far: the index into the re-check schedule."""
    must_ask: bool = False
    """A question comes before the next confirm, although no attempt is unresolved."""

    attempts: int = 0
    """Confirms whose intent was written."""
    last_sent_at: float | None = None
    send_by: float | None = None
    """The latest moment at which the first byte of an unresolved attempt can have left."""
    older_send_by: float | None = None
    """The same for the attempts before; it remains when the latest attempt had no effect."""
    suspect_at: float | None = None
    """The ledger's server restarted then and may have forgotten a confirm of this order."""
    host: int = 0
    host_since: float | None = None
    details: bool = False
    """The order has `details`, kept beside the record and sent with a confirm."""

    pending_since: float | None = None
    page_says: str | None = None
    """What a page of the supplier's list said of this order, for a single read to judge."""
    verdict: str | None = None
    """The reason of the dead letter, should a settled read say `created`."""
    refused: bool = False
    """The supplier refused the latest confirm in words that only a read can explain."""
    contradictions: int = 0
    incomplete: bool = False
    denied_at: float | None = None
    not_found_at: float | None = None
    inference_barred: bool = False

    inferred: bool = False
    details_applied: bool | None = None
    tracking_code: str | None = None
    tracking_url: str | None = None
    lines: list[dict[str, Any]] | None = None

    letter: str | None = None
    """The reason of the dead letter that stands for this order, or beside it."""
    letter_at: float | None = None
    detail: str | None = None
    note: str | None = None

    sequence: int = 0
    version: int = 0
    fence: int = 0

    @property
    def lane(self) -> Lane:
        """Where this order's calls are counted."""
        return Lane(self.supplier, self.account)

    @property
    def key(self) -> str:
        """The KEY that people type."""
        return f"{self.supplier}/{self.order_id}"

    @property
    def unresolved(self) -> bool:
        """True while some confirm may have happened and no answer has said what became of it."""
        return self.send_by is not None or self.suspect_at is not None

    @property
    def lines_total(self) -> int | None:
        """Order lines the supplier has shown; None before it has shown any."""
        return None if self.lines is None else len(self.lines)

    @property
    def lines_finished(self) -> int | None:
        """Lines with something to deliver."""
        return (
            None if self.lines is None else sum(line["status"] == "finished" for line in self.lines)
        )


def seconds(value: float) -> str:
    """A time with microseconds; a whole second takes a third of the room in Redis."""
    return f"{value:.6f}".removesuffix(".000000")


def _flag(value: bool) -> str:
    return "1" if value else "0"


def _is_set(text: str) -> bool:
    return text == "1"


def _document(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


_FORMS: dict[Any, tuple[Callable[[str], Any], Callable[[Any], str]]] = {
    str: (str, str),
    str | None: (str, str),
    int: (int, str),
    bool: (_is_set, _flag),
    bool | None: (_is_set, _flag),
    float: (float, seconds),
    float | None: (float, seconds),
    list[dict[str, Any]] | None: (json.loads, _document),
}
"""How a field of one type is read from its text, and how it is written."""
_READ = {field.name: _FORMS[field.type][0] for field in dataclasses.fields(Order)}
_WRITTEN = [
    (field.name, field.default, _FORMS[field.type][1]) for field in dataclasses.fields(Order)
]


def load_order(supplier: str, order_id: str, fields: Mapping[str, str]) -> Order:
    """The order that the ledger's hash holds; fields that are not an order's are ignored."""
    known = {name: _READ[name](text) for name, text in fields.items() if name in _READ}
    return Order(**{**known, "supplier": supplier, "order_id": order_id})


def dump_order(order: Order) -> dict[str, str]:
    """What the ledger's hash keeps of it: the fields that differ from their defaults."""
    values = [(name, getattr(order, name), default, write) for name, default, write in _WRITTEN]
    return {
        name: write(value)
        for name, value, default, write in values
        if value is not None and value != default
    }
