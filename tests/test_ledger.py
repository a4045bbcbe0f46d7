"""An order's way through the ledger, on a real server: open, claim, permit, write, hint.

The clock is the test's.
"""

import random
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from conftest import RETRY, START, an_order, make_ledger, members, recount, turn

from schemas.lane import Lane
from worker.ledger.limits import LEASE_MARGIN
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
from worker.rules.words import CONFIRM, NOTICE, READ, SEND_WINDOW, Call, Step

LAST = START - 3600 + 86400 - 30
LEASE = 50 + LEASE_MARGIN
FINISHED = Confirmed(lines=(Line("1", "finished", True),))
TIMEOUT = Unknown("read timeout", outage=True)
NOT_PASSIVE = Rejected("order_not_passive")


def types(ledger, order_id="R1", room="relograde"):
    """The types of the outcomes so far, in order; the acceptance is the record itself."""
    kept = ledger.scripts.client.hgetall(ledger.scripts.key(room, "outcomes", order_id))
    told = int(
        ledger.scripts.client.hget(ledger.scripts.key(room, "order", order_id), "sequence") or 0
    )
    later = [kept[str(number)].split('"type":"')[1].split('"')[0] for number in range(2, told + 1)]
    return ["order.accepted"] * (told > 0) + later


def record(ledger, order_id="R1", supplier="relograde"):
    return ledger.load(supplier, order_id).order


def claimed(ledger, order_id="R1", supplier="relograde", **changed):
    ledger.open(an_order(order_id, supplier, **changed))
    return ledger.claim(supplier, order_id)


def permitted(ledger, order_id="R1", supplier="relograde", kind=CONFIRM, **changed):
    claim = claimed(ledger, order_id, supplier, **changed)
    return claim, ledger.permit(claim, Call(kind=kind))


# --- open -----------------------------------------------------------------------------------------


def test_an_accepted_order_is_due_at_once_and_that_is_told(ledger):
    """Accepted once: one state, due now, `order.accepted` (1)."""
    assert ledger.open(an_order(), details='{"a":1}').result == "opened"
    order = recount(ledger)["R1"]
    assert (order.state, order.due_at, order.accepted_at) == ("accepted", START, START)
    assert types(ledger) == ["order.accepted"]
    assert ledger.details(order) == '{"a":1}'
    assert members(ledger, "relograde", "ready", "-", "confirm") == {"R1": LAST}


def test_a_repeat_changes_nothing_and_tells_again(ledger, clock, outbox):
    """A repeat makes `order.accepted` and the latest outcome go out again, with the same ids
    (1).
    """
    ledger.open(an_order())
    turn(ledger, "R1", Rejected("out_of_stock"))
    clock.advance(1)
    first = outbox.take("task", 9, 30, 0)
    for delivery in first:
        outbox.delivered(delivery.room, delivery.order_id, delivery.sequence, "task")
    second = outbox.take("task", 9, 30, 0)
    for delivery in second:
        outbox.delivered(delivery.room, delivery.order_id, delivery.sequence, "task")
    before = record(ledger)
    clock.advance(100)
    assert ledger.open(an_order(accepted_at=clock())).result == "known"
    assert record(ledger) == before
    told = [delivery.body["id"] for delivery in (*first, *second)]
    clock.advance(1)
    again = outbox.take("task", 9, 30, 0)
    assert (
        [delivery.body["id"] for delivery in again] == told == ["relograde.R1.1", "relograde.R1.2"]
    )


@pytest.mark.parametrize("changed", [{"reference": "other"}, {"account": "a"}])
def test_another_reference_or_account_is_a_conflict(ledger, changed):
    """Identity is (supplier, order_id): a repeat that differs is refused and changes nothing."""
    ledger.open(an_order())
    before = record(ledger)
    assert ledger.open(an_order(**changed)).result == "conflict"
    assert record(ledger) == before
    assert ledger.open(replace(an_order(supplier="logitrail"))).result == "opened", (
        "another supplier is another order"
    )


@pytest.mark.parametrize("kept", ["ABCDEF" * 4, "AbCdEf" * 4])
def test_an_order_that_an_older_version_kept_in_another_spelling_is_known(ledger, kept):
    """Its keys stay as they are; a note leads from the canonical id to them."""
    ledger.open(an_order(kept, "logitrail"))
    ledger.open(an_order("0" * 24, "logitrail"))
    assert ledger.learn_spellings("logitrail") == 1
    assert ledger.learn_spellings("logitrail") == 0
    assert ledger.known_id("logitrail", kept.lower()) == kept
    assert ledger.known_id("logitrail", "0" * 24) == "0" * 24


