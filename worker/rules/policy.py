"""What happens next to an order: pure functions over values. No I/O, no clock, no random.

`next_call` says which supplier call, if any, an order may make now; `decide` says what an answer
makes of the order. Both return values; `worker.turns.executor` performs the one and `worker.ledger`
writes the other. Times are seconds since the epoch as the ledger's clock gives them; jitter is an
argument between -1 and 1 that tests set to zero.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from schemas.order import ENDED, OPEN, Order
from worker.rules import answers as say
from worker.rules import page_trust

CONFIRM, READ, NOTICE = "confirm", "read", "notice"
"""Kinds of call; a notice is a webhook: the supplier speaks without having been asked."""

SEND_WINDOW = 5.0
"""Seconds from an intent to the last moment at which its first byte may leave."""
HOST_STAYS = 600.0
"""Seconds for which a question at Logitrail goes to the host that got the unresolved attempt."""
DAY = 86400.0
CANCELLED_LOOKS = (900.0, DAY)
"""Seconds after a cancelled answer with unsettled lines at which it is read again."""
CONTRADICTIONS = 3
INCOMPLETE_LOOK = 2.0
EXTRA_READS = 5
"""Failed reads of an order that is not open (a hint, a follow-up) before they end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What differs between suppliers, from the settings; all in seconds."""

    reads: bool
    settle: float
    confirm_within: float | None = None
    margin: float = 0.0
    recheck: tuple[float, ...] = (15.0,)
    pending_limit: float = 7 * DAY
    give_up: float | None = None
    retry: tuple[float, ...] = (2.0,)
    hosts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One permitted call. `at` is the ledger's time at the permit, never later than the first byte.

    `passed_at` and `found_at` are when another call of the lane last got through, and last found
    its order.
    """

    kind: str
    details: bool = False
    host: int = 0
    at: float = 0.0
    passed_at: float | None = None
    found_at: float | None = None
    probing: bool = False
    """The lane is held and this call is its probe: what goes wrong now is the lane's trouble, not
    the order's.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is written: the record as it becomes, the timeline's event, what the web app is told."""

    order: Order
    event: str
    tells: tuple[tuple[str, str | None], ...] = ()
    """Outcome types, each with a reason of its own or None for the record's."""
    proof: bool = False
    """True when the supplier has shown an end or a tracking code: it is merged even by a stale
    fence.
    """
    signal: str | None = None
    """What the answer says of the lane: passed, found, not_found, failed or blocked; None: nothing.
    """
    cause: str | None = None
    retry_after: float | None = None
    page: str | None = None
    """What this read says of the page before it: agreed or contradicted."""


