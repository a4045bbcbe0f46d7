"""The steps that end an order, open a letter or report a change. Pure.

A letter is a dead letter: it stands for an order that is dead, or beside one that is not.
"""

from dataclasses import replace

from schemas.order import OPEN, Order
from worker.rules import records
from worker.rules.answers import Cancelled
from worker.rules.times import cancelled_recheck_at, followup_at
from worker.rules.words import DAY, INCOMPLETE_RECHECK, Step, Tell


def confirmed(order: Order, event: str, now: float) -> Step:
    """The order ends as confirmed."""
    return Step(
        order=records.ended(order, "confirmed", now),
        event=event,
        tells=(Tell("order.confirmed"),),
        proof=True,
    )


def cancelled(order: Order, now: float, recheck_at: float | None) -> Step:
    """The order ends as cancelled; it is read again while some lines may change."""
    ended = records.ended(order, "cancelled", now)
    return Step(
        order=replace(ended, due_at=recheck_at, inferred=False),
        event="cancelled",
        tells=(Tell("order.cancelled"),),
        proof=True,
    )


def recheck_of_cancelled(order: Order, answer: Cancelled, now: float) -> float | None:
    """The next read of an order that `answer` shows as cancelled; None when no line may change."""
    if all(line.final for line in answer.lines):
        return None
    cancelled_at = now
    if order.state == "cancelled" and order.ended_at is not None:
        cancelled_at = order.ended_at
    return cancelled_recheck_at(cancelled_at, now)


def dead_letter(order: Order, reason: str, now: float) -> Step:
    """The order is dead: it waits for a human."""
    return Step(
        order=records.dead(order, reason, now),
        event="dead",
        tells=(Tell("order.dead_lettered"),),
    )


def pending_too_long(order: Order, now: float) -> Step:
    """The order is dead, and is still read once a day."""
    dead = dead_letter(order, "pending_too_long", now)
    return replace(dead, order=replace(dead.order, due_at=now + DAY))


def letter_beside(order: Order, reason: str, now: float) -> Step:
    """The order keeps its state; a letter beside it waits for a human."""
    return Step(
        order=_with_letter(order, reason, now),
        event=reason,
        tells=(Tell("order.dead_lettered", reason),),
    )


def confirmed_after_end(order: Order, seen: Order, now: float) -> Step:
    """The supplier confirmed what was withdrawn or resolved: one letter beside the order."""
    if order.letter == "contradictory_answers" or order.contradictions:
        return updated_if_changed(order, seen)
    marked = replace(seen, contradictions=1)
    return Step(
        order=_with_letter(marked, "contradictory_answers", now),
        event="confirmed_after_end",
        tells=(Tell("order.updated", "contradictory_answers"),),
        proof=True,
    )


def cancelled_after_proof(order: Order, seen: Order) -> Step:
    """The supplier cancelled an order that it had confirmed: the web app is told once."""
    marked = replace(seen, detail="cancelled after it was confirmed")
    is_news = marked.detail != order.detail
    return Step(
        order=marked,
        event="cancelled_after_proof",
        tells=(Tell("order.updated"),) if is_news else (),
        proof=is_news,
    )


def incomplete(order: Order, seen: Order, now: float) -> Step:
    """Finished, but some line has nothing to deliver: one more read, then a dead letter."""
    if order.state not in OPEN:
        return updated_if_changed(order, replace(seen, due_at=followup_at(seen, now)))
    waiting = replace(
        records.resolved(seen),
        state="pending",
        pending_since=order.pending_since or now,
        failures=0,
        incomplete=True,
        due_at=now + INCOMPLETE_RECHECK,
    )
    if order.incomplete:
        return dead_letter(waiting, "incomplete_delivery", now)
    return Step(order=waiting, event="incomplete")


def updated_if_changed(before: Order, after: Order) -> Step:
    """The web app is told `order.updated` when the supplier has shown something new."""
    if _shown(before) == _shown(after):
        return Step(order=after, event="unchanged")
    return Step(
        order=after,
        event="updated",
        tells=(Tell("order.updated"),),
        proof=True,
    )


def _shown(order: Order) -> tuple[object, ...]:
    return order.lines, order.tracking_code, order.tracking_url, order.inferred


def _with_letter(order: Order, reason: str, now: float) -> Order:
    return replace(order, letter=reason, letter_at=now, due_at=None)
