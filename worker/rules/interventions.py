"""What the web app and people may ask of an order: withdraw, requeue, resolve.

Pure, like `worker.rules.policy`.
"""

from dataclasses import replace

from schemas.order import OPEN, Order
from worker.rules.policy import Step

ACCEPTED = ("pending", "confirmed", "cancelled")
"""States in which the supplier has accepted the order."""
NEVER_REQUEUED = ("tracking_missing",)


def withdraw(order: Order, now: float) -> Step | None:
    """Takes an order back while nothing was, or may have been, sent; else tells the web app that it
    cannot.
    """
    if order.state == "withdrawn":
        return Step(order=order, event="withdrawn_again")
    accepted_by_supplier = order.pending_since is not None or order.state in ACCEPTED
    if order.unresolved or accepted_by_supplier or order.state == "resolved":
        return Step(
            order=order, event="withdraw_refused", tells=(("order.updated", "withdraw_refused"),)
        )
    gone = replace(
        order,
        state="withdrawn",
        reason=None,
        letter=None,
        letter_at=None,
        due_at=None,
        ended_at=now,
    )
    gone = replace(gone, contradictions=0)
    return Step(order=gone, event="withdrawn", tells=(("order.withdrawn", None),))


def requeue(order: Order, now: float) -> Step | None:
    """Puts a dead letter back: ask, decide, then maybe confirm.

    None when it is not one, so twice is harmless.
    """
    if order.state != "dead":
        return None
    state = (
        "pending"
        if order.pending_since is not None
        else "submitted"
        if order.send_by is not None
        else "accepted"
    )
    back = replace(
        order,
        state=state,
        reason=None,
        letter=None,
        letter_at=None,
        detail=None,
        requeued_at=now,
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
    return Step(order=back, event="requeued")


def requeue_on_funds(order: Order, now: float) -> Step | None:
    """Puts back what died for want of money.

    Nobody has decided this, so the order's limits do not start anew.
    """
    step = requeue(order, now) if order.letter == "insufficient_balance" else None
    return step and replace(
        step, order=replace(step.order, requeued_at=order.requeued_at), event="requeued_on_funds"
    )


def resolve(order: Order, now: float, note: str) -> Step | None:
    """Closes a dead letter with a person's note.

    A letter beside an ended order closes without ending it again.
    """
    if order.letter is None:
        return None
    closed = replace(order, letter=None, letter_at=None, note=note, due_at=None)
    if order.state not in (*OPEN, "dead"):
        return Step(order=closed, event="letter_closed")
    ended = replace(closed, state="resolved", ended_at=now, contradictions=0)
    return Step(order=ended, event="resolved", tells=(("order.resolved", None),))
