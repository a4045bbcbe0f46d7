"""When: the moments, delays and limits of an order under its supplier's rules. Pure.

Times are seconds since the epoch by the ledger's clock. `jitter` lies between -1 and 1.
"""

from dataclasses import dataclass
from typing import NamedTuple

from schemas.order import Order
from worker.rules import page_trust
from worker.rules.answers import NOT_FINAL
from worker.rules.words import CANCELLED_RECHECKS, DAY, SEND_WINDOW, Rules

JITTER = 0.2
"""Share of a delay by which jitter moves it, either way."""
AFTER_SETTLE = 0.01
"""Seconds after the settle time at which a question is asked: only a later read resolves."""


class Rank(NamedTuple):
    """The ready set of an order's next call (confirm, ask or recheck) and its rank there."""

    kind: str
    at: float


@dataclass(frozen=True, slots=True)
class Times:
    """The moments of one supplier's orders."""

    rules: Rules

    def last_safe_moment(self, order: Order) -> float | None:
        """The last instant at which a confirm's first byte may leave; None without a deadline."""
        if order.deadline_at is None:
            return None
        return order.deadline_at - self.rules.margin

    def too_late(self, order: Order, now: float) -> bool:
        """True when the last safe moment for a confirm has passed."""
        last = self.last_safe_moment(order)
        return last is not None and now > last

    def settled_at(self, order: Order) -> float:
        """When every confirm that can have left has taken effect, or never will."""
        latest = max(order.send_by or 0.0, order.suspect_at or 0.0)
        return latest + self.rules.settle

    def question_at(self, order: Order, now: float) -> float:
        """When to ask about an order: now by a read, or after the settle time by a confirm."""
        if self.rules.reads:
            return now
        return self.after_settle(order)

    def after_settle(self, order: Order) -> float:
        """The first moment at which a question can resolve the order's attempts."""
        return self.settled_at(order) + AFTER_SETTLE

    # --- the next call --------------------------------------------------------------------------

    def waits_for(self, order: Order) -> Rank:
        """The kind and rank of the order's next call. Confirms and questions rank by deadline.

        A pending order waits until its rank for a list page; 0 means that it does not wait.
        """
        if order.state in ("accepted", "submitted"):
            must_ask = order.unresolved or order.must_ask
            return Rank("ask" if must_ask else "confirm", self._confirm_until(order))
        if order.page_says or order.due_at is None:
            return Rank("recheck", 0.0)
        return Rank("recheck", order.due_at + self.slack(order))

    def slack(self, order: Order) -> float:
        """Seconds by which a planned re-check of a pending order may come earlier or later."""
        planned = order.state == "pending" and order.snoozes > 0
        if not planned or order.failures or order.incomplete:
            return 0.0
        return page_trust.SLACK * _repeating(self.rules.recheck, order.snoozes - 1)

    def _confirm_until(self, order: Order) -> float:
        last = self.last_safe_moment(order)
        if last is not None:
            return last
        return _later_of(order.accepted_at, order.requeued_at) + (self.rules.give_up or 0.0)

    def recheck_at(self, order: Order, now: float, jitter: float) -> float:
        """When a pending order is read again: the re-check schedule, whose last delay repeats."""
        delay = _repeating(self.rules.recheck, order.snoozes)
        return now + _jittered(delay, jitter)

    def retry_at(self, order: Order, now: float, jitter: float, at_least: float = 0.0) -> float:
        """The next delay of RETRY_SECONDS, clipped so that one last confirm can leave in time."""
        delay = max(_repeating(self.rules.retry, order.failures), at_least)
        due = now + _jittered(delay, jitter)
        last = self.last_safe_moment(order)
        if last is None or order.state not in ("accepted", "submitted"):
            return due
        return _clipped(due, now, last)

    # --- limits ---------------------------------------------------------------------------------

    def pending_too_long(self, order: Order, now: float) -> bool:
        """True at the pending limit, which counts from the first pending answer or a requeue."""
        since = _later_of(order.pending_since or now, order.requeued_at)
        return now - since >= self.rules.pending_limit

    def must_give_up(self, order: Order, now: float) -> bool:
        """True when the supplier is asked no more.

        At Logitrail that is LOGITRAIL_GIVE_UP_SECONDS after acceptance, at Relograde a day after
        the deadline of an unresolved order. A later requeue starts both again.
        """
        if self.rules.give_up is not None:
            return now - _later_of(order.accepted_at, order.requeued_at) >= self.rules.give_up
        if not order.unresolved:
            return False
        return now - _later_of(order.deadline_at or now, order.requeued_at) >= DAY


def followup_at(order: Order, now: float) -> float | None:
    """The next read of an order that is not open; None when there is none.

    Read again are an order that was pending too long, and a cancelled one whose lines may change.
    """
    if order.state == "cancelled" and order.ended_at is not None:
        return _recheck_of_lines(order, order.ended_at, now)
    if order.letter == "pending_too_long":
        return now + DAY
    return None


def _recheck_of_lines(order: Order, ended_at: float, now: float) -> float | None:
    if all(line["status"] not in NOT_FINAL for line in order.lines or ()):
        return None
    return cancelled_recheck_at(ended_at, now)


def cancelled_recheck_at(cancelled_at: float, now: float) -> float | None:
    """The next read of a cancelled order, some lines of which may still be delivered."""
    for delay in CANCELLED_RECHECKS:
        if cancelled_at + delay > now:
            return cancelled_at + delay
    return None


def _later_of(moment: float, requeued_at: float | None) -> float:
    return max(moment, requeued_at or 0.0)


def _repeating(delays: tuple[float, ...], index: int) -> float:
    last = len(delays) - 1
    return delays[min(index, last)]


def _jittered(delay: float, jitter: float) -> float:
    return delay * (1 + JITTER * jitter)


def _clipped(due: float, now: float, last: float) -> float:
    """`due`, or the last moment that leaves a confirm its whole send window, or any window."""
    if now > last or due <= last:
        return due
    last_whole_window = last - SEND_WINDOW
    if now < last_whole_window:
        return last_whole_window
    return last
