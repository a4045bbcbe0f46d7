"""The policy as a table: what each answer makes of an order, and each boundary of the clock."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from conftest import RETRY, START, rules
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.order import ENDED, OPEN, REASONS, STATES, Order
from worker.rules import interventions
from worker.rules.answers import (
    Blocked,
    Cancelled,
    Confirmed,
    Created,
    Line,
    NotFound,
    Pending,
    Rejected,
    Unavailable,
    Unknown,
)
from worker.rules.policy import Policy
from worker.rules.words import CONFIRM, DAY, HOST_STAYS, NOTICE, READ, SEND_WINDOW, Call, Step

NOW = START
RELOGRADE = Policy(rules("relograde"))
LOGITRAIL = Policy(rules("logitrail"))
POLICIES = {"relograde": RELOGRADE, "logitrail": LOGITRAIL}
DEADLINE = NOW + 80000.0
LAST = DEADLINE - 30.0
SETTLE = 40.0
GIVE_UP = 259200.0
WEEK = 7 * DAY

DONE = Line(tag="1", status="finished", deliverable=True)
EMPTY = Line(tag="1", status="finished")
OPEN_LINE = Line(tag="2", status="pending")
FINISHED = Confirmed(lines=(DONE,))
INCOMPLETE = Confirmed(lines=(EMPTY,))
TRACKED = Confirmed(tracking_code="T1", tracking_url="https://t/1")
PENDING = Pending(lines=(OPEN_LINE,))
CREATED = Created()
TIMEOUT = Unknown("read timeout", outage=True)
TOO_LATE = Unavailable("too late", late=True)
REFUSED = Unknown("can not be confirmed", refused=True)
NOT_PASSIVE = Rejected("order_not_passive", "order_not_passive")
EXPIRED = Rejected("order_expired", "has expired")
UNRECOGNISED = Rejected("unrecognised_answer", "HTTP 400", certain=False)
FUNDS = Rejected("insufficient_balance", "insufficient balance")

ANSWERS = (
    FINISHED, INCOMPLETE, Confirmed(), TRACKED, PENDING, Cancelled(), Cancelled(lines=(DONE, OPEN_LINE)), CREATED,
    FUNDS, EXPIRED, NOT_PASSIVE, UNRECOGNISED, Blocked("unauthorized"), Blocked("forbidden"),
    Blocked("rate_limited", 7.0), Unavailable("dns"), TIMEOUT, Unknown("unreadable"), REFUSED, NotFound("HTTP 404"),
)  # fmt: skip


def relograde(**changed):
    given = {
        "supplier": "relograde", "order_id": "R1", "reference": "r", "accepted_at": NOW - 100, "due_at": NOW - 1,
        "created_at": DEADLINE - 86400.0, "deadline_at": DEADLINE,
    }  # fmt: skip
    return Order(**{**given, **changed})


def logitrail(**changed):
    given = {
        "supplier": "logitrail",
        "order_id": "L1",
        "reference": "r",
        "accepted_at": NOW - 100,
        "due_at": NOW - 1,
    }
    return Order(**{**given, **changed})


def sent(order, at=NOW, older=None, **changed):
    """The order as the permit of a confirm at `at` leaves it: intent written, no answer yet."""
    given = {
        "state": "submitted", "attempts": order.attempts + 1, "send_by": at + SEND_WINDOW, "last_sent_at": at,
        "older_send_by": older, "host_since": order.host_since or at,
    }  # fmt: skip
    return replace(order, **{**given, **changed})


def call(kind=CONFIRM, at=NOW, **changed):
    return Call(kind=kind, at=at, **changed)


def decide(order, answer, kind=CONFIRM, now=NOW, at=None, **changed):
    return POLICIES[order.supplier].decide(
        order, call(kind, now if at is None else at, **changed), answer, now
    )


SENT = sent(relograde())


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: `answer` to `kind` (about `order`, at NOW) makes it `state`."""

    answer: object
    state: str
    order: Order = SENT
    kind: str = CONFIRM
    reason: str | None = None
    due: float | None = None
    unresolved: bool = False
    tells: tuple[str, ...] = ()
    signal: str | None = "found"
    proof: bool = False
    inferred: bool = False


def check(row, step):
    order = step.order
    found = Row(
        answer=row.answer,
        state=order.state,
        order=row.order,
        kind=row.kind,
        reason=order.reason,
        due=None if order.due_at is None else round(order.due_at - NOW, 3),
        unresolved=order.unresolved,
        tells=tuple(kind for kind, _ in step.tells),
        signal=step.signal,
        proof=step.proof,
        inferred=order.inferred,
    )
    assert found == row


LETTER = ("order.dead_lettered",)
AGAIN = {"state": "submitted", "unresolved": True}
TWICE = sent(sent(relograde(), NOW - 200), older=NOW - 195)

RELOGRADE_CONFIRM = {
    "DNS, refused, TLS: no effect": Row(answer=Unavailable("dns"), state="accepted", due=2, signal="failed"),
    "too late at the gate": Row(answer=TOO_LATE, state="accepted", due=2, signal=None),
    "DNS, an older attempt unresolved": Row(
        answer=Unavailable("dns"), order=TWICE, due=2, signal="failed", **AGAIN
    ),
    "timeout after sending": Row(answer=TIMEOUT, due=2, signal="failed", **AGAIN),
    "finished with all lines": Row(answer=FINISHED, state="confirmed", tells=("order.confirmed",), proof=True),
    "finished without lines": Row(answer=Confirmed(), state="pending", due=2),
    "finished, a line without anything": Row(answer=INCOMPLETE, state="pending", due=2),
    "finished, a line unfinished": Row(answer=Confirmed(lines=(DONE, OPEN_LINE)), state="pending", due=2),
    "pending": Row(answer=PENDING, state="pending", due=15, tells=("order.pending",)),
    "cancelled": Row(answer=Cancelled(), state="cancelled", tells=("order.cancelled",), proof=True),
    "cancelled, lines settled": Row(
        answer=Cancelled(lines=(DONE,)), state="cancelled", tells=("order.cancelled",), proof=True
    ),
    "cancelled, lines unsettled": Row(
        answer=Cancelled(lines=(DONE, OPEN_LINE)), state="cancelled", due=900, tells=("order.cancelled",), proof=True
    ),
    "created, another order, unknown status": Row(
        answer=Unknown("another order"), due=2, signal="passed", **AGAIN
    ),
    "can not be confirmed": Row(answer=REFUSED, due=0, signal="passed", **AGAIN),
    "has expired, first attempt": Row(answer=EXPIRED, state="dead", reason="order_expired", tells=LETTER),
    "has expired, an earlier attempt was without effect": Row(
        answer=EXPIRED, order=sent(relograde(attempts=1)), state="accepted", due=0
    ),
    "has expired, an earlier attempt unresolved": Row(answer=EXPIRED, order=TWICE, due=0, **AGAIN),
    "company not verified": Row(answer=Blocked("company_not_verified"), state="accepted", due=0, signal="blocked"),
    "MULTIPLE_ORDER_LINES": Row(
        answer=Rejected("multiple_order_lines"), state="dead", reason="multiple_order_lines", tells=LETTER
    ),
    "400 of another kind: one GET first": Row(answer=UNRECOGNISED, due=0, signal="passed", **AGAIN),
    "401": Row(answer=Blocked("unauthorized"), state="accepted", due=0, signal="blocked"),
    "401, an older attempt unresolved": Row(
        answer=Blocked("unauthorized"), order=TWICE, due=0, signal="blocked", **AGAIN
    ),
    "403": Row(answer=Blocked("forbidden"), state="accepted", due=0, signal="blocked"),
    "402 insufficient balance": Row(answer=FUNDS, state="dead", reason="insufficient_balance", tells=LETTER),
    "402, an older attempt unresolved": Row(answer=FUNDS, order=TWICE, due=0, **AGAIN),
    "404": Row(answer=NotFound(), state="accepted", due=30, signal="not_found"),
    "404 after a person's requeue": Row(
        answer=NotFound(), order=sent(relograde(requeued_at=NOW - 9)), state="dead", reason="order_not_found",
        tells=LETTER, signal="not_found",
    ),
    "422 out of stock": Row(answer=Rejected("out_of_stock"), state="dead", reason="out_of_stock", tells=LETTER),
    "422 offer": Row(answer=Rejected("offer_unavailable"), state="dead", reason="offer_unavailable", tells=LETTER),
    "429": Row(answer=Blocked("rate_limited", 7.0), state="accepted", due=0, signal="blocked"),
    "5xx, 408, 3xx, 204, a page": Row(answer=Unknown("HTTP 500", outage=True), due=2, signal="failed", **AGAIN),
}  # fmt: skip