class Policy:
    """The rules of one supplier, applied to its orders."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    # --- what may be called now -------------------------------------------------------------------

    def next_call(self, order: Order, now: float) -> Call | Step:
        """The one call that `order` may make now, or the step that needs none.

        Total over every state.
        """
        if order.state in OPEN and order.state != "pending":
            if order.unresolved or (order.must_ask and self.rules.reads):
                return self._question(order, now)
            if self.too_late(order, now):
                return self._die(order, "deadline_missed", now)
            return Call(kind=CONFIRM, details=order.details, host=order.host)
        if order.state == "confirmed" and order.inferred and not order.tracking_code:
            return self._letter_beside(order, "tracking_missing", now)
        if not self.rules.reads or order.state not in ("pending", "dead", "cancelled"):
            return Step(order=replace(order, due_at=None), event="nothing_to_ask")
        return Call(kind=READ)

    def unpayable(self, order: Order, now: float) -> Step:
        """The account cannot pay for this order: the supplier's refusal, without the call."""
        return self._die(
            replace(order, detail="balance too low, not sent"), "insufficient_balance", now
        )

    def too_late(self, order: Order, now: float) -> bool:
        """True when the last safe moment for a confirm has passed."""
        last = self.last_safe_moment(order)
        return last is not None and now > last

    def last_safe_moment(self, order: Order) -> float | None:
        """The last instant at which a confirm's first byte may leave; None where there is no
        deadline.
        """
        return None if order.deadline_at is None else order.deadline_at - self.rules.margin

    def settled_at(self, order: Order) -> float:
        """When every confirm that can have left has surely taken effect, or never will."""
        return max(order.send_by or 0.0, order.suspect_at or 0.0) + self.rules.settle

    def waits_for(self, order: Order) -> tuple[str, float]:
        """(kind, rank) of the next look in the lane's ready sets: confirm or ask by deadline,
        recheck by its patience.

        A pending order waits that long for a page that answers for several; 0 is for what is not to
        wait at all.
        """
        last = self.last_safe_moment(order)
        if last is None:
            last = max(order.accepted_at, order.requeued_at or 0.0) + (self.rules.give_up or 0.0)
        if order.state not in ("accepted", "submitted"):
            return (
                "recheck",
                0.0
                if order.page_says or order.due_at is None
                else order.due_at + self.slack(order),
            )
        return ("ask" if order.unresolved or order.must_ask else "confirm"), last

    def slack(self, order: Order) -> float:
        """Seconds by which the next look at a pending order may come earlier or later than it was
        planned.
        """
        snoozed = (
            order.state == "pending" and order.snoozes and not (order.failures or order.incomplete)
        )
        return page_trust.SLACK * self._delay(order.snoozes - 1) if snoozed else 0.0

    def _question(self, order: Order, now: float) -> Call | Step:
        if self.rules.reads:
            return Call(kind=READ)
        if now <= self.settled_at(order):
            return Step(order=replace(order, due_at=self._after_settle(order)), event="settling")
        stale = order.host_since is not None and now - order.host_since >= HOST_STAYS
        return Call(kind=CONFIRM, host=(order.host + stale) % self.rules.hosts)

    # --- what an answer makes of it ---------------------------------------------------------------

    def decide(
        self, order: Order, call: Call, answer: say.Answer, now: float, jitter: float = 0.0
    ) -> Step:
        """What `answer`, got by `call`, makes of `order`. Total over (state, answer, now)."""
        handler: Callable[..., Step] = getattr(self, f"_on_{type(answer).__name__.lower()}")
        step = handler(order, call, answer, now, jitter)
        if call.kind == NOTICE:
            return step
        if order.page_says and page_trust.word_of(answer):
            step = replace(
                step,
                order=replace(step.order, page_says=None),
                page=page_trust.judged(order, answer),
            )
        return replace(step, **_lane(answer, step))

    def _on_confirmed(
        self, order: Order, call: Call, answer: say.Confirmed, now: float, jitter: float
    ) -> Step:
        seen = self._harvest(order, answer)
        if self.rules.reads and not (answer.complete and answer.lines):
            return self._incomplete(order, seen, call, now)
        if order.state in ("confirmed", "cancelled"):
            proven = replace(
                seen, inferred=False, due_at=None, **_closed_letter(seen, "tracking_missing")
            )
            return _told_if_changed(order, proven)
        if order.state in ("withdrawn", "resolved"):
            return self._contradiction(order, seen, now)
        applied = call.details if order.details and call.kind == CONFIRM else None
        done = replace(_ended(seen, "confirmed", now), details_applied=applied, inferred=False)
        return Step(order=done, event="confirmed", tells=(("order.confirmed", None),), proof=True)

    def _on_pending(
        self, order: Order, call: Call, answer: say.Pending, now: float, jitter: float
    ) -> Step:
        seen = self._harvest(order, answer)
        if order.state in ENDED:
            return _told_if_changed(order, replace(seen, due_at=None))
        since = order.pending_since if order.pending_since is not None else now
        seen = replace(
            _resolved(seen), pending_since=since, failures=0, denied_at=None, not_found_at=None
        )
        if now - max(since, order.requeued_at or 0.0) >= self.rules.pending_limit:
            if order.state == "dead":
                return Step(order=replace(seen, due_at=now + DAY), event="pending")
            return self._too_long(seen, now)
        later = self._snoozed(seen, now, jitter)
        if order.state == "dead":
            return Step(order=later, event="pending")
        news = order.state != "pending" or seen.lines_finished != order.lines_finished
        tells = (("order.pending", None),) if news else ()
        return Step(
            order=replace(later, state="pending", reason=None), event="pending", tells=tells
        )

    def _on_cancelled(
        self, order: Order, call: Call, answer: say.Cancelled, now: float, jitter: float
    ) -> Step:
        seen = self._harvest(order, answer)
        if order.state in ("withdrawn", "resolved"):
            return Step(order=replace(seen, due_at=None), event="cancelled_after_end")
        if order.state == "confirmed" and not (order.inferred and call.kind == NOTICE):
            marked = replace(seen, detail="cancelled after it was confirmed")
            tells = (("order.updated", None),) if marked.detail != order.detail else ()
            return Step(order=marked, event="cancelled_after_proof", tells=tells, proof=bool(tells))
        first = order.ended_at if order.state == "cancelled" and order.ended_at is not None else now
        due = (
            _look_after_cancel(first, now)
            if not all(line.settled for line in answer.lines)
            else None
        )
        if order.state == "cancelled":
            return _told_if_changed(order, replace(seen, due_at=due))
        done = replace(_ended(seen, "cancelled", now), due_at=due, inferred=False)
        return Step(order=done, event="cancelled", tells=(("order.cancelled", None),), proof=True)

    def _on_created(
        self, order: Order, call: Call, answer: say.Created, now: float, jitter: float
    ) -> Step:
        seen = self._harvest(order, answer)
        if order.state not in OPEN:
            return Step(order=replace(seen, due_at=_daily(order, now)), event="read_created")
        seen = replace(seen, failures=0, denied_at=None, not_found_at=None)
        if order.state == "pending":
            return self._still_pending(seen, now, jitter)
        if order.unresolved and call.at <= self.settled_at(order):
            return Step(
                order=replace(seen, due_at=self._after_settle(order)), event="read_created_early"
            )
        contradictions = order.contradictions + order.refused
        clear = replace(_resolved(seen), state="accepted", contradictions=contradictions)
        if contradictions >= CONTRADICTIONS:
            return self._die(clear, "contradictory_answers", now)
        if order.verdict:
            return self._die(clear, order.verdict, now)
        if self.too_late(clear, now):
            return self._die(clear, "deadline_missed", now)
        return Step(order=replace(clear, due_at=now), event="read_created")

    def _on_rejected(
        self, order: Order, call: Call, answer: say.Rejected, now: float, jitter: float
    ) -> Step:
        if order.state not in OPEN or call.kind == READ:
            return self._later(order, call, "question_failed", now, jitter)
        clear = _without_effect(order, call) if answer.certain else order
        clear = replace(
            clear, detail=answer.detail or None, failures=0, denied_at=None, not_found_at=None
        )
        if answer.reason == "order_not_passive":
            return self._not_passive(clear, now)
        again = order.verdict == answer.reason and not self.rules.reads
        expired_late = (
            answer.reason == "order_expired" and order.attempts > 1 and not order.must_ask
        )
        if again or not (clear.unresolved or expired_late):
            return self._die(clear, answer.reason, now)
        asking = replace(clear, verdict=answer.reason, must_ask=True)
        return self._or_give_up(replace(asking, due_at=self._ask_at(asking, now)), "rejected", now)

    def _on_blocked(
        self, order: Order, call: Call, answer: say.Blocked, now: float, jitter: float
    ) -> Step:
        clear = replace(_without_effect(order, call), due_at=now, detail=answer.detail or None)
        if answer.cause != "forbidden" or order.state not in OPEN:
            return Step(order=clear, event="blocked")
        others_pass = order.denied_at is not None and (call.passed_at or 0.0) > order.denied_at
        if others_pass and (call.kind == READ or clear.unresolved):
            return self._later(clear, call, "question_failed", now, jitter)
        if others_pass:
            return self._die(clear, "access_denied", now)
        return Step(order=replace(clear, denied_at=order.denied_at or now), event="blocked")

    def _on_unavailable(
        self, order: Order, call: Call, answer: say.Unavailable, now: float, jitter: float
    ) -> Step:
        clear = _without_effect(order, call)
        if call.kind == CONFIRM and not clear.unresolved:
            clear = replace(clear, host=(order.host + 1) % self.rules.hosts)
        return self._later(
            replace(clear, detail=answer.detail or None), call, "unavailable", now, jitter
        )

    def _on_unknown(
        self, order: Order, call: Call, answer: say.Unknown, now: float, jitter: float
    ) -> Step:
        seen = replace(order, detail=answer.detail or None)
        if call.kind == READ:
            return self._later(seen, call, "question_failed", now, jitter)
        if not self.rules.reads:
            seen = replace(seen, failures=order.failures + 1, due_at=self._after_settle(order))
            return self._or_give_up(seen, "outcome_unknown", now)
        if answer.refused:
            return Step(order=replace(seen, refused=True, due_at=now), event="confirm_refused")
        return self._later(replace(seen, refused=False), call, "outcome_unknown", now, jitter)

    def _on_notfound(
        self, order: Order, call: Call, answer: say.NotFound, now: float, jitter: float
    ) -> Step:
        if order.state not in OPEN:
            return Step(order=replace(order, due_at=_daily(order, now)), event="question_failed")
        clear = replace(_without_effect(order, call), detail=answer.detail or None, denied_at=None)
        found_between = (
            order.not_found_at is not None and (call.found_at or 0.0) > order.not_found_at
        )
        if found_between or order.requeued_at is not None:
            return self._die(clear, "order_not_found", now)
        marked = replace(clear, not_found_at=order.not_found_at or now)
        return self._later(marked, call, "not_found", now, jitter)

    # --- the parts they share ---------------------------------------------------------------------

    def _harvest(self, order: Order, answer: Any) -> Order:
        """Keeps what an answer shows: lines, tracking, an earlier creation (the deadline then moves
        with it).
        """
        lines = _merged(order.lines, getattr(answer, "lines", ()))
        seen = replace(
            order,
            lines=lines,
            tracking_code=getattr(answer, "tracking_code", None) or order.tracking_code,
            tracking_url=getattr(answer, "tracking_url", None) or order.tracking_url,
        )
        shown = getattr(answer, "created_at", None)
        if shown is None or self.rules.confirm_within is None or order.created_at is None:
            return seen
        if shown.timestamp() >= order.created_at:
            return seen
        created = shown.timestamp()
        return replace(seen, created_at=created, deadline_at=created + self.rules.confirm_within)

    def _incomplete(self, order: Order, seen: Order, call: Call, now: float) -> Step:
        """Finished, but a line has nothing to deliver: one more read, then a human."""
        if order.state not in OPEN:
            return _told_if_changed(order, replace(seen, due_at=None))
        seen = replace(_resolved(seen), pending_since=order.pending_since or now, failures=0)
        if order.incomplete:
            return self._die(seen, "incomplete_delivery", now)
        again = replace(seen, state="pending", incomplete=True, due_at=now + INCOMPLETE_LOOK)
        return Step(order=again, event="incomplete")

    def _still_pending(self, order: Order, now: float, jitter: float) -> Step:
        """`created` in state pending is a contradiction that permits nothing: asked again, never
        confirmed.
        """
        since = max(order.pending_since or now, order.requeued_at or 0.0)
        if now - since >= self.rules.pending_limit:
            return self._too_long(order, now)
        return Step(order=self._snoozed(order, now, jitter), event="read_created_while_pending")

    def _not_passive(self, clear: Order, now: float) -> Step:
        """Logitrail's only word about an earlier attempt: it proves one of ours, if there was one.

        An attempt that was made only after a restart had made the order suspect proves nothing: the
        forgotten one, or somebody else, may have been before it.
        """
        known = (
            clear.send_by is not None
            and clear.send_by < (clear.suspect_at or clear.send_by) + SEND_WINDOW
        )
        if known and not clear.inference_barred:
            done = replace(
                _ended(clear, "confirmed", now),
                inferred=True,
                due_at=now + (self.rules.give_up or 0.0),
            )
            return Step(
                order=done,
                event="confirmed_by_inference",
                tells=(("order.confirmed", None),),
                proof=True,
            )
        if clear.suspect_at is not None and not known:
            return self._die(clear, "outcome_unknown", now)
        return self._die(replace(clear, inference_barred=True), "order_not_passive", now)

    def _contradiction(self, order: Order, seen: Order, now: float) -> Step:
        """The supplier confirmed what we had withdrawn or resolved: told, and a letter beside the
        order, once.
        """
        if order.letter == "contradictory_answers" or order.contradictions:
            return _told_if_changed(order, seen)
        marked = replace(
            seen, contradictions=1, letter="contradictory_answers", letter_at=now, due_at=None
        )
        tells = (("order.updated", "contradictory_answers"),)
        return Step(order=marked, event="confirmed_after_end", tells=tells, proof=True)

    def _letter_beside(self, order: Order, reason: str, now: float) -> Step:
        marked = replace(order, letter=reason, letter_at=now, due_at=None)
        return Step(order=marked, event=reason, tells=(("order.dead_lettered", reason),))

    def _too_long(self, order: Order, now: float) -> Step:
        """Pending beyond its limit: a human is told, and it is still read once a day."""
        dead = self._die(order, "pending_too_long", now)
        return replace(dead, order=replace(dead.order, due_at=now + DAY))

    def _die(self, order: Order, reason: str, now: float) -> Step:
        """A dead letter: the order waits for a human, and what is unresolved stays so."""
        dead = replace(
            order,
            state="dead",
            reason=reason,
            letter=reason,
            letter_at=now,
            due_at=None,
            failures=0,
        )
        return Step(order=dead, event="dead", tells=(("order.dead_lettered", None),))

    def _later(self, order: Order, call: Call, event: str, now: float, jitter: float) -> Step:
        """Once more, on RETRY_SECONDS; clipped so that one last confirm can still leave before it
        is too late.
        """
        if call.probing and not order.unresolved and order.state in OPEN:
            return self._or_give_up(replace(order, due_at=now), event, now)
        delay = self.rules.retry[min(order.failures, len(self.rules.retry) - 1)] * (
            1 + 0.2 * jitter
        )
        due = now + delay
        last = self.last_safe_moment(order)
        if order.state in ("accepted", "submitted") and last is not None and now <= last < due:
            chance = last - SEND_WINDOW
            due = chance if now < chance else last
        later = replace(order, due_at=due, failures=order.failures + 1)
        if order.state in OPEN:
            return self._or_give_up(later, event, now)
        if order.failures >= EXTRA_READS:
            later = replace(later, due_at=_daily(order, now), failures=0)
        return Step(order=later, event=event)

    def _or_give_up(self, order: Order, event: str, now: float) -> Step:
        """Limits are looked at after an answer, so a requeued or a held order makes its call
        first.
        """
        requeued = order.requeued_at or 0.0
        if self.rules.give_up is not None:
            over = now - max(order.accepted_at, requeued) >= self.rules.give_up
        else:
            over = order.unresolved and now - max(order.deadline_at or now, requeued) >= DAY
        if order.state == "pending":
            over = now - max(order.pending_since or now, requeued) >= self.rules.pending_limit
            return self._too_long(order, now) if over else Step(order=order, event=event)
        if not order.unresolved and self.too_late(order, now):
            return self._die(order, "deadline_missed", now)
        if over:
            return self._die(order, "outcome_unknown" if order.unresolved else "gave_up", now)
        return Step(order=order, event=event)

    def _snoozed(self, order: Order, now: float, jitter: float) -> Order:
        return replace(
            order,
            due_at=now + self._delay(order.snoozes) * (1 + 0.2 * jitter),
            snoozes=order.snoozes + 1,
        )

    def _delay(self, snoozes: int) -> float:
        return self.rules.recheck[min(snoozes, len(self.rules.recheck) - 1)]

    def _ask_at(self, order: Order, now: float) -> float:
        return now if self.rules.reads else self._after_settle(order)

    def _after_settle(self, order: Order) -> float:
        return self.settled_at(order) + 0.01


