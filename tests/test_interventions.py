"""Withdraw, requeue and resolve, state by state."""

from dataclasses import replace

import pytest
from conftest import START

from schemas.order import STATES, Order
from worker.rules.interventions import requeue, requeue_on_funds, resolve, withdraw

NOW = START


def order(**changed):
    return Order(
        **{
            "supplier": "relograde",
            "order_id": "R1",
            "accepted_at": NOW - 50,
            "due_at": NOW,
            **changed,
        }
    )


def dead(reason="order_expired", **changed):
    given = {
        "state": "dead",
        "reason": reason,
        "letter": reason,
        "letter_at": NOW - 9,
        "due_at": None,
        "detail": "d",
    }
    return order(**{**given, **changed})


MAY_WITHDRAW = [
    ("accepted, nothing sent", order(), True),
    ("accepted, sent without effect", order(attempts=3), True),
    ("accepted, to be asked about after a requeue", order(must_ask=True), True),
    ("accepted, suspected after a restart", order(suspect_at=NOW - 9), False),
    ("submitted", order(state="submitted", send_by=NOW), False),
    ("pending", order(state="pending", pending_since=NOW), False),
    ("dead, nothing unresolved", dead(), True),
    ("dead, unresolved", dead(send_by=NOW), False),
    ("dead, suspected", dead(suspect_at=NOW), False),
    ("dead, the supplier had accepted it", dead(pending_since=NOW), False),
    ("confirmed", order(state="confirmed"), False),
    ("cancelled", order(state="cancelled"), False),
    ("resolved", order(state="resolved"), False),
]


@pytest.mark.parametrize(
    ("before", "may"), [row[1:] for row in MAY_WITHDRAW], ids=[row[0] for row in MAY_WITHDRAW]
)
def test_an_order_is_withdrawn_while_nothing_may_have_been_sent(before, may):
    """Else `order.updated` says `withdraw_refused`, and the order does not change."""
    step = withdraw(before, NOW)
    if may:
        assert (step.order.state, step.order.due_at, step.order.ended_at) == (
            "withdrawn",
            None,
            NOW,
        )
        assert (step.order.reason, step.order.letter, step.order.letter_at) == (None, None, None)
        assert step.tells == (("order.withdrawn", None),)
    else:
        assert step.order == before
        assert step.tells == (("order.updated", "withdraw_refused"),)


def test_a_second_withdraw_is_silent():
    """Twice at once is harmless."""
    once = withdraw(order(), NOW).order
    assert (withdraw(once, NOW).order, withdraw(once, NOW).tells) == (once, ())


def test_a_requeue_that_nobody_decided_starts_no_limit_again():
    """An automatic requeue asks first, but only a person's requeue starts the limits again."""
    before = dead("insufficient_balance", requeued_at=NOW - 5)
    step = requeue_on_funds(before, NOW)
    assert (step.event, step.order.requeued_at) == ("requeued_on_funds", NOW - 5)
    assert replace(step.order, requeued_at=NOW) == requeue(before, NOW).order
    assert requeue_on_funds(step.order, NOW) is None, "twice at once is harmless"
    assert requeue_on_funds(dead("out_of_stock"), NOW) is None


@pytest.mark.parametrize("state", STATES)
def test_only_a_dead_letter_is_requeued(state):
    """A second requeue is harmless, and a withdrawn order is never requeued (8)."""
    step = requeue(order(state=state), NOW)
    assert (step is not None) == (state == "dead")
    assert step is None or requeue(step.order, NOW) is None


BACK = [
    ({}, "accepted"),
    ({"suspect_at": NOW - 9}, "accepted"),
    ({"send_by": NOW - 9}, "submitted"),
    ({"pending_since": NOW - 9}, "pending"),
]


@pytest.mark.parametrize(("facts", "state"), BACK)
def test_a_requeue_goes_where_the_facts_allow(facts, state):
    """Due now, a question first, limits count from now; unresolved attempts stay unresolved."""
    marks = {
        "failures": 4, "snoozes": 7, "verdict": "order_expired", "contradictions": 3,
        "incomplete": True,
        "denied_at": NOW - 9, "not_found_at": NOW - 9, "attempts": 2,
    }  # fmt: skip
    before = dead(**marks, **facts)
    after = requeue(before, NOW).order
    assert (after.state, after.due_at, after.requeued_at, after.must_ask) == (state, NOW, NOW, True)
    assert (after.reason, after.letter, after.letter_at, after.detail) == (None, None, None, None)
    assert (after.failures, after.snoozes, after.verdict, after.contradictions) == (0, 0, None, 0)
    assert (after.incomplete, after.denied_at, after.not_found_at, after.attempts) == (
        False,
        None,
        None,
        2,
    )
    assert (after.unresolved, after.send_by) == (before.unresolved, before.send_by)


def test_a_requeue_keeps_the_inference_barred():
    """`order_not_passive` without an attempt bars the inference for this order from then on (3)."""
    assert requeue(dead("order_not_passive", inference_barred=True), NOW).order.inference_barred


@pytest.mark.parametrize("state", STATES)
def test_only_a_letter_is_resolved(state):
    """Without a letter there is nothing to close."""
    assert resolve(order(state=state), NOW, "note") is None


def test_a_dead_order_is_resolved_with_a_note():
    """The end is told; an unresolved attempt stays visible."""
    step = resolve(dead(send_by=NOW - 9, due_at=NOW), NOW, "refunded")
    after = step.order
    assert (after.state, after.note, after.due_at, after.ended_at) == (
        "resolved",
        "refunded",
        None,
        NOW,
    )
    assert (after.letter, after.letter_at, after.unresolved) == (None, None, True)
    assert step.tells == (("order.resolved", None),)


@pytest.mark.parametrize("state", ["confirmed", "withdrawn", "resolved", "cancelled"])
def test_a_letter_beside_an_ended_order_closes_without_ending_it_again(state):
    """The order does not change, and nothing is told."""
    before = order(state=state, letter="tracking_missing", letter_at=NOW - 9, ended_at=NOW - 99)
    step = resolve(before, NOW, "seen")
    assert step.order == replace(before, letter=None, letter_at=None, note="seen", due_at=None)
    assert step.tells == ()