ASKED = sent(relograde(), NOW - 100)
EARLY = sent(relograde(), NOW - 20)
WAITING = relograde(state="pending", pending_since=NOW - 50, snoozes=1, attempts=1)

RELOGRADE_READ = {
    "finished": Row(answer=FINISHED, state="confirmed", tells=("order.confirmed",), proof=True),
    "pending": Row(answer=PENDING, state="pending", due=15, tells=("order.pending",)),
    "cancelled": Row(answer=Cancelled(), state="cancelled", tells=("order.cancelled",), proof=True),
    "created after the settle time": Row(answer=CREATED, state="accepted", due=0),
    "created too early": Row(answer=CREATED, order=EARLY, due=25.01, **AGAIN),
    "404": Row(answer=NotFound(), due=2, signal="not_found", **AGAIN),
    "401 says nothing": Row(answer=Blocked("unauthorized"), due=0, signal="blocked", **AGAIN),
    "429 says nothing": Row(answer=Blocked("rate_limited"), due=0, signal="blocked", **AGAIN),
    "timeout says nothing": Row(answer=TIMEOUT, due=2, signal="failed", **AGAIN),
    "not sent says nothing": Row(answer=Unavailable(), due=2, signal="failed", **AGAIN),
    "pending order, still pending": Row(answer=PENDING, order=WAITING, state="pending", due=30,
                                        tells=("order.pending",)),
    "pending order, created": Row(answer=CREATED, order=WAITING, state="pending", due=30),
    "pending order, timeout": Row(answer=TIMEOUT, order=WAITING, state="pending", due=2, signal="failed"),
    "pending order, 404": Row(answer=NotFound(), order=WAITING, state="pending", due=2, signal="not_found"),
    "pending order, 401": Row(answer=Blocked("unauthorized"), order=WAITING, state="pending", due=0, signal="blocked"),
    "pending order, finished": Row(
        answer=FINISHED, order=WAITING, state="confirmed", tells=("order.confirmed",), proof=True
    ),
    "pending order, incomplete once": Row(answer=INCOMPLETE, order=WAITING, state="pending", due=2),
    "pending order, incomplete twice": Row(
        answer=INCOMPLETE, order=replace(WAITING, incomplete=True), state="dead", reason="incomplete_delivery",
        tells=LETTER,
    ),
}  # fmt: skip
RELOGRADE_READ = {
    name: replace(row, kind=READ, order=ASKED if row.order == SENT else row.order)
    for name, row in RELOGRADE_READ.items()
}

FIRST = sent(logitrail())
SECOND = sent(sent(logitrail(), NOW - 200), older=NOW - 195)
L_AGAIN = {"due": 65.01, **AGAIN}

LOGITRAIL_CONFIRM = {
    "not sent": Row(answer=Unavailable(), order=FIRST, state="accepted", due=2, signal="failed"),
    "timeout": Row(answer=TIMEOUT, order=FIRST, signal="failed", **L_AGAIN),
    "5xx, `unknown`": Row(answer=Unknown("unknown", outage=True), order=FIRST, signal="failed", **L_AGAIN),
    "success with tracking": Row(
        answer=TRACKED, order=FIRST, state="confirmed", tells=("order.confirmed",), proof=True
    ),
    "success without tracking": Row(
        answer=Confirmed(), order=FIRST, state="confirmed", tells=("order.confirmed",), proof=True
    ),
    "success not true, another order": Row(answer=Unknown(), order=FIRST, signal="passed", **L_AGAIN),
    "not passive, an earlier attempt unresolved": Row(
        answer=NOT_PASSIVE, order=SECOND, state="confirmed", due=GIVE_UP, tells=("order.confirmed",), proof=True,
        inferred=True,
    ),
    "not passive, no earlier attempt": Row(
        answer=NOT_PASSIVE, order=FIRST, state="dead", reason="order_not_passive", tells=LETTER
    ),
    "not passive, inference barred": Row(
        answer=NOT_PASSIVE, order=replace(SECOND, inference_barred=True), state="dead", reason="order_not_passive",
        unresolved=True, tells=LETTER,
    ),
    "not passive, only a restart suspects an attempt": Row(
        answer=NOT_PASSIVE, order=replace(FIRST, suspect_at=NOW - 99), state="dead", reason="outcome_unknown",
        unresolved=True, tells=LETTER,
    ),
    "not passive, suspected, an attempt unresolved from before the restart": Row(
        answer=NOT_PASSIVE, order=replace(SECOND, suspect_at=NOW - 199), state="confirmed", due=GIVE_UP,
        tells=("order.confirmed",), proof=True, inferred=True,
    ),
    "not passive, suspected, an attempt unresolved from after it": Row(
        answer=NOT_PASSIVE, order=replace(SECOND, suspect_at=NOW - 201), state="dead", reason="outcome_unknown",
        unresolved=True, tells=LETTER,
    ),
    "400 with a field's code": Row(
        answer=Rejected("invalid_request"), order=FIRST, state="dead", reason="invalid_request", tells=LETTER
    ),
    "400 unknown": Row(answer=UNRECOGNISED, order=FIRST, signal="passed", **L_AGAIN),
    "400 unknown, again": Row(
        answer=UNRECOGNISED, order=replace(SECOND, verdict="unrecognised_answer"), state="dead", signal="passed",
        reason="unrecognised_answer", unresolved=True, tells=LETTER,
    ),
    "401, 403": Row(answer=Blocked("forbidden"), order=FIRST, state="accepted", due=0, signal="blocked"),
    "404": Row(answer=NotFound(), order=FIRST, state="accepted", due=30, signal="not_found"),
    "405": Row(answer=Blocked("misconfigured"), order=FIRST, state="accepted", due=0, signal="blocked"),
    "429": Row(answer=Blocked("rate_limited"), order=FIRST, state="accepted", due=0, signal="blocked"),
}  # fmt: skip