def test_a_withdraw_before_its_confirm_is_remembered(ledger):
    """The mark of a withdraw makes a confirm that arrives later end as withdrawn."""
    assert ledger.mark_withdrawn("relograde", "R1")
    assert ledger.open(an_order(), details="{}").result == "withdrawn"
    order = recount(ledger)["R1"]
    assert (order.state, order.due_at, order.ended_at) == ("withdrawn", None, START)
    assert ledger.details(order) is None
    assert types(ledger) == ["order.accepted", "order.withdrawn"]
    assert ledger.open(an_order()).result == "known", "the mark is used up"


def test_there_is_no_mark_for_a_known_order(ledger):
    """The order is there: the withdraw must look at it instead."""
    ledger.open(an_order())
    assert not ledger.mark_withdrawn("relograde", "R1")


# --- claim ----------------------------------------------------------------------------------------


def test_only_one_gets_the_lease(ledger, clock):
    """A claim takes a lease of call budget + 10 s and a fencing number (4)."""
    first = claimed(ledger)
    assert (first.result, first.order.fence) == ("claimed", 1)
    assert ledger.claim("relograde", "R1").result == "busy"
    assert members(ledger, "relograde", "leases", "-") == {"R1": START + LEASE}
    recount(ledger)
    clock.advance(LEASE - 1)
    assert ledger.claim("relograde", "R1").result == "busy"
    clock.advance(1)
    second = ledger.claim("relograde", "R1")
    assert (second.result, second.order.fence) == ("claimed", 2)


def test_what_is_unknown_or_not_due_is_not_claimed(ledger, clock):
    """A late or doubled doorbell does nothing."""
    assert ledger.claim("relograde", "nobody").result == "gone"
    ledger.open(an_order())
    turn(ledger, "R1", Unavailable())
    assert ledger.claim("relograde", "R1").result == "not_due"
    clock.advance(RETRY[0])
    assert ledger.claim("relograde", "R1").result == "claimed"


def test_a_dead_order_is_not_claimed(ledger):
    """It has no next look."""
    ledger.open(an_order())
    turn(ledger, "R1", Rejected("out_of_stock"))
    assert ledger.claim("relograde", "R1").result == "not_due"


def test_a_direct_claim_waits_for_its_turn(client, policies, clock):
    """Who accepted an order may take its first step itself when the lane is free, and not before
    others.
    """
    ledger = make_ledger(client, policies, clock, calls_per_minute=2, max_in_flight=2)
    ledger.open(an_order("A"))
    assert ledger.claim("relograde", "A", direct=True).result == "claimed"
    ledger.open(an_order("B"))
    ledger.open(an_order("C"))
    assert ledger.claim("relograde", "C", direct=True).result == "later", "others are ready"
    assert turn(ledger, "B", TIMEOUT) == "outcome_unknown"
    assert ledger.claim("relograde", "C", direct=True).result == "claimed"
    ledger.open(an_order("D"))
    assert ledger.claim("relograde", "D", direct=True).result == "later", (
        "as many calls at once as may be"
    )


def test_a_direct_claim_needs_budget(client, policies, clock):
    """With nothing left of the budget the order waits for its bell."""
    ledger = make_ledger(client, policies, clock, calls_per_minute=1)
    ledger.open(an_order("A"))
    turn(ledger, "A", FINISHED)
    ledger.open(an_order("B"))
    assert ledger.claim("relograde", "B", direct=True).result == "later"


# --- claim and permit in one round trip -----------------------------------------------------------

WAYS = {
    "a first confirm": [],
    "a retry": [Unavailable()],
    "an outcome that is unknown": [TIMEOUT],
    "a refusal that is doubted": [NOT_PASSIVE],
    "pending": [Pending()],
    "a read that found it untouched": [TIMEOUT, Created()],
    "a dead letter that is requeued": [Rejected("out_of_stock"), "requeue"],
    "a dead letter that was hinted": [Rejected("out_of_stock"), "hint"],
}


