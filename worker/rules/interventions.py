"""What the web app and people may ask of an order: withdraw, requeue, resolve. Pure.

Each returns the step to write, or None when there is nothing to do.
"""

from dataclasses import replace

from schemas.order import OPEN, Order
from worker.rules.words import Step, Tell

ACCEPTED = ("pending", "confirmed", "cancelled")
"""States in which the supplier has accepted the order."""
NEVER_REQUEUED = ("tracking_missing",)
"""Reasons of letters that stand beside an order: there is nothing to requeue."""


def withdraw(order: Order, now: float) -> Step | None:
    """Takes an order back while nothing was, or may have been, sent; else the refusal is told."""
    if order.state == "withdrawn":
        return Step(order=order, event="withdrawn_again")
    accepted_by_supplier = order.pending_since is not None or order.state in ACCEPTED
    if order.unresolved or accepted_by_supplier or order.state == "resolved":
        return Step(
            order=order,
            event="withdraw_refused",
            tells=(Tell("order.updated", "withdraw_refused"),),
        )
    withdrawn = replace(
        order,
        state="withdrawn",
        reason=None,
        letter=None,
        letter_at=None,
        due_at=None,
        ended_at=now,
        contradictions=0,
    )
    return Step(
        order=withdrawn,
        event="withdrawn",
        tells=(Tell("order.withdrawn"),),
    )


def requeue(order: Order, now: float) -> Step | None:
    """Puts a dead order back: ask, decide, then maybe confirm. None unless the order is dead."""
    if order.state != "dead":
        return None
    back = replace(_back(order, now), requeued_at=now)
    return Step(order=back, event="requeued")


def requeue_on_funds(order: Order, now: float) -> Step | None:
    """Puts back an order that is dead of insufficient balance; None for any other.

    No person has decided this, so the order's limits do not start again.
    """
    if order.state != "dead" or order.letter != "insufficient_balance":
        return None
    return Step(order=_back(order, now), event="requeued_on_funds")


def _back(order: Order, now: float) -> Order:
    return replace(
        order,
        state=_open_state(order),
        reason=None,
        letter=None,
        letter_at=None,
        detail=None,
        due_at=now,
        must_ask=True,
        failures=0,
        snoozes=0,
        verdict=None,
        contradictions=0,
        incomplete=False,
        denied_at=None,
        not_found_at=None,
    )


def _open_state(order: Order) -> str:
    if order.pending_since is not None:
        return "pending"
    if order.send_by is not None:
        return "submitted"
    return "accepted"


def resolve(order: Order, now: float, note: str) -> Step | None:
    """Closes a letter with a person's note, and ends the order if it was open or dead.

    None when the order has no letter.
    """
    if order.letter is None:
        return None
    closed = replace(order, letter=None, letter_at=None, note=note, due_at=None)
    if order.state not in (*OPEN, "dead"):
        return Step(order=closed, event="letter_closed")
    resolved = replace(closed, state="resolved", ended_at=now, contradictions=0)
    return Step(
        order=resolved,
        event="resolved",
        tells=(Tell("order.resolved"),),
    )