INFERRED = logitrail(state="confirmed", inferred=True, ended_at=NOW - 9, due_at=NOW + 9)
PROVEN = logitrail(state="confirmed", ended_at=NOW - 9, due_at=None)
DEAD = logitrail(state="dead", reason="gave_up", letter="gave_up", letter_at=NOW - 9, due_at=None)
GONE = logitrail(state="withdrawn", ended_at=NOW - 9, due_at=None)
UPDATED = {"tells": ("order.updated",), "proof": True, "signal": None}
ENDS = {"proof": True, "signal": None}

LOGITRAIL_NOTICE = {
    "proof for an open order": Row(
        answer=TRACKED, order=FIRST, state="confirmed", tells=("order.confirmed",), **ENDS
    ),
    "proof for a dead order": Row(answer=TRACKED, order=DEAD, state="confirmed", tells=("order.confirmed",), **ENDS),
    "proof for an inferred order": Row(answer=TRACKED, order=INFERRED, state="confirmed", **UPDATED),
    "tracking for a proven order": Row(answer=TRACKED, order=PROVEN, state="confirmed", **UPDATED),
    "the same proof again": Row(answer=Confirmed(), order=PROVEN, state="confirmed", signal=None),
    "proof for a withdrawn order": Row(answer=TRACKED, order=GONE, state="withdrawn", **UPDATED),
    "proof for a resolved order": Row(
        answer=TRACKED, order=replace(GONE, state="resolved"), state="resolved", **UPDATED
    ),
    "cancelled ends an open order": Row(
        answer=Cancelled(), order=FIRST, state="cancelled", tells=("order.cancelled",), **ENDS
    ),
    "cancelled ends a dead order": Row(
        answer=Cancelled(), order=DEAD, state="cancelled", tells=("order.cancelled",), **ENDS
    ),
    "cancelled ends an inferred order": Row(
        answer=Cancelled(), order=INFERRED, state="cancelled", tells=("order.cancelled",), **ENDS
    ),
    "cancelled after proof is news": Row(answer=Cancelled(), order=PROVEN, state="confirmed", **UPDATED),
    "cancelled after a withdraw is no news": Row(answer=Cancelled(), order=GONE, state="withdrawn", signal=None),
}  # fmt: skip
LOGITRAIL_NOTICE = {name: replace(row, kind=NOTICE) for name, row in LOGITRAIL_NOTICE.items()}


def cases(rows):
    return pytest.mark.parametrize(
        "row", [pytest.param(row, id=name) for name, row in rows.items()]
    )


@cases(RELOGRADE_CONFIRM)
def test_a_confirm_at_relograde(row):
    """A row for each answer of Relograde to a confirm."""
    check(row, decide(row.order, row.answer))


@cases(RELOGRADE_READ)
def test_a_read_at_relograde(row):
    """A row for each answer to a read; a failed question never changes the state."""
    check(row, decide(row.order, row.answer, READ))


@cases(LOGITRAIL_CONFIRM)
def test_a_confirm_at_logitrail(row):
    """A row for each answer of Logitrail to a confirm."""
    check(row, decide(row.order, row.answer))


@cases(LOGITRAIL_NOTICE)
def test_a_webhook_of_logitrail(row):
    """A webhook is proof: it ends, updates or contradicts."""
    check(row, decide(row.order, row.answer, NOTICE, at=0.0))


# --- every pair -----------------------------------------------------------------------------------


def every_order():
    for make in (relograde, logitrail):
        for state in STATES:
            if state == "pending" and make is logitrail:
                continue
            letter = (
                {"reason": "gave_up", "letter": "gave_up", "letter_at": NOW - 5}
                if state == "dead"
                else {}
            )
            ended = {"ended_at": NOW - 60, "due_at": None} if state in ENDED else {}
            plain = make(
                state=state,
                **letter,
                **ended,
                pending_since=NOW - 9 if state == "pending" else None,
            )
            if state == "submitted":
                yield from (sent(plain), sent(plain, older=NOW - 195))
            else:
                yield plain
            if state in ("accepted", "submitted", "dead"):
                yield replace(sent(plain) if state == "submitted" else plain, suspect_at=NOW - 3)


PAIRS = [
    (order, kind, answer)
    for order in every_order()
    for kind in ((CONFIRM, READ, NOTICE) if order.supplier == "relograde" else (CONFIRM, NOTICE))
    for answer in ANSWERS
]


def test_every_pair_has_a_step():
    """Each (state, answer, call) has a step; open orders are due, dead ones have a reason (1)."""
    for order, kind, answer in PAIRS:
        step = decide(order, answer, kind)
        after = step.order
        assert isinstance(step, Step)
        assert after.state in STATES
        assert after.state not in OPEN or after.due_at is not None, (order.state, kind, answer)
        assert (after.state == "dead") == (
            after.reason is not None and after.letter == after.reason
        )
        assert after.letter is None or after.letter in REASONS
        assert order.state not in ENDED or after.state in (order.state, "cancelled")


def test_what_is_unresolved_is_only_resolved_by_an_answer_that_says_so():
    """An older attempt stays unresolved until an end, a pending, or a settled `created` (3)."""
    settles = (Confirmed, Pending, Cancelled)
    for order, kind, answer in PAIRS:
        if (
            order.state in OPEN
            and (order.older_send_by or order.suspect_at)
            and not isinstance(answer, settles)
        ):
            step = decide(order, answer, kind)
            assert step.order.unresolved or step.order.inferred, (order, kind, answer)
            assert step.order.state in ("submitted", "dead", "confirmed") or order.suspect_at


def test_a_failed_question_leaves_the_state_alone():
    """Unavailable, Unknown and Blocked, got by a read, say nothing about the order (5)."""
    for order, kind, answer in PAIRS:
        if kind == READ and isinstance(answer, Unavailable | Unknown | Blocked):
            assert decide(order, answer, READ).order.state == order.state


@pytest.mark.parametrize("order", [relograde(), WAITING], ids=lambda order: order.state)
@pytest.mark.parametrize("answer", [FUNDS, UNRECOGNISED], ids=lambda answer: answer.reason)
def test_a_refused_question_leaves_the_state_alone(order, answer):
    """A refusal, got by a read, says nothing about the order (5)."""
    assert decide(order, answer, READ).order.state == order.state


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("policy", [RELOGRADE, LOGITRAIL], ids=["relograde", "logitrail"])
def test_every_state_has_a_next_call(policy, state):
    """`next_call` is total: a call that the state allows, or a step that needs none."""
    make = relograde if policy is RELOGRADE else logitrail
    plan = policy.next_call(
        make(state=state, send_by=NOW - 100 if state == "submitted" else None), NOW
    )
    expected = {
        "accepted": CONFIRM,
        "submitted": READ,
        "pending": READ,
        "dead": READ,
        "cancelled": READ,
    }
    if policy is LOGITRAIL:
        expected = {"accepted": CONFIRM, "submitted": CONFIRM}
    assert (plan.kind if isinstance(plan, Call) else None) == expected.get(state)


