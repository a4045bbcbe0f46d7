"""The steps after which an order is due again, unless it has reached a limit. Pure."""

from dataclasses import dataclass, replace

from schemas.order import OPEN, Order
from worker.rules import steps
from worker.rules.times import Times, followup_at
from worker.rules.words import EXTRA_READS, Step, Turn


@dataclass(frozen=True, slots=True)
class Later:
    """Retries after a failure, snoozes while the supplier says pending."""

    times: Times

    def retry(self, order: Order, event: str, turn: Turn, at_least: float = 0.0) -> Step:
        """The order is due again on RETRY_SECONDS, or `at_least` so many seconds later.

        A probe of a held lane spends no delay.
        """
        is_open = order.state in OPEN
        if turn.call.probing and is_open and not order.unresolved:
            return self.within_limits(replace(order, due_at=turn.now), event, turn.now)
        again = replace(
            order,
            due_at=self.times.retry_at(order, turn.now, turn.jitter, at_least),
            failures=order.failures + 1,
        )
        if is_open:
            return self.within_limits(again, event, turn.now)
        if order.failures >= EXTRA_READS:
            due_at = followup_at(order, turn.now)
            again = replace(again, due_at=due_at, failures=0)
        return Step(order=again, event=event)

    def within_limits(self, order: Order, event: str, now: float) -> Step:
        """The order as it is, or dead when it has reached a limit.

        Limits are checked after an answer, so that a requeued or held order makes its call first.
        """
        if order.state == "pending":
            if self.times.pending_too_long(order, now):
                return steps.pending_too_long(order, now)
            return Step(order=order, event=event)
        if not order.unresolved and self.times.too_late(order, now):
            return steps.dead_letter(order, "deadline_missed", now)
        if not self.times.must_give_up(order, now):
            return Step(order=order, event=event)
        if order.unresolved:
            return steps.dead_letter(order, "outcome_unknown", now)
        return steps.dead_letter(order, "gave_up", now)

    def snooze(self, order: Order, turn: Turn) -> Order:
        """The order is due again on the re-check schedule; that spends no attempt."""
        due_at = self.times.recheck_at(order, turn.now, turn.jitter)
        return replace(order, due_at=due_at, snoozes=order.snoozes + 1)
