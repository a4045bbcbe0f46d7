"""An order's record: what an event makes of it, and what it proves of its attempts. Pure."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from schemas.order import OPEN, Order
from worker.rules import answers as say
from worker.rules.words import CONFIRM, SEND_WINDOW, Call

SHOWS = say.Confirmed | say.Pending | say.Cancelled | say.Created
"""Answers that show something of the order itself."""


def resolved(order: Order) -> Order:
    """An answer has said what became of every attempt."""
    return replace(
        order,
        send_by=None,
        older_send_by=None,
        suspect_at=None,
        must_ask=False,
        verdict=None,
        refused=False,
    )


def without_effect(order: Order, call: Call) -> Order:
    """This confirm had no effect; older attempts keep their state. A read changes nothing."""
    if call.kind != CONFIRM:
        return order
    remaining = replace(order, send_by=order.older_send_by, older_send_by=None)
    if order.state not in OPEN or order.older_send_by is not None:
        return remaining
    return replace(remaining, state="accepted")


def answered(order: Order) -> Order:
    """The supplier knows the order and let the call in: failures and refusals count from zero."""
    return replace(
        order,
        failures=0,
        denied_at=None,
        not_found_at=None,
    )


def noted(order: Order, detail: str) -> Order:
    """The answer's own words stand in the record, for a person; none when it had none."""
    return replace(order, detail=detail or None)


def ended(order: Order, state: str, now: float) -> Order:
    """The order has ended in `state`; its letter closes."""
    return replace(
        resolved(order),
        state=state,
        reason=None,
        ended_at=now,
        due_at=None,
        failures=0,
        letter=None,
        letter_at=None,
        detail=None,
    )


def dead(order: Order, reason: str, now: float) -> Order:
    """The order waits for a human; unresolved attempts stay unresolved."""
    return replace(
        order,
        state="dead",
        reason=reason,
        letter=reason,
        letter_at=now,
        due_at=None,
        failures=0,
    )


def proven(order: Order) -> Order:
    """An ended order has its proof: nothing is inferred, no tracking code is missing."""
    closed = replace(order, inferred=False, due_at=None)
    if order.letter != "tracking_missing":
        return closed
    return replace(closed, letter=None, letter_at=None)


def with_facts(order: Order, answer: SHOWS, confirm_within: float | None) -> Order:
    """The record with all that `answer` shows: lines, tracking, an earlier creation."""
    seen = _with_creation(order, answer.created_at, confirm_within)
    if isinstance(answer, say.Created):
        return seen
    seen = replace(seen, lines=_merged_lines(order.lines, answer.lines))
    if not isinstance(answer, say.Confirmed):
        return seen
    return replace(
        seen,
        tracking_code=answer.tracking_code or order.tracking_code,
        tracking_url=answer.tracking_url or order.tracking_url,
    )


def _with_creation(order: Order, shown: datetime | None, confirm_within: float | None) -> Order:
    """An earlier creation moves the deadline; a later one changes nothing."""
    if shown is None or confirm_within is None or order.created_at is None:
        return order
    created_at = shown.timestamp()
    if created_at >= order.created_at:
        return order
    deadline_at = created_at + confirm_within
    return replace(order, created_at=created_at, deadline_at=deadline_at)


def _merged_lines(
    known: list[dict[str, Any]] | None, shown: tuple[say.Line, ...]
) -> list[dict[str, Any]] | None:
    """Lines by tag."""
    if not shown:
        return known
    lines = {line["tag"]: line for line in known or []}
    for line in shown:
        lines[line.tag] = _merged_line(lines.get(line.tag, {}), line)
    return list(lines.values())


def _merged_line(known: dict[str, Any], line: say.Line) -> dict[str, Any]:
    """A finished line with something to deliver stays so, however little a later answer shows."""
    was_deliverable = bool(known.get("deliverable"))
    was_delivered = was_deliverable and known["status"] == "finished"
    expires_at = known.get("expires_at")
    if line.expires_at:
        expires_at = line.expires_at.timestamp()
    return {
        "tag": line.tag,
        "status": "finished" if was_delivered else line.status,
        "deliverable": was_deliverable or line.deliverable,
        "expires_at": expires_at,
        "sealed": known.get("sealed") or line.sealed,
    }


def may_be_confirmed(order: Order, answer: say.Rejected) -> bool:
    """True when an earlier attempt may have succeeded, so that a read judges the refusal.

    Which check the supplier makes first is unknown: expired may hide confirmed.
    """
    if order.unresolved:
        return True
    return answer.reason == "order_expired" and order.attempts > 1 and not order.must_ask


def sent_by_us(order: Order) -> bool:
    """True when an attempt of ours may be the one that Logitrail has accepted.

    An attempt from after a restart proves nothing: a forgotten attempt may have come before it.
    """
    if order.send_by is None:
        return False
    if order.suspect_at is None:
        return True
    return order.send_by < order.suspect_at + SEND_WINDOW