# --- a walk over what can really happen -----------------------------------------------------------

WIRE = {
    ("relograde", CONFIRM): [a for a in ANSWERS if a not in (CREATED, TRACKED, NOT_PASSIVE)],
    ("relograde", READ): [
        a for a in ANSWERS if not isinstance(a, Rejected) and a not in (TRACKED, REFUSED)
    ],
    ("logitrail", CONFIRM): [
        a
        for a in ANSWERS
        if not isinstance(a, Pending | Created | Cancelled) and a not in (REFUSED, FINISHED)
    ],
    ("logitrail", NOTICE): [TRACKED, Confirmed(), Cancelled()],
}


class Walk:
    """One order on its way; its permit and clock are the ledger's, and each step is checked."""

    def __init__(self, order):
        self.order, self.now, self.policy = order, NOW, POLICIES[order.supplier]
        self.maybe_sent = [] if order.suspect_at is None else [order.suspect_at]

    def step(self, draw_answer, took, jitter):
        self.now = max(self.now, self.order.due_at or self.now)
        plan = self.policy.next_call(self.order, self.now)
        if isinstance(plan, Step):
            self.apply(plan, self.order)
            return
        before = self.permit(plan)
        plan = replace(plan, at=self.now, passed_at=self.now - 1, found_at=self.now - 1)
        answer = draw_answer(WIRE[before.supplier, plan.kind])
        self.now += took
        step = self.policy.decide(before, plan, answer, self.now, jitter)
        self.learn(plan, answer)
        self.apply(step, before)
        if step.order.state == "dead":
            assert step.tells == (("order.dead_lettered", None),) or before.state == "dead"

    def learn(self, plan, answer):
        """Keeps a book of what may have been sent, from the design and not from the record."""
        refused = isinstance(answer, Unavailable | Blocked | NotFound)
        refused = refused or (isinstance(answer, Rejected) and answer.certain)
        settled = plan.at > max(self.maybe_sent, default=0.0) + self.policy.rules.settle
        if isinstance(answer, Confirmed | Pending | Cancelled) or (
            isinstance(answer, Created) and settled
        ):
            self.maybe_sent = []
        elif refused and plan.kind == CONFIRM:
            self.maybe_sent.pop()

    def permit(self, plan):
        if plan.kind != CONFIRM:
            return self.order
        order, last = self.order, self.policy.times.last_safe_moment(self.order)
        assert order.state in ("accepted", "submitted"), (
            "invariant 3: never in state pending, never when it has ended"
        )
        assert last is None or self.now <= last, "invariant 6: never after the last safe moment"
        assert bool(self.maybe_sent) == order.unresolved
        if self.maybe_sent:
            assert order.supplier == "logitrail", "invariant 3: ask before repeat"
            assert self.now > self.policy.times.settled_at(order), (
                "invariant 3: only after the settle time"
            )
            assert not plan.details, "the question has an empty body"
            if order.host_since is not None and self.now - order.host_since < HOST_STAYS:
                assert plan.host == order.host, "the same host for ten minutes"
        self.maybe_sent.append(self.now + SEND_WINDOW)
        fresh = order.send_by is None or plan.host != order.host
        return replace(
            order, state="submitted", attempts=order.attempts + 1, older_send_by=order.send_by,
            send_by=self.now + min(SEND_WINDOW, SEND_WINDOW if last is None else last - self.now),
            last_sent_at=self.now, host=plan.host, host_since=self.now if fresh else order.host_since,
        )  # fmt: skip

    def apply(self, step, before):
        after = step.order
        assert after.state not in OPEN or after.due_at is not None, (
            "invariant 1: an open order is due"
        )
        if after.unresolved and after.state in OPEN:
            assert after.state == "submitted" or after.suspect_at is not None
        if after.state == "submitted":
            assert after.unresolved
        if after.state == "dead":
            assert after.letter == after.reason
        self.order = after


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data(), supplier=st.sampled_from(["relograde", "logitrail"]), details=st.booleans())
def test_no_way_of_an_order_breaks_an_invariant(data, supplier, details):
    """Invariants 1, 3 and 6 hold at every step, whatever is answered and requeued."""
    make = relograde if supplier == "relograde" else logitrail
    suspect = data.draw(st.sampled_from([None, None, NOW - 1]))
    walk = Walk(make(details=details and supplier == "logitrail", suspect_at=suspect))
    for _ in range(data.draw(st.integers(1, 14))):
        if walk.order.state == "dead":
            walk.now += data.draw(st.sampled_from([1.0, 5000.0, DAY]))
            back = interventions.requeue(walk.order, walk.now)
            walk.apply(back, walk.order)
        if walk.order.state in ENDED:
            return
        walk.step(
            lambda answers: data.draw(st.sampled_from(answers)),
            data.draw(st.sampled_from([0.0, 0.3, 4.0, 30.0])),
            data.draw(st.sampled_from([-1.0, 0.0, 1.0])),
        )


# --- the clock, one second either side ------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "may"), [(LAST - 1, True), (LAST, True), (LAST + 1, False), (DEADLINE + 1, False)]
)
def test_no_confirm_after_the_last_safe_moment(at, may):
    """After the last safe moment (deadline less margin) an unsent order is dead (6)."""
    plan = RELOGRADE.next_call(relograde(), at)
    if may:
        assert plan == Call(kind=CONFIRM)
    else:
        assert (plan.order.state, plan.order.reason) == ("dead", "deadline_missed")
        assert plan.tells == (("order.dead_lettered", None),)


@pytest.mark.parametrize("at", [LAST + 1, DEADLINE - 1, DEADLINE + 1])
@pytest.mark.parametrize("order", [ASKED, relograde(suspect_at=NOW), relograde(must_ask=True)])
def test_an_unresolved_order_is_asked_about_after_its_deadline(at, order):
    """A read precedes death by deadline: unresolved, suspected or requeued (6, 8)."""
    assert RELOGRADE.next_call(order, at) == Call(kind=READ)


@pytest.mark.parametrize(
    ("at", "state"), [(LAST - 1, "accepted"), (LAST, "accepted"), (LAST + 1, "dead")]
)
def test_a_settled_created_after_the_last_safe_moment_is_a_missed_deadline(at, state):
    """The order is known as not confirmed, and too late to confirm."""
    step = decide(sent(relograde(), LAST - 500), CREATED, READ, now=at)
    assert step.order.state == state
    assert step.order.reason == ("deadline_missed" if state == "dead" else None)
    assert not step.order.unresolved


