"""Whether a dead letter's reason is borne out by the books."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.books import Entry
from tests.simulation.clock import START
from tests.simulation.plan import OrderPlan
from worker.rules import answers as say
from worker.rules.words import OWN_REASONS

if TYPE_CHECKING:
    from tests.simulation.world import World

DAY = 86400.0
REFUSED = (
    "insufficient_balance",
    "out_of_stock",
    "offer_unavailable",
    "multiple_order_lines",
    "order_expired",
    "invalid_request",
    "unrecognised_answer",
)
NOT_SENT = "balance too low, not sent"
HARMLESS = ("incomplete_delivery", "pending_too_long")
"""Reasons for which the supplier may have the order confirmed: it is not a failure, a human looks
at it.
"""


def unjustified(
    world: World, plan: OrderPlan, entry: Entry, record: dict[str, str], reason: str
) -> str | None:
    """Why an order must not be dead for this reason; None when it may."""
    age = float(record["letter_at"]) - float(record["accepted_at"])
    unknown = reason == "outcome_unknown" and (world.doubted or age >= 3 * DAY)
    if entry.effects and reason not in HARMLESS and not unknown:
        return f"it was confirmed with the supplier, where it is {entry.status}"
    if entry.status == "finished" and plan.ending != "incomplete":
        return "the supplier has finished it"
    said = [visit.answer for visit in entry.visits if visit.delivered]
    refused = any(isinstance(answer, say.Rejected) and answer.reason == reason for answer in said)
    # A later read of it leaves another detail.
    if reason == "insufficient_balance" and (record.get("detail") == NOT_SENT or not refused):
        return None if world.forgot else world.bank.too_poor(plan, record)
    if reason in REFUSED:
        return None if refused or _blocked_alone(said, reason) else "no answer said so"
    return (
        None
        if _holds(plan, entry, record, reason, age) or unknown
        else "the books do not bear it out"
    )


def _blocked_alone(said: list[say.Answer], reason: str) -> bool:
    """A block counts as the order's own when it is the second, whatever the first was for.

    Others have passed in between, so the lane is well. The last block names the reason.
    """
    blocked = [answer for answer in said if isinstance(answer, say.Blocked)]
    own = [OWN_REASONS[answer.cause] for answer in blocked if answer.cause in OWN_REASONS]
    return len(own) >= 2 and own[-1] == reason


def _holds(plan: OrderPlan, entry: Entry, record: dict[str, str], reason: str, age: float) -> bool:
    said = [visit.answer for visit in entry.visits if visit.delivered]
    requeued = "requeued_at" in record
    if reason == "deadline_missed":
        last = START + plan.arrives + plan.life - 30.0 - plan.earlier
        return float(record["letter_at"]) > last
    if reason == "order_not_found":
        return sum(isinstance(answer, say.NotFound) for answer in said) >= (1 if requeued else 2)
    if reason == "order_not_passive":
        return any(isinstance(answer, say.Rejected) and answer.reason == reason for answer in said)
    if reason == "access_denied":
        return _blocked_alone(said, reason)
    if reason == "contradictory_answers":
        return sum(isinstance(answer, say.Unknown) and answer.refused for answer in said) >= 3
    if reason == "incomplete_delivery":
        return plan.ending.startswith("incomplete") and entry.status == "finished"
    if reason == "pending_too_long":
        return entry.effects > 0
    return reason == "gave_up" and age >= 3 * DAY