@pytest.mark.parametrize("supplier", ["relograde", "logitrail"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_is_permitted_unseen_is_what_the_policy_decides(ledger, clock, way, late, supplier):
    """A confirm, to the same host; everything else is left to the policy, claimed."""
    ledger.open(an_order(supplier=supplier))
    for answer in way:
        if answer == "requeue":
            ledger.change(supplier, "R1", interventions.requeue)
        elif answer == "hint":
            ledger.hint(supplier, "R1")
        else:
            turn(ledger, "R1", answer, supplier)
        clock.advance(100)
    if late:
        clock.advance(86400)
    claimed, permit = ledger.claim_and_permit(supplier, "R1")
    if claimed.result != "claimed":
        assert (claimed.result, permit) == ("not_due", None)
        return
    plan = ledger.policies[supplier].next_call(claimed.order, claimed.now)
    asks = claimed.order.unresolved or claimed.order.must_ask
    assert (permit is not None) == (isinstance(plan, Call) and plan.kind == CONFIRM and not asks)
    if permit:
        assert permit.result == "permitted"
        assert (permit.call.kind, permit.call.host, permit.call.details) == (
            plan.kind,
            plan.host,
            plan.details,
        )
        assert recount(ledger, supplier)["R1"] == permit.order
    else:
        assert (
            ledger.write(
                claimed.order, Step(order=claimed.order, event="x"), claim=claimed.claim
            ).result
            == "written"
        )


def test_what_is_sent_with_a_confirm_is_read_before_its_intent(ledger):
    """An order with details is claimed and no more: reading them may fail, which must cost no
    attempt.
    """
    ledger.open(an_order("L", "logitrail", details=True), details="{}")
    claimed, permit = ledger.claim_and_permit("logitrail", "L")
    assert (claimed.result, permit) == ("claimed", None)


def test_an_order_is_accepted_and_its_first_confirm_permitted_at_once(ledger):
    """One round trip; the intent is written, and the order is claimed."""
    opened, (claimed, permit) = ledger.open_and_claim(an_order())
    assert (opened.result, claimed.result, permit.result) == ("opened", "claimed", "permitted")
    assert recount(ledger)["R1"] == permit.order
    assert ledger.claim("relograde", "R1").result == "busy"


def test_a_repeated_message_takes_nothing(ledger, clock):
    """Its order is known, and looked at when it is due, by whoever the dispatcher rings for."""
    ledger.open_and_claim(an_order())
    clock.advance(LEASE + 1)
    opened, taken = ledger.open_and_claim(an_order())
    assert (opened.result, taken.claimed.result, taken.permit) == ("known", "later", None)


def test_an_order_that_was_withdrawn_before_is_not_taken(ledger):
    """Nor one whose message conflicts with what is known."""
    ledger.mark_withdrawn("relograde", "R1")
    opened, taken = ledger.open_and_claim(an_order())
    assert (opened.result, taken.claimed.result) == ("withdrawn", "not_due")
    ledger.open(an_order("R2"))
    opened, taken = ledger.open_and_claim(an_order("R2", reference="another"))
    assert (opened.result, opened.differs) == ("conflict", "reference")


def test_a_lane_without_room_accepts_all_the_same(client, policies, clock):
    """No call is taken from those that wait."""
    ledger = make_ledger(client, policies, clock, calls_per_minute=1)
    ledger.open_and_claim(an_order("A"))
    opened, taken = ledger.open_and_claim(an_order("B"))
    assert (opened.result, taken.claimed.result, taken.permit) == ("opened", "later", None)
    ledger.hold(Lane("relograde"), "n")
    assert ledger.open_and_claim(an_order("C"))[1].claimed.result == "held"
    recount(ledger)


def test_a_server_that_forgot_the_scripts_learns_them_again(ledger):
    """A restart, or SCRIPT FLUSH: each runs once all the same."""
    ledger.open_and_claim(an_order("A"))
    ledger.scripts.client.script_flush()
    opened, (claimed, permit) = ledger.open_and_claim(an_order("B"))
    assert (opened.result, claimed.result, permit.result) == ("opened", "claimed", "permitted")
    ledger.open(an_order("C"))
    ledger.scripts.client.script_flush()
    assert ledger.claim_and_permit("relograde", "C").permit.result == "permitted"
    assert {order.attempts for order in recount(ledger).values()} == {1}


# --- permit ---------------------------------------------------------------------------------------


def test_the_intent_is_written_before_the_first_byte(ledger, clock):
    """Attempt, host, time and `send_by` stand in the ledger when the permit is given (2)."""
    claim, permit = permitted(ledger)
    assert (permit.result, permit.window, permit.now) == ("permitted", SEND_WINDOW, START)
    order = recount(ledger)["R1"]
    assert order == permit.order
    assert (order.state, order.attempts, order.send_by, order.last_sent_at) == (
        "submitted",
        1,
        START + 5,
        START,
    )
    assert (order.host, order.host_since, order.older_send_by) == (0, START, None)
    assert claim.order.state == "accepted"


def test_a_second_attempt_remembers_the_first(ledger, clock):
    """What is unresolved is kept apart from the attempt that is under way (2)."""
    ledger.open(an_order("L", "logitrail"))
    turn(ledger, "L", TIMEOUT, "logitrail")
    clock.advance(66)
    claim = ledger.claim("logitrail", "L")
    order = ledger.permit(claim, Call(kind=CONFIRM)).order
    assert (order.older_send_by, order.send_by, order.host_since) == (START + 5, clock() + 5, START)
    clock.advance(LEASE)
    other = ledger.permit(ledger.claim("logitrail", "L"), Call(kind=CONFIRM, host=1)).order
    assert (other.host, other.host_since, other.attempts) == (1, clock(), 3)


@pytest.mark.parametrize(("left", "result", "window"), [(6, "permitted", 5), (5, "permitted", 5),
(1, "permitted", 1),
                                                        (0, "permitted", 0), (-1, "late",
                                                        0)])  # fmt: skip
def test_the_window_ends_with_the_last_safe_moment(ledger, clock, left, result, window):
    """`send_by` is the earlier of intent + 5 s and the last safe moment; after it no confirm is
    permitted (2, 6).
    """
    ledger.open(an_order())
    clock.now = LAST - left
    permit = ledger.permit(ledger.claim("relograde", "R1"), Call(kind=CONFIRM))
    assert permit.result == result
    assert permit.window == pytest.approx(window)
    order = recount(ledger)["R1"]
    assert order.send_by == (None if result == "late" else pytest.approx(clock() + window))
    assert result == "permitted" or ledger.claim("relograde", "R1").result == "claimed", (
        "it was put back"
    )


def test_a_read_is_permitted_after_the_deadline_and_writes_no_attempt(ledger, clock):
    """Only a confirm has a deadline."""
    ledger.open(an_order())
    clock.now = LAST + 99
    permit = ledger.permit(ledger.claim("relograde", "R1"), Call(kind=READ))
    assert (permit.result, permit.order.attempts, permit.order.send_by) == ("permitted", 0, None)
    assert len(members(ledger, "relograde", "calls", "-")) == 1, "it is a call all the same (10)"


def test_an_old_fence_may_neither_send_nor_schedule(ledger, clock):
    """The lease ran out and another has the order: no permit and no write for the old claim (4)."""
    old = claimed(ledger)
    clock.advance(LEASE)
    assert ledger.permit(old, Call(kind=CONFIRM)).result == "stale"
    new = ledger.claim("relograde", "R1")
    assert ledger.permit(old, Call(kind=CONFIRM)).result == "stale"
    step = Step(order=replace(old.order, due_at=clock() + 999, failures=7), event="late")
    assert ledger.write(old.order, step, claim=old.claim).result == "stale"
    assert record(ledger).failures == 0
    assert ledger.permit(new, Call(kind=CONFIRM)).result == "permitted"


def test_a_claimed_order_is_needed_for_a_permit(ledger):
    """A reply without an order cannot be permitted anything."""
    with pytest.raises(ValueError, match="claimed"):
        ledger.permit(ledger.claim("relograde", "nobody"), Call(kind=CONFIRM))


def test_no_budget_puts_the_order_back(client, policies, clock):
    """The call is spent in the script that permits it; without one the order waits, due (10)."""
    ledger = make_ledger(client, policies, clock, calls_per_minute=1)
    permitted(ledger, "A")
    _, second = permitted(ledger, "B")
    assert second.result == "no_budget"
    order = recount(ledger)["B"]
    assert (order.state, order.attempts, order.due_at) == ("accepted", 0, START)
    assert members(ledger, "relograde", "ready", "-", "confirm") == {"B": LAST}


def test_a_hold_between_claim_and_permit_puts_the_order_back(ledger):
    """A lane that was held a moment ago sends nothing more."""
    claim = claimed(ledger)
    ledger.hold(Lane("relograde"), "stop")
    assert ledger.permit(claim, Call(kind=CONFIRM)).result == "held"
    assert recount(ledger)["R1"].attempts == 0
    assert ledger.claim("relograde", "R1").result == "held"
    ledger.release(Lane("relograde"))
    assert ledger.claim("relograde", "R1").result == "claimed"


def test_no_confirm_is_permitted_in_state_pending(ledger):
    """Whatever asked for it (3)."""
    ledger.open(an_order())
    turn(ledger, "R1", Pending())
    ledger.hint("relograde", "R1")
    claim = ledger.claim("relograde", "R1")
    assert ledger.permit(claim, Call(kind=CONFIRM)).result == "stale"
    assert recount(ledger)["R1"].state == "pending"


# --- write ----------------------------------------------------------------------------------------


def test_a_step_is_written_whole(ledger, clock):
    """Record, indexes, next look, timeline and outcomes, all or nothing."""
    ledger.open(an_order(), details="{}")
    clock.advance(3)
    assert turn(ledger, "R1", FINISHED) == "confirmed"
    order = recount(ledger)["R1"]
    assert (order.state, order.due_at, order.ended_at, order.send_by) == (
        "confirmed",
        None,
        START + 3,
        None,
    )
    assert order.lines_finished == 1
    assert types(ledger) == ["order.accepted", "order.confirmed"]
    assert ledger.details(order) is None, "personal data goes with the end (9)"
    assert members(ledger, "relograde", "expiring") == {"R1": START + 3 + 30 * 86400}
    assert record(ledger, "R1") == order


def test_the_same_write_twice_changes_nothing(ledger, clock):
    """A script whose answer was lost may have run: repeated with the same claim it changes
    nothing.
    """
    claim, permit = permitted(ledger)
    step = ledger.policies["relograde"].decide(permit.order, permit.call, Unavailable(), START)
    assert ledger.write(permit.order, step, claim=claim.claim, sent_at=START).result == "written"
    before = ledger.scripts.client.hgetall(ledger.scripts.key("relograde", "order", "R1"))
    told, lane = (
        types(ledger),
        ledger.scripts.client.hgetall(ledger.scripts.key("relograde", "lane", "-")),
    )
    assert ledger.write(permit.order, step, claim=claim.claim, sent_at=START).result == "written"
    assert ledger.scripts.client.hgetall(ledger.scripts.key("relograde", "order", "R1")) == before
    assert (
        types(ledger),
        ledger.scripts.client.hgetall(ledger.scripts.key("relograde", "lane", "-")),
    ) == (told, lane)


def test_a_write_about_an_unknown_order_says_so(ledger):
    """It has been forgotten."""
    order = an_order()
    assert ledger.write(order, Step(order=order, event="x"), claim="c").result == "gone"
    assert ledger.change("relograde", "R1", interventions.withdraw) is None


def test_a_change_decides_again_when_somebody_came_between(ledger):
    """By version: load, decide, write, until nobody came between."""
    ledger.open(an_order())
    seen = []

    def decide(order, now):
        seen.append(order.version)
        if len(seen) == 1:
            ledger.hint("relograde", "R1")
        return interventions.withdraw(order, now)

    assert ledger.change("relograde", "R1", decide).event == "withdrawn"
    assert len(seen) == 2
    assert recount(ledger)["R1"].state == "withdrawn"
    assert ledger.change("relograde", "R1", interventions.requeue) is None


def test_proof_outlives_the_fence(ledger, clock):
    """What an old fence proves is merged by version, on the record as it is now (4, 5)."""
    claim, permit = permitted(ledger)
    clock.advance(LEASE)
    assert (
        turn(ledger, "R1", Created()) == "read_created_early" or record(ledger).state == "accepted"
    )
    step = ledger.policies["relograde"].decide(permit.order, permit.call, FINISHED, clock())
    assert ledger.write(permit.order, step, claim=claim.claim).result == "stale"
    assert step.proof
    merged = ledger.change(
        "relograde", "R1",
        lambda order, now: ledger.policies["relograde"].decide(order, permit.call, FINISHED, now),
    )  # fmt: skip
    assert merged.event == "confirmed"
    assert recount(ledger)["R1"].state == "confirmed"


def test_a_withdraw_beats_a_claim_that_has_not_been_permitted(ledger):
    """The claim ends with it, so the permit is refused."""
    claim = claimed(ledger)
    assert ledger.change("relograde", "R1", interventions.withdraw).event == "withdrawn"
    assert ledger.permit(claim, Call(kind=CONFIRM)).result == "stale"
    assert recount(ledger)["R1"].attempts == 0


def test_a_refused_withdraw_does_not_take_the_order_from_a_call_in_flight(ledger):
    """One step at a time: who may not withdraw may not end the lease either; the answer still
    counts (4).
    """

    def meanwhile(permit):
        assert ledger.change("relograde", "R1", interventions.withdraw).event == "withdraw_refused"
        assert ledger.claim("relograde", "R1").result == "busy"
        return Rejected("insufficient_balance")

    ledger.open(an_order())
    assert turn(ledger, "R1", meanwhile) == "dead"
    assert record(ledger).reason == "insufficient_balance"


def test_a_refused_withdraw_cannot_turn_a_refusal_into_a_confirmation(ledger, clock):
    """Not passive at the first attempt is a dead letter and bars the inference, whoever knocked
    meanwhile (3).
    """

    def meanwhile(permit):
        ledger.change("logitrail", "L1", interventions.withdraw)
        return NOT_PASSIVE

    ledger.open(an_order("L1", "logitrail"))
    turn(ledger, "L1", meanwhile, "logitrail")
    turn(ledger, "L1", NOT_PASSIVE, "logitrail")
    clock.advance(100)
    turn(ledger, "L1", NOT_PASSIVE, "logitrail")
    assert record(ledger, "L1", "logitrail").state == "dead"


# --- hint -----------------------------------------------------------------------------------------


def test_a_hint_makes_an_order_due_at_once(ledger, clock):
    """Something changed at the supplier: look now."""
    ledger.open(an_order())
    turn(ledger, "R1", Pending())
    assert record(ledger).due_at == START + 15
    assert ledger.hint("relograde", "R1") == "due"
    assert recount(ledger)["R1"].due_at == START
    assert turn(ledger, "R1", FINISHED) == "confirmed"
    assert ledger.hint("relograde", "R1") == "ended"
    assert ledger.hint("relograde", "nobody") == "gone"


def test_a_hint_during_a_call_is_remembered_until_its_write(ledger, clock):
    """The call may have been answered before the change (design 6, Pending)."""
    ledger.open(an_order())

    def meanwhile(permit):
        assert ledger.hint("relograde", "R1") == "remembered"
        return Pending()

    assert turn(ledger, "R1", meanwhile) == "pending"
    assert recount(ledger)["R1"].due_at == START
    assert turn(ledger, "R1", Pending()) == "pending"
    assert record(ledger).due_at > START, "it is remembered once"


def test_a_hint_during_the_call_that_ends_it_is_forgotten(ledger):
    """A confirmed order has no next look."""
    ledger.open(an_order())

    def meanwhile(permit):
        ledger.hint("relograde", "R1")
        return FINISHED

    turn(ledger, "R1", meanwhile)
    assert recount(ledger)["R1"].due_at is None


@pytest.mark.parametrize(("supplier", "result"), [("relograde", "due"), ("logitrail", "ended")])
def test_a_hint_for_a_dead_order_makes_one_read(ledger, supplier, result):
    """Where there is a read; the letter stays unless it proves something."""
    ledger.open(an_order("X", supplier))
    turn(ledger, "X", Rejected("invalid_request"), supplier)
    assert ledger.hint(supplier, "X") == result
    if supplier == "relograde":
        assert turn(ledger, "X", Created()) == "read_created"
        assert recount(ledger)["X"].state == "dead"
        assert ledger.claim("relograde", "X").result == "not_due"


def test_a_withdrawn_order_has_no_next_look_even_after_a_hint(ledger):
    """A hint during a call that is then withdrawn leaves nothing to look at."""
    claimed(ledger)
    ledger.hint("relograde", "R1")
    ledger.change("relograde", "R1", interventions.withdraw)
    assert recount(ledger)["R1"].due_at is None


# --- requeue, resolve, deadline -------------------------------------------------------------------


def test_a_requeued_letter_asks_first_and_can_be_requeued_again(ledger, clock):
    """Requeue: ask, decide, then maybe confirm (8)."""
    ledger.open(an_order())
    turn(ledger, "R1", Rejected("out_of_stock"))
    assert ledger.change("relograde", "R1", interventions.requeue).event == "requeued"
    assert ledger.change("relograde", "R1", interventions.requeue) is None
    recount(ledger)
    clock.advance(2)
    assert ledger.dispatch(Lane("relograde"), 1)[0] == ["R1"]
    assert turn(ledger, "R1", Created()) == "read_created"
    assert members(ledger, "relograde", "ready", "-", "confirm") == {"R1": LAST}
    assert turn(ledger, "R1", Rejected("out_of_stock")) == "dead"
    assert types(ledger) == ["order.accepted", "order.dead_lettered", "order.dead_lettered"]
    assert (
        ledger.change(
            "relograde", "R1", lambda order, now: interventions.resolve(order, now, "n")
        ).event
        == "resolved"
    )
    recount(ledger)


def test_an_earlier_creation_moves_the_index_of_deadlines(ledger, clock):
    """The deadline that an answer shows is the one that is ranked by (6)."""
    ledger.open(an_order())
    turn(ledger, "R1", TIMEOUT)
    clock.advance(10)
    turn(ledger, "R1", Created(created_at=datetime.fromtimestamp(START - 7200, UTC)))
    assert recount(ledger)["R1"].deadline_at == START - 7200 + 86400


# --- a random walk --------------------------------------------------------------------------------

SAYS = {
    "relograde": [FINISHED, Confirmed(), Pending(), Cancelled(), Cancelled(lines=(Line("1",
    "pending"),)), Created(),
                  TIMEOUT, Unknown("x", refused=True), Unavailable(), NotFound(),
                  Blocked("unauthorized"),
                  Blocked("rate_limited", 9.0), Blocked("forbidden"), Rejected("out_of_stock"),
                  Rejected("unrecognised_answer", certain=False)],
    "logitrail": [Confirmed(tracking_code="T"), TIMEOUT, Unavailable(), NotFound(), NOT_PASSIVE,
                  Blocked("forbidden"), Rejected("invalid_request"),
                  Rejected("unrecognised_answer", certain=False)],
}  # fmt: skip


def notice(policy, said, order, now):
    """What a webhook that says `said` makes of the order."""
    return policy.decide(order, Call(kind=NOTICE), said, now)


def walk(ledger, clock, seed, steps):  # noqa: C901
    """Random doors, bells, answers, people and clocks; the books are recounted as it goes."""
    dice = random.Random(seed)
    wire = {"relograde": 0, "logitrail": 0}
    for number in range(steps):
        room = dice.choice(["relograde", "logitrail"])
        order_id = f"{room[0]}{dice.randrange(6)}"
        policy = ledger.policies[room]
        act = dice.randrange(12)
        if act < 3:
            now = clock()
            dated = {"created_at": now - 60, "deadline_at": now + 86340, "accepted_at": now}
            ledger.open(an_order(order_id, room, **(dated if room == "relograde" else {})))
        elif act < 7:
            for picked in ledger.dispatch(Lane(room), 3)[0]:
                wire[room] += turn(ledger, picked, dice.choice(SAYS[room]), room) not in (
                    "held",
                    "not_due",
                )
        elif act == 7:
            ledger.hint(room, order_id)
        elif act == 8:
            ledger.claim(room, order_id)
        elif act == 9:
            said = dice.choice([Confirmed(tracking_code="T"), Cancelled()])
            if room == "logitrail":
                ledger.change(room, order_id, partial(notice, policy, said))
            else:
                ledger.change(room, order_id, interventions.withdraw)
        elif act == 10:
            ledger.change(
                room,
                order_id,
                dice.choice(
                    [interventions.requeue, lambda o, now: interventions.resolve(o, now, "n")]
                ),
            )
        elif dice.random() < 0.2:
            ledger.release(Lane(room))
        clock.advance(dice.choice([0, 0, 0.5, 3, 3, 20, 70, 70, 5000]))
        ledger.tend(room)
        if number % 10 == 0:
            recount(ledger, room)
    return wire


@pytest.mark.parametrize("seed", range(3))
def test_the_books_are_exact_after_any_walk(ledger, clock, views, seed):
    """Random operations: every order in one state, every open one in exactly one place, every count
    a recount (1).
    """
    assert sum(walk(ledger, clock, seed, 200).values()) > 20
    states = views.stats()["states"]
    orders = [*recount(ledger, "relograde").values(), *recount(ledger, "logitrail").values()]
    assert sum(states.values()) == len(orders)