@pytest.mark.parametrize(("after", "resolved"), [(-1, False), (0, False), (1, True)])
def test_created_is_believed_only_from_a_read_sent_after_the_settle_time(after, resolved):
    """The read must be sent after `send_by` + settle; when it is answered does not matter (3)."""
    order = sent(relograde(), NOW)
    settled = NOW + SEND_WINDOW + SETTLE
    step = decide(order, CREATED, READ, now=settled + 20, at=settled + after)
    assert step.order.unresolved is not resolved
    assert step.order.state == ("accepted" if resolved else "submitted")
    assert resolved or step.order.due_at == pytest.approx(settled + 0.01)


@pytest.mark.parametrize(("after", "resolved"), [(-1, False), (0, False), (1, True)])
def test_a_suspect_is_cleared_one_settle_time_after_the_restart(after, resolved):
    """A confirm that the server may have forgotten counts as sent until a settled read (2)."""
    step = decide(
        relograde(suspect_at=NOW), CREATED, READ, now=NOW + SETTLE + 5, at=NOW + SETTLE + after
    )
    assert step.order.unresolved is not resolved


@pytest.mark.parametrize(("after", "asks"), [(-1, False), (0, False), (1, True)])
def test_logitrail_is_asked_only_after_the_settle_time(after, asks):
    """The repeat is the question; it leaves after `send_by` + settle with an empty body (3)."""
    order = sent(logitrail(details=True))
    settled = NOW + SEND_WINDOW + 60
    plan = LOGITRAIL.next_call(order, settled + after)
    if asks:
        assert plan == Call(kind=CONFIRM, details=False, host=0)
    else:
        assert plan.event == "settling"
        assert plan.order.due_at == pytest.approx(settled + 0.01)


@pytest.mark.parametrize(("after", "host"), [(-1, 1), (0, 0), (1, 0)])
def test_the_question_changes_its_host_after_ten_minutes(after, host):
    """For ten minutes the question goes to the host that got the attempt."""
    order = sent(logitrail(host=1), host_since=NOW)
    assert LOGITRAIL.next_call(order, NOW + HOST_STAYS + after).host == host


def test_a_suspected_order_without_a_host_is_asked_at_the_first():
    """Nothing is known of the forgotten attempt, so the present host is asked."""
    assert LOGITRAIL.next_call(logitrail(suspect_at=NOW - 100), NOW) == Call(kind=CONFIRM, host=0)


@pytest.mark.parametrize(("order", "host"), [(FIRST, 1), (replace(FIRST, host=1), 0), (SECOND, 0)])
def test_a_host_that_cannot_be_reached_is_changed_unless_something_is_unresolved(order, host):
    """Nothing was sent, so the other host is tried; a question stays with its attempt."""
    assert decide(order, Unavailable()).order.host == host


def test_details_go_with_every_confirm_until_one_is_unresolved():
    """Whether details were applied is told: true, false, or null without details or by webhook."""
    order = logitrail(details=True)
    assert LOGITRAIL.next_call(order, NOW).details
    assert decide(sent(order), TRACKED, details=True).order.details_applied is True
    assert decide(sent(order), TRACKED).order.details_applied is False
    assert decide(sent(order), TRACKED, NOTICE).order.details_applied is None
    assert decide(FIRST, TRACKED).order.details_applied is None


@pytest.mark.parametrize(("after", "state"), [(-1, "pending"), (0, "dead"), (1, "dead")])
@pytest.mark.parametrize("answer", [PENDING, CREATED])
def test_pending_for_seven_days_is_a_dead_letter_that_is_still_read_daily(after, state, answer):
    """The pending limit, one second either side; the order is read again a day later."""
    now = NOW + WEEK + after
    step = decide(replace(WAITING, pending_since=NOW), answer, READ, now=now)
    assert step.order.state == state
    if state == "dead":
        assert (step.order.reason, step.order.due_at) == ("pending_too_long", now + DAY)


def test_the_pending_limit_counts_from_a_requeue():
    """A person's requeue gives a pending order seven more days (8)."""
    order = replace(WAITING, pending_since=NOW, requeued_at=NOW + WEEK)
    for answer in (PENDING, CREATED, TIMEOUT):
        assert decide(order, answer, READ, now=NOW + WEEK + 9).order.state == "pending"
        assert decide(order, answer, READ, now=NOW + 2 * WEEK - 1).order.state == "pending"
        assert decide(order, answer, READ, now=NOW + 2 * WEEK).order.state == "dead"


@pytest.mark.parametrize("answer", [TIMEOUT, Unavailable()], ids=["timeout", "not sent"])
def test_pending_too_long_is_read_daily_when_the_last_read_failed_too(answer):
    """`pending_too_long` is read daily, whichever answer it was written after."""
    now = NOW + WEEK
    step = decide(replace(WAITING, pending_since=NOW), answer, READ, now=now)
    assert (step.order.reason, step.order.due_at) == ("pending_too_long", now + DAY)


OVERDUE = relograde(
    state="dead",
    reason="pending_too_long",
    letter="pending_too_long",
    letter_at=NOW,
    pending_since=NOW - WEEK,
)


@pytest.mark.parametrize(
    "answer",
    [PENDING, *(pytest.param(answer) for answer in (CREATED, NotFound())), TIMEOUT, Blocked("x")],
    ids=["pending", "created", "not found", "timeout", "blocked"],
)
def test_a_letter_of_pending_too_long_keeps_being_read(answer):
    """An answer that ends nothing does not stop the daily reads."""
    step = decide(OVERDUE, answer, READ)
    assert step.order.state == "dead"
    assert step.order.due_at is not None
    assert step.order.due_at <= NOW + DAY


@pytest.mark.parametrize(
    ("order", "ends"), [(relograde(state="cancelled"), None), (OVERDUE, NOW + DAY)]
)
def test_reads_of_an_order_that_is_not_open_end_after_six_that_failed(order, ends):
    """A follow-up ends; an order that was pending too long is still read once a day."""
    for failed in range(5):
        order = decide(order, TIMEOUT, READ).order
        assert (order.failures, NOW < order.due_at < NOW + DAY) == (failed + 1, True)
    last = decide(order, TIMEOUT, READ).order
    assert (last.failures, last.due_at) == (0, ends)


def test_a_403_on_one_orders_question_is_asked_again_while_others_pass():
    """The lane is healthy, and a failed question changes no state (5)."""
    order = sent(relograde(denied_at=NOW - 20), NOW - 100)
    step = decide(order, Blocked("forbidden"), READ, passed_at=NOW - 10)
    assert (step.event, step.signal) == ("question_failed", None)
    assert (step.order.state, step.order.due_at) == ("submitted", NOW + 2)


def test_a_pending_order_may_be_found_pending_while_it_is_dead():
    """The order stays dead for the human and is read on the schedule."""
    dead = relograde(
        state="dead", reason="unrecognised_answer", letter="unrecognised_answer", letter_at=NOW
    )
    step = decide(dead, PENDING, READ)
    assert (step.order.state, step.order.due_at, step.tells) == ("dead", NOW + 15, ())