def signal_of(answer: Any) -> dict[str, Any]:
    """What an answer says of its lane, whatever it says of an order; a document is one that got
    through.

    A call that came too late to be sent says nothing: it was our slowness, or the little time
    before a deadline.
    """
    if isinstance(answer, say.Unavailable) and answer.late:
        return {}
    if isinstance(answer, say.Blocked):
        return {"signal": "blocked", "cause": answer.cause, "retry_after": answer.retry_after}
    if isinstance(answer, say.Unavailable) or (isinstance(answer, say.Unknown) and answer.outage):
        return {"signal": "failed"}
    if isinstance(answer, say.NotFound):
        return {"signal": "not_found"}
    odd = isinstance(answer, say.Unknown) or (
        isinstance(answer, say.Rejected) and not answer.certain
    )
    return {"signal": "found" if isinstance(answer, say.Answer) and not odd else "passed"}


def _lane(answer: say.Answer, step: Step) -> dict[str, Any]:
    """The signal of an order's call.

    A 403 that is this order's own end says nothing of the lane.
    """
    denied = step.order.state == "dead" and step.order.reason == "access_denied"
    own = isinstance(answer, say.Blocked) and (denied or step.event == "question_failed")
    return {} if own else signal_of(answer)


def _daily(order: Order, now: float) -> float | None:
    """The next look at an order that is not open: one that was pending too long, or cancelled with
    lines to come.
    """
    if order.state == "cancelled" and order.ended_at is not None:
        unsettled = any(line["status"] in say.UNSETTLED for line in order.lines or ())
        return _look_after_cancel(order.ended_at, now) if unsettled else None
    return now + DAY if order.letter == "pending_too_long" else None


