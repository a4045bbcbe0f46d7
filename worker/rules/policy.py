"""What happens next to an order. Pure: no I/O, no clock, no random.

`next_call` says which supplier call, if any, an order may make now; `decide` says what an answer
makes of the order. `worker.turns.executor` performs the first, `worker.ledger` writes the second.
"""

from dataclasses import replace
from typing import assert_never

from schemas.order import ENDED, OPEN, Order
from worker.rules import answers as say
from worker.rules import page_trust, records, steps
from worker.rules.lane_signals import signal_of_step
from worker.rules.later import Later
from worker.rules.times import Times, followup_at
from worker.rules.words import (
    CONFIRM,
    CONTRADICTIONS,
    DAY,
    HOST_STAYS,
    NOT_FOUND_RECHECK,
    NOTICE,
    OWN_REASONS,
    READ,
    Call,
    Rules,
    Step,
    Tell,
    Turn,
)


class Policy:
    """The rules of one supplier, applied to its orders."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.times = Times(rules)
        self.later = Later(self.times)

    # --- what may be called now -----------------------------------------------------------------

    def next_call(self, order: Order, now: float) -> Call | Step:
        """The call that `order` may make now, or the step that needs none; total over states."""
        if order.state in ("accepted", "submitted"):
            return self._question_or_confirm(order, now)
        if order.state == "confirmed" and order.inferred and not order.tracking_code:
            return steps.letter_beside(order, "tracking_missing", now)
        if self.rules.reads and order.state in ("pending", "dead", "cancelled"):
            return Call(kind=READ)
        return Step(order=replace(order, due_at=None), event="nothing_to_ask")

    def unpayable(self, order: Order, now: float) -> Step:
        """The account cannot pay for this order: the supplier's refusal, without the call."""
        refused = replace(order, detail="balance too low, not sent")
        return steps.dead_letter(refused, "insufficient_balance", now)

    def _question_or_confirm(self, order: Order, now: float) -> Call | Step:
        must_read = order.must_ask and self.rules.reads
        if order.unresolved or must_read:
            return self._question(order, now)
        if self.times.too_late(order, now):
            return steps.dead_letter(order, "deadline_missed", now)
        return Call(kind=CONFIRM, details=order.details, host=order.host)

    def _question(self, order: Order, now: float) -> Call | Step:
        if self.rules.reads:
            return Call(kind=READ)
        if now <= self.times.settled_at(order):
            waiting = replace(order, due_at=self.times.after_settle(order))
            return Step(order=waiting, event="settling")
        if order.host_since is not None and now - order.host_since >= HOST_STAYS:
            return Call(kind=CONFIRM, host=self._other_host(order))
        return Call(kind=CONFIRM, host=order.host)

    def _other_host(self, order: Order) -> int:
        return (order.host + 1) % self.rules.hosts

    # --- what an answer makes of the order ------------------------------------------------------

    def decide(
        self, order: Order, call: Call, answer: say.Answer, now: float, jitter: float = 0.0
    ) -> Step:
        """What `answer`, got by `call`, makes of `order`. Total over (state, answer, now)."""
        step = self._decide(order, answer, Turn(call, now, jitter))
        if call.kind == NOTICE:
            return step
        if order.page_says and page_trust.word_of(answer):
            judged = page_trust.judged(order, answer)
            step = replace(step, order=replace(step.order, page_says=None), page=judged)
        lane = signal_of_step(answer, step)
        return replace(
            step,
            signal=lane.signal,
            cause=lane.cause,
            retry_after=lane.retry_after,
        )

    def _decide(self, order: Order, answer: say.Answer, turn: Turn) -> Step:
        match answer:
            case say.Confirmed():
                return self._on_confirmed(order, answer, turn)
            case say.Pending():
                return self._on_pending(order, answer, turn)
            case say.Cancelled():
                return self._on_cancelled(order, answer, turn)
            case say.Created():
                return self._on_created(order, answer, turn)
            case say.Rejected():
                return self._on_rejected(order, answer, turn)
            case say.Blocked():
                return self._on_blocked(order, answer, turn)
            case say.Unavailable():
                return self._on_unavailable(order, answer, turn)
            case say.Unknown():
                return self._on_unknown(order, answer, turn)
            case say.NotFound():
                return self._on_not_found(order, answer, turn)
            case _:
                assert_never(answer)

    def _on_confirmed(self, order: Order, answer: say.Confirmed, turn: Turn) -> Step:
        seen = records.with_facts(order, answer, self.rules.confirm_within)
        if self.rules.reads and not (answer.complete and answer.lines):
            return steps.incomplete(order, seen, turn.now)
        if order.state in ("confirmed", "cancelled"):
            return steps.updated_if_changed(order, records.proven(seen))
        if order.state in ("withdrawn", "resolved"):
            return steps.confirmed_after_end(order, seen, turn.now)
        details_applied = _details_applied(order, turn.call)
        proven = replace(seen, details_applied=details_applied, inferred=False)
        return steps.confirmed(proven, "confirmed", turn.now)

    def _on_pending(self, order: Order, answer: say.Pending, turn: Turn) -> Step:
        seen = records.with_facts(order, answer, self.rules.confirm_within)
        if order.state in ENDED:
            due_at = followup_at(seen, turn.now)
            return steps.updated_if_changed(order, replace(seen, due_at=due_at))
        seen = records.answered(records.resolved(seen))
        if seen.pending_since is None:
            seen = replace(seen, pending_since=turn.now)
        if order.state == "dead":
            return self._pending_while_dead(seen, turn)
        if self.times.pending_too_long(seen, turn.now):
            return steps.pending_too_long(seen, turn.now)
        later = replace(self.later.snooze(seen, turn), state="pending", reason=None)
        is_news = order.state != "pending" or seen.lines_finished != order.lines_finished
        return Step(
            order=later,
            event="pending",
            tells=(Tell("order.pending"),) if is_news else (),
        )

    def _pending_while_dead(self, order: Order, turn: Turn) -> Step:
        """The order stays dead for the human and is read on the schedule, later once a day."""
        if self.times.pending_too_long(order, turn.now):
            return Step(order=replace(order, due_at=turn.now + DAY), event="pending")
        return Step(order=self.later.snooze(order, turn), event="pending")

    def _on_cancelled(self, order: Order, answer: say.Cancelled, turn: Turn) -> Step:
        seen = records.with_facts(order, answer, self.rules.confirm_within)
        if order.state in ("withdrawn", "resolved"):
            return Step(order=replace(seen, due_at=None), event="cancelled_after_end")
        only_inferred = order.inferred and turn.call.kind == NOTICE
        if order.state == "confirmed" and not only_inferred:
            return steps.cancelled_after_proof(order, seen)
        recheck_at = steps.recheck_of_cancelled(order, answer, turn.now)
        if order.state == "cancelled":
            return steps.updated_if_changed(order, replace(seen, due_at=recheck_at))
        return steps.cancelled(seen, turn.now, recheck_at)

    def _on_created(self, order: Order, answer: say.Created, turn: Turn) -> Step:
        seen = records.with_facts(order, answer, self.rules.confirm_within)
        if order.state not in OPEN:
            return self._created_after_end(seen, turn)
        seen = records.answered(seen)
        if order.state == "pending":
            return self._created_while_pending(seen, turn)
        if order.unresolved and turn.call.at <= self.times.settled_at(order):
            due_at = self.times.after_settle(order)
            return Step(order=replace(seen, due_at=due_at), event="read_created_early")
        return self._not_confirmed(seen, turn.now)

    def _created_after_end(self, order: Order, turn: Turn) -> Step:
        """A settled read of a dead order shows that no attempt of it took effect."""
        if order.state == "dead" and turn.call.at > self.times.settled_at(order):
            order = records.resolved(order)
        due_at = followup_at(order, turn.now)
        return Step(order=replace(order, due_at=due_at), event="read_created")

    def _created_while_pending(self, order: Order, turn: Turn) -> Step:
        """A contradiction that permits nothing: the order is read again, never confirmed."""
        if self.times.pending_too_long(order, turn.now):
            return steps.pending_too_long(order, turn.now)
        return Step(order=self.later.snooze(order, turn), event="read_created_while_pending")

    def _not_confirmed(self, order: Order, now: float) -> Step:
        """No attempt took effect: confirm again, unless something speaks against it."""
        contradictions = order.contradictions + order.refused
        clear = replace(
            records.resolved(order),
            state="accepted",
            contradictions=contradictions,
            due_at=now,
        )
        if contradictions >= CONTRADICTIONS:
            return steps.dead_letter(clear, "contradictory_answers", now)
        if order.verdict:
            return steps.dead_letter(clear, order.verdict, now)
        if self.times.too_late(clear, now):
            return steps.dead_letter(clear, "deadline_missed", now)
        return Step(order=clear, event="read_created")

    def _on_rejected(self, order: Order, answer: say.Rejected, turn: Turn) -> Step:
        """The order is dead of the refusal; a question comes first if it may be confirmed."""
        if order.state not in OPEN or turn.call.kind == READ:
            return self.later.retry(order, "question_failed", turn)
        clear = order
        if answer.certain:
            clear = records.without_effect(order, turn.call)
        clear = records.noted(records.answered(clear), answer.detail)
        if answer.reason == "order_not_passive":
            return self._not_passive(clear, turn.now)
        asked_already = order.verdict == answer.reason and not self.rules.reads
        if asked_already or not records.may_be_confirmed(clear, answer):
            return steps.dead_letter(clear, answer.reason, turn.now)
        asking = replace(
            clear,
            verdict=answer.reason,
            must_ask=True,
            due_at=self.times.question_at(clear, turn.now),
        )
        return self.later.within_limits(asking, "rejected", turn.now)

    def _not_passive(self, order: Order, now: float) -> Step:
        """Logitrail has accepted the order before: by an attempt of ours, if there was one."""
        ours = records.sent_by_us(order)
        if ours and not order.inference_barred:
            return self._confirmed_by_inference(order, now)
        if order.suspect_at is not None and not ours:
            return steps.dead_letter(order, "outcome_unknown", now)
        return steps.dead_letter(replace(order, inference_barred=True), "order_not_passive", now)

    def _confirmed_by_inference(self, order: Order, now: float) -> Step:
        """Confirmed; the webhook owes the tracking code until the order would be given up."""
        step = steps.confirmed(order, "confirmed_by_inference", now)
        tracking_until = now + (self.rules.give_up or 0.0)
        inferred = replace(step.order, inferred=True, due_at=tracking_until)
        return replace(step, order=inferred)

    def _on_blocked(self, order: Order, answer: say.Blocked, turn: Turn) -> Step:
        """The order stays due; a second block while others pass is the order's own trouble.

        Such an order backs off on RETRY_SECONDS, but for a 403, which is plain; then it is dead.
        """
        clear = records.noted(records.without_effect(order, turn.call), answer.detail)
        clear = replace(clear, due_at=turn.now)
        own_reason = OWN_REASONS.get(answer.cause)
        if own_reason is None or order.state not in OPEN:
            return Step(order=clear, event="blocked")
        others_pass = _is_after(turn.call.passed_at, order.denied_at)
        if not others_pass:
            denied = replace(clear, denied_at=order.denied_at or turn.now)
            return Step(order=denied, event="blocked")
        if turn.call.kind == READ or clear.unresolved:
            return self.later.retry(clear, "question_failed", turn)
        if answer.cause != "forbidden" and order.failures < len(self.rules.retry):
            return self.later.retry(clear, "blocked_alone", turn)
        return steps.dead_letter(clear, own_reason, turn.now)

    def _on_unavailable(self, order: Order, answer: say.Unavailable, turn: Turn) -> Step:
        """Retry, at another host unless an older attempt is unresolved."""
        clear = records.without_effect(order, turn.call)
        if turn.call.kind == CONFIRM and not clear.unresolved:
            clear = replace(clear, host=self._other_host(order))
        return self.later.retry(records.noted(clear, answer.detail), "unavailable", turn)

    def _on_unknown(self, order: Order, answer: say.Unknown, turn: Turn) -> Step:
        """A confirm may have taken effect: the order stays submitted and is asked about."""
        seen = records.noted(order, answer.detail)
        if turn.call.kind == READ:
            return self.later.retry(seen, "question_failed", turn)
        if not self.rules.reads:
            due_at = self.times.after_settle(order)
            asking = replace(seen, failures=order.failures + 1, due_at=due_at)
            return self.later.within_limits(asking, "outcome_unknown", turn.now)
        if answer.refused:
            asking = replace(seen, refused=True, due_at=turn.now)
            return Step(order=asking, event="confirm_refused")
        return self.later.retry(replace(seen, refused=False), "outcome_unknown", turn)

    def _on_not_found(self, order: Order, answer: say.NotFound, turn: Turn) -> Step:
        """Retry; dead when the lane has found another order since the first not-found."""
        if order.state not in OPEN:
            due_at = followup_at(order, turn.now)
            return Step(order=replace(order, due_at=due_at), event="question_failed")
        clear = records.noted(records.without_effect(order, turn.call), answer.detail)
        clear = replace(clear, denied_at=None)
        others_are_found = _is_after(turn.call.found_at, order.not_found_at)
        if others_are_found or order.requeued_at is not None:
            return steps.dead_letter(clear, "order_not_found", turn.now)
        marked = replace(clear, not_found_at=order.not_found_at or turn.now)
        rest = NOT_FOUND_RECHECK if marked.state == "accepted" else 0.0
        return self.later.retry(marked, "not_found", turn, at_least=rest)


def _is_after(latest: float | None, first: float | None) -> bool:
    """True when the lane's latest success came after the order's first refusal."""
    if latest is None or first is None:
        return False
    return latest > first


def _details_applied(order: Order, call: Call) -> bool | None:
    """Whether the confirm carried the details; None without details, or when a webhook spoke."""
    if not order.details or call.kind != CONFIRM:
        return None
    return call.details