GIVES_UP = [
    (logitrail(accepted_at=NOW), NOW + GIVE_UP, Unavailable(), "gave_up"),
    (sent(logitrail(accepted_at=NOW)), NOW + GIVE_UP, TIMEOUT, "outcome_unknown"),
    (
        sent(logitrail(accepted_at=NOW - GIVE_UP, requeued_at=NOW)),
        NOW + GIVE_UP,
        TIMEOUT,
        "outcome_unknown",
    ),
    (sent(logitrail(accepted_at=NOW)), NOW + GIVE_UP, UNRECOGNISED, "outcome_unknown"),
    (sent(relograde()), DEADLINE + DAY, TIMEOUT, "outcome_unknown"),
    (sent(relograde(requeued_at=DEADLINE + 9)), DEADLINE + 9 + DAY, TIMEOUT, "outcome_unknown"),
]


@pytest.mark.parametrize(("order", "at", "answer", "reason"), GIVES_UP)
@pytest.mark.parametrize("after", [-1, 0, 1])
def test_the_question_is_given_up_when_its_time_is_over(order, at, answer, reason, after):
    """Logitrail: give-up time after acceptance or requeue; Relograde: a day after the deadline."""
    kind = READ if order.supplier == "relograde" else CONFIRM
    step = decide(order, answer, kind, now=at + after)
    assert step.order.state == (
        "dead" if after >= 0 else order.state if kind == READ else step.order.state
    )
    assert step.order.reason == (reason if after >= 0 else None)
    assert after < 0 or step.order.unresolved == (reason == "outcome_unknown")


def test_a_question_about_an_order_that_was_never_sent_is_given_up_too():
    """A requeued order with nothing unresolved is dead when reads fail past its deadline (6)."""
    order = relograde(must_ask=True, requeued_at=DEADLINE)
    step = decide(order, TIMEOUT, READ, now=DEADLINE + 2 * DAY)
    assert step.order.state == "dead"


CLIPS = [
    # seconds from now to the last safe moment, failures so far, seconds until the order is due
    (100.0, 0, 2.0),
    (100.0, 2, 30.0),
    (100.0, 9, 30.0),
    (30.0, 2, 30.0),
    (29.0, 2, 24.0),
    (6.0, 2, 1.0),
    (5.0, 2, 5.0),
    (4.0, 2, 4.0),
    (1.0, 0, 1.0),
    (0.0, 0, 0.0),
]


@pytest.mark.parametrize(("left", "failures", "wait"), CLIPS)
@pytest.mark.parametrize("unresolved", [False, True])
def test_retries_are_clipped_so_that_one_last_confirm_can_leave(left, failures, wait, unresolved):
    """RETRY_SECONDS, the last repeats; a retry past the last safe moment is 5 s before it (6)."""
    now = LAST - left
    order = sent(relograde(failures=failures), now, older=now - 100 if unresolved else None)
    step = decide(order, Unavailable(), now=now)
    assert step.order.due_at - now == pytest.approx(wait)
    assert step.order.failures == failures + 1


@pytest.mark.parametrize("answer", [Unavailable(), NotFound()], ids=["not sent", "not found"])
def test_a_confirm_that_failed_across_the_last_safe_moment_is_dead_at_once(answer):
    """Nothing is unresolved and it is too late, so no backoff delays the dead letter (6)."""
    step = decide(sent(relograde(failures=5), LAST - 1), answer, now=LAST + 1)
    assert step.order.reason == "deadline_missed" or step.order.due_at <= LAST + 1


def test_jitter_is_a_fifth_either_way():
    """Retries and re-checks move by at most 20 per cent."""
    policy = RELOGRADE
    for jitter, factor in ((-1.0, 0.8), (0.0, 1.0), (1.0, 1.2)):
        retry = policy.decide(sent(relograde()), call(), Unavailable(), NOW, jitter)
        assert retry.order.due_at - NOW == pytest.approx(RETRY[0] * factor)
        snooze = policy.decide(WAITING, call(READ), PENDING, NOW, jitter)
        assert snooze.order.due_at - NOW == pytest.approx(30.0 * factor)


@pytest.mark.parametrize(("snoozes", "wait"), [(0, 15), (1, 30), (2, 60), (3, 60), (99, 60)])
def test_a_pending_order_is_read_on_the_schedule_and_spends_no_attempt(snoozes, wait):
    """The re-check schedule; its last delay repeats."""
    order = replace(WAITING, snoozes=snoozes, lines=[{"tag": "2", "status": "pending", "deliverable": False,
                                                      "expires_at": None, "sealed": None}])  # fmt: skip
    step = decide(order, PENDING, READ)
    assert (step.order.due_at, step.order.snoozes, step.order.attempts) == (
        NOW + wait,
        snoozes + 1,
        order.attempts,
    )


def test_a_pending_order_is_told_again_only_when_more_lines_are_finished():
    """The first pending is told, and each that finishes a line."""
    first = decide(sent(relograde()), PENDING)
    again = decide(first.order, PENDING, READ)
    more = decide(again.order, Pending(lines=(DONE, OPEN_LINE)), READ)
    less = decide(more.order, Pending(lines=(replace(EMPTY, status="pending"),)), READ)
    assert [bool(step.tells) for step in (first, again, more, less)] == [True, False, True, False]
    assert less.order.lines_finished == 1, "a finished line is not lost to a poorer view of it"


def test_a_cancelled_order_is_read_again_after_a_quarter_of_an_hour_and_a_day():
    """While lines may change; changes are told by `order.updated`; the second read is the last."""
    unsettled = Cancelled(lines=(DONE, OPEN_LINE))
    order = decide(ASKED, unsettled, READ).order
    assert order.due_at == NOW + 900
    assert RELOGRADE.next_call(order, NOW + 900) == Call(kind=READ)
    failed = decide(order, TIMEOUT, READ, now=NOW + 900).order
    assert (failed.state, failed.due_at) == ("cancelled", NOW + 902)
    second = decide(failed, unsettled, READ, now=NOW + 902)
    assert (second.order.due_at, second.tells) == (NOW + DAY, ())
    late = Cancelled(lines=(DONE, Line(tag="2", status="finished", deliverable=True)))
    third = decide(second.order, late, READ, now=NOW + DAY)
    assert (third.order.due_at, third.tells) == (None, (("order.updated", None),))
    assert decide(second.order, unsettled, READ, now=NOW + DAY).order.due_at is None


@pytest.mark.parametrize(("line", "due"), [(OPEN_LINE, NOW + DAY), (DONE, None)])
def test_a_404_does_not_end_the_reads_of_a_cancelled_order(line, due):
    """Its lines may still be delivered, so the next read comes as planned."""
    order = decide(ASKED, Cancelled(lines=(DONE, OPEN_LINE)), READ).order
    order = replace(order, lines=[{**old, "status": line.status} for old in order.lines])
    assert decide(order, NotFound(), READ, now=NOW + 900).order.due_at == due


@pytest.mark.parametrize(
    "answer",
    [Pending(lines=(OPEN_LINE,)), Confirmed(lines=(OPEN_LINE,))],
    ids=["pending", "partly"],
)
def test_an_odd_answer_does_not_end_the_reads_of_a_cancelled_order(answer):
    """Lines that finish later are still told (core 15)."""
    order = decide(ASKED, Cancelled(lines=(DONE, OPEN_LINE)), READ).order
    assert decide(order, answer, READ, now=NOW + 900).order.due_at == NOW + DAY