def _look_after_cancel(ended_at: float, now: float) -> float | None:
    """Some lines may still be delivered."""
    return next((ended_at + look for look in CANCELLED_LOOKS if ended_at + look > now), None)


def _resolved(order: Order) -> Order:
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


def _without_effect(order: Order, call: Call) -> Order:
    """This very confirm did nothing; older attempts keep their state."""
    if call.kind != CONFIRM:
        return order
    state = (
        order.state if order.older_send_by is not None or order.state not in OPEN else "accepted"
    )
    return replace(order, send_by=order.older_send_by, older_send_by=None, state=state)


def _ended(order: Order, state: str, now: float) -> Order:
    return replace(
        _resolved(order), state=state, reason=None, ended_at=now, due_at=None, failures=0,
        letter=None, letter_at=None, detail=None,
    )  # fmt: skip


def _closed_letter(order: Order, reason: str) -> dict[str, Any]:
    return {"letter": None, "letter_at": None} if order.letter == reason else {}


def _told_if_changed(before: Order, after: Order) -> Step:
    fields = ("lines", "tracking_code", "tracking_url", "inferred")
    if all(getattr(before, name) == getattr(after, name) for name in fields):
        return Step(order=after, event="unchanged")
    return Step(order=after, event="updated", tells=(("order.updated", None),), proof=True)


def _merged(
    known: list[dict[str, Any]] | None, lines: tuple[say.Line, ...]
) -> list[dict[str, Any]] | None:
    """Lines by tag; a finished line with something to deliver is never lost to a later, poorer view
    of it.
    """
    if not lines:
        return known
    merged = {line["tag"]: line for line in known or []}
    for line in lines:
        old = merged.get(line.tag, {})
        expires = line.expires_at.timestamp() if line.expires_at else old.get("expires_at")
        merged[line.tag] = {
            "tag": line.tag,
            "status": "finished"
            if old.get("deliverable") and old["status"] == "finished"
            else line.status,
            "deliverable": bool(line.deliverable or old.get("deliverable")),
            "expires_at": expires,
            "sealed": old.get("sealed") or line.sealed,
        }
    return list(merged.values())
