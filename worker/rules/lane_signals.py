"""What an answer says of its lane, whatever it says of an order. Pure."""

from typing import NamedTuple

from worker.rules import answers as say
from worker.rules.words import OWN_REASONS, Step


class LaneSignal(NamedTuple):
    """`signal` is passed, found, not_found, failed or blocked; None says nothing of the lane."""

    signal: str | None = None
    cause: str | None = None
    """Why the lane is blocked."""
    retry_after: float | None = None
    """Seconds that the supplier asked the lane to wait."""


def signal_of(answer: object) -> LaneSignal:
    """The signal of one call's answer; a list page or balances have passed.

    A call that was too late to be sent says nothing: this worker was slow, or the deadline near.
    """
    match answer:
        case say.Unavailable(late=True):
            return LaneSignal()
        case say.Unavailable() | say.Unknown(outage=True):
            return LaneSignal("failed")
        case say.Blocked():
            return LaneSignal("blocked", answer.cause, answer.retry_after)
        case say.NotFound():
            return LaneSignal("not_found")
        case say.Confirmed() | say.Pending() | say.Cancelled() | say.Created():
            return LaneSignal("found")
        case say.Rejected(certain=True):
            return LaneSignal("found")
        case _:
            return LaneSignal("passed")


def signal_of_step(answer: say.Answer, step: Step) -> LaneSignal:
    """The signal of an order's call; a block that is this order's own says nothing of the lane."""
    if isinstance(answer, say.Blocked) and _is_the_orders_own(step):
        return LaneSignal()
    return signal_of(answer)


def _is_the_orders_own(step: Step) -> bool:
    if step.event in ("question_failed", "blocked_alone"):
        return True
    return step.order.state == "dead" and step.order.reason in OWN_REASONS.values()