def test_an_earlier_creation_moves_the_deadline_and_a_later_one_does_not():
    """An earlier `dateCreated` moves the deadline by as much (6)."""
    order = ASKED
    for shift, moved in ((-3600, 3600), (3600, 0), (0, 0)):
        shown = datetime.fromtimestamp(order.created_at + shift, UTC)
        step = decide(order, Created(created_at=shown), READ)
        assert step.order.deadline_at == DEADLINE - moved
    without = decide(
        replace(ASKED, created_at=None), Created(created_at=datetime.fromtimestamp(1, UTC)), READ
    )
    assert without.order.deadline_at == DEADLINE


def test_an_earlier_creation_can_make_it_too_late():
    """The read that shows the earlier creation also decides with it."""
    shown = datetime.fromtimestamp(NOW - 86400 + 20, UTC)
    step = decide(ASKED, Created(created_at=shown), READ)
    assert (step.order.state, step.order.reason) == ("dead", "deadline_missed")


def test_the_truth_wins_over_the_clock_and_over_a_letter():
    """An order found finished after its deadline, or while dead, is confirmed (5)."""
    dead = relograde(
        state="dead", reason="deadline_missed", letter="deadline_missed", letter_at=NOW
    )
    for order in (dead, ASKED):
        after = decide(order, FINISHED, READ, now=DEADLINE + 9 * DAY)
        assert (after.order.state, after.order.reason, after.order.letter) == (
            "confirmed",
            None,
            None,
        )
        assert after.order.ended_at == DEADLINE + 9 * DAY
        assert after.tells == (("order.confirmed", None),)


def test_incomplete_for_a_dead_order_leaves_it_dead():
    """Finished with nothing to deliver is no proof."""
    dead = relograde(
        state="dead", reason="deadline_missed", letter="deadline_missed", letter_at=NOW
    )
    step = decide(dead, INCOMPLETE, READ)
    assert (step.order.state, step.order.reason) == ("dead", "deadline_missed")


def test_the_third_contradiction_is_a_dead_letter():
    """A confirm is refused, yet a read says `created`: the third time a human decides."""
    order = relograde()
    for turn in (1, 2, 3):
        refused = decide(sent(order, NOW + 100 * turn), REFUSED, now=NOW + 100 * turn)
        assert refused.order.unresolved
        read = decide(refused.order, CREATED, READ, now=NOW + 100 * turn + 60)
        order = read.order
        assert order.contradictions == turn
        assert order.state == ("dead" if turn == 3 else "accepted")
    assert order.reason == "contradictory_answers"


def test_a_contradiction_needs_a_refusal():
    """A timeout that reads as not confirmed contradicts nothing."""
    refused = replace(decide(sent(relograde()), REFUSED).order, older_send_by=None)
    again = decide(sent(refused, NOW + 100), TIMEOUT, now=NOW + 100)
    assert decide(again.order, CREATED, READ, now=NOW + 300).order.contradictions == 0


@pytest.mark.parametrize("answer", [UNRECOGNISED, EXPIRED, FUNDS], ids=lambda answer: answer.reason)
def test_a_rejection_is_judged_after_the_read(answer):
    """While an attempt is unresolved the refusal is kept; a settled `created` makes it final."""
    asked = decide(replace(TWICE, requeued_at=None), answer).order
    assert RELOGRADE.next_call(asked, NOW) == Call(kind=READ)
    assert decide(asked, CREATED, READ, now=NOW + 1, at=NOW - 170).order.state == "submitted"
    judged = decide(asked, CREATED, READ, now=NOW + 300)
    assert (judged.order.state, judged.order.reason) == ("dead", answer.reason)
    assert decide(asked, FINISHED, READ).order.state == "confirmed"


def test_expired_after_attempts_without_effect_is_read_first():
    """The supplier's order of checks is unknown: an earlier attempt may have succeeded."""
    asked = decide(sent(relograde(attempts=1)), EXPIRED).order
    assert RELOGRADE.next_call(asked, NOW) == Call(kind=READ)
    judged = decide(asked, CREATED, READ).order
    assert (judged.state, judged.reason) == ("dead", "order_expired")
    again = decide(sent(replace(asked, state="accepted")), EXPIRED).order
    assert again.reason == "order_expired", "asked already"


# --- not the order's fault ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("denied", "passed", "state"), [(None, NOW - 1, "accepted"), (NOW - 9, None, "accepted"),
                                    (NOW - 9, NOW - 10, "accepted"), (NOW - 9, NOW - 8, "dead")],
)  # fmt: skip
def test_one_order_refused_with_403_while_others_pass_is_its_own_dead_letter(denied, passed, state):
    """The first 403 holds the lane; a second, after another call passed, is the order's (7)."""
    step = decide(sent(relograde(denied_at=denied)), Blocked("forbidden"), passed_at=passed)
    assert step.order.state == state
    assert step.order.reason == ("access_denied" if state == "dead" else None)
    assert step.signal == (None if state == "dead" else "blocked")
    assert state == "dead" or step.order.denied_at == (denied or NOW)


@pytest.mark.parametrize(
    ("missed", "found", "state"), [(None, NOW - 1, "accepted"), (NOW - 9, None, "accepted"),
                                   (NOW - 9, NOW - 10, "accepted"), (NOW - 9, NOW - 8, "dead")],
)  # fmt: skip
def test_a_not_found_ends_an_order_only_when_another_was_found_in_between(missed, found, state):
    """The second not-found ends the order if the lane found another order between (7)."""
    step = decide(sent(relograde(not_found_at=missed)), NotFound(), found_at=found)
    assert step.order.state == state
    assert step.order.reason == ("order_not_found" if state == "dead" else None)


@pytest.mark.parametrize("mark", ["denied_at", "not_found_at"])
@pytest.mark.parametrize("answer", [PENDING, CREATED], ids=["pending", "created"])
def test_an_answer_about_the_order_clears_what_was_held_against_it(mark, answer):
    """The supplier found the order and let the call in: the next refusal is a first one."""
    assert getattr(decide(replace(ASKED, **{mark: NOW - 9}), answer, READ).order, mark) is None


def test_a_rejection_clears_a_not_found_too():
    """A supplier that refuses an order has found it: the next not-found is a first one (7)."""
    order = decide(sent(relograde(not_found_at=NOW - 9, attempts=1)), EXPIRED).order
    later = decide(order, NotFound(), READ, now=NOW + 5, found_at=NOW)
    assert later.order.state == "accepted"


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("misconfigured", "invalid_request"),
        ("unauthorized", "access_denied"),
        ("company_not_verified", "access_denied"),
    ],
)
def test_what_one_order_is_blocked_for_while_others_pass_is_its_own(cause, reason):
    """The first block is the lane's; then it backs off on RETRY_SECONDS; then a letter (7)."""
    first = decide(sent(relograde()), Blocked(cause))
    assert (first.order.state, first.order.due_at, first.signal) == ("accepted", NOW, "blocked")
    second = decide(sent(first.order), Blocked(cause), now=NOW + 9, passed_at=NOW + 5)
    assert (second.event, second.signal) == ("blocked_alone", None)
    assert second.order.due_at > NOW + 9
    last = replace(sent(second.order), failures=len(RELOGRADE.rules.retry))
    letter = decide(last, Blocked(cause), now=NOW + 20, passed_at=NOW + 15)
    assert (letter.order.state, letter.order.reason, letter.signal) == ("dead", reason, None)


def test_a_settled_created_resolves_the_attempts_of_a_dead_order():
    """The supplier has just said that nothing happened: a withdraw is possible again (core 17)."""
    letter = {"reason": "outcome_unknown", "letter": "outcome_unknown", "letter_at": NOW}
    dead = replace(sent(relograde()), state="dead", **letter)
    early = decide(dead, CREATED, READ, now=NOW + 10, at=NOW + 10)
    assert early.order.unresolved
    late = decide(dead, CREATED, READ, now=NOW + 90, at=NOW + 90)
    assert (late.order.state, late.order.unresolved) == ("dead", False)


def test_a_rate_limit_is_never_an_orders_own():
    """Others pass because they came first (7)."""
    order = decide(sent(relograde()), Blocked("rate_limited")).order
    for _ in range(5):
        order = decide(sent(order), Blocked("rate_limited"), passed_at=NOW + 5).order
    assert (order.state, order.failures) == ("accepted", 0)


def test_a_not_found_clears_a_403():
    """The call was let in: a second 403 much later is a first one (7)."""
    order = decide(sent(relograde(denied_at=NOW - 9)), NotFound()).order
    later = decide(
        sent(order, NOW + 9000), Blocked("forbidden"), now=NOW + 9000, passed_at=NOW + 8000
    )
    assert later.order.state == "accepted"


@pytest.mark.parametrize(
    "answer", [Blocked("unauthorized"), Blocked("rate_limited", 9.0), Blocked("forbidden")]
)
def test_a_blocked_call_moves_no_backoff(answer):
    """The lane is held; the order stays due (7)."""
    step = decide(sent(relograde(failures=2)), answer)
    assert (step.order.failures, step.order.due_at, step.cause) == (2, NOW, answer.cause)
    assert step.retry_after == answer.retry_after


# --- letters beside an ended order ----------------------------------------------------------------


def test_an_inferred_order_without_tracking_gets_a_letter_beside_it():
    """The order stays confirmed after LOGITRAIL_GIVE_UP_SECONDS; the webhook closes the letter."""
    plan = LOGITRAIL.next_call(INFERRED, NOW + 9)
    assert (plan.order.state, plan.order.letter, plan.order.due_at) == (
        "confirmed",
        "tracking_missing",
        None,
    )
    assert plan.tells == (("order.dead_lettered", "tracking_missing"),)
    closed = decide(plan.order, TRACKED, NOTICE)
    assert (closed.order.letter, closed.order.inferred, closed.order.tracking_code) == (
        None,
        False,
        "T1",
    )
    assert (
        LOGITRAIL.next_call(replace(INFERRED, tracking_code="T1"), NOW + 9).event
        == "nothing_to_ask"
    )


@pytest.mark.parametrize("state", ["withdrawn", "resolved"])
def test_proof_for_a_withdrawn_or_resolved_order_is_told_with_a_letter_once(state):
    """`order.updated` and one letter `contradictory_answers`; a repeated proof is silent."""
    first = decide(replace(GONE, state=state), TRACKED, NOTICE)
    assert (first.order.state, first.order.letter) == (state, "contradictory_answers")
    assert first.tells == (("order.updated", "contradictory_answers"),)
    assert decide(first.order, TRACKED, NOTICE).tells == ()
    closed = interventions.resolve(first.order, NOW, "known").order
    assert decide(closed, TRACKED, NOTICE).order.letter is None


@pytest.mark.parametrize("state", ["withdrawn", "resolved"])
def test_proof_gets_its_letter_although_the_order_was_contradictory_before(state):
    """Contradictory, then withdrawn or resolved, then finished: a human is told again."""
    dead = relograde(
        state="dead",
        reason="contradictory_answers",
        letter="contradictory_answers",
        letter_at=NOW,
        contradictions=3,
    )
    closed = (
        interventions.resolve(dead, NOW, "n")
        if state == "resolved"
        else interventions.withdraw(dead, NOW)
    )
    assert closed.order.state == state
    assert decide(closed.order, FINISHED, READ).order.letter == "contradictory_answers"


def test_a_repeated_cancellation_of_a_proven_order_is_told_once():
    """Webhooks are repeated, and a repeat is no news."""
    first = decide(PROVEN, Cancelled(), NOTICE)
    assert first.tells
    assert decide(first.order, Cancelled(), NOTICE).tells == ()


def test_an_order_waits_by_its_last_safe_moment_or_its_time_to_give_up():
    """Confirms and questions rank by deadline, re-checks by how long they wait for a page."""
    assert RELOGRADE.times.waits_for(relograde()) == ("confirm", LAST)
    assert RELOGRADE.times.waits_for(relograde(must_ask=True)) == ("ask", LAST)
    assert RELOGRADE.times.waits_for(ASKED) == ("ask", LAST)
    assert RELOGRADE.times.waits_for(replace(WAITING, snoozes=0)) == ("recheck", NOW - 1)
    assert RELOGRADE.times.waits_for(replace(WAITING, snoozes=2)) == ("recheck", NOW - 1 + 30 / 4)
    for alone in ({"failures": 1}, {"incomplete": True}, {"state": "dead"}):
        assert RELOGRADE.times.waits_for(replace(WAITING, snoozes=2, **alone)) == (
            "recheck",
            NOW - 1,
        )
    assert RELOGRADE.times.waits_for(replace(WAITING, page_says="finished")) == ("recheck", 0.0)
    assert RELOGRADE.times.waits_for(replace(WAITING, due_at=None)) == ("recheck", 0.0)
    assert LOGITRAIL.times.waits_for(logitrail()) == ("confirm", NOW - 100 + GIVE_UP)
    assert LOGITRAIL.times.waits_for(logitrail(requeued_at=NOW)) == ("confirm", NOW + GIVE_UP)


def test_what_is_shown_is_kept():
    """Lines by tag, with expiry and sealed form; a deliverable line stays deliverable."""
    until = datetime(2027, 1, 1, tzinfo=UTC)
    first = decide(
        ASKED, Pending(lines=(Line("1", "finished", True, until, "sealed"), OPEN_LINE)), READ
    ).order
    second = decide(first, FINISHED, READ).order
    assert second.lines[0] == {
        "tag": "1", "status": "finished", "deliverable": True, "expires_at": until.timestamp(), "sealed": "sealed",
    }  # fmt: skip
    assert second.lines[1]["status"] == "pending"
    assert relograde().lines_total is None
    assert (second.lines_total, second.lines_finished) == (2, 1)
