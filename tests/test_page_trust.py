"""What a page's word on one order counts for: tables of rules, without a ledger."""

from dataclasses import replace

import pytest
from conftest import START, an_order

from worker.rules import page_trust
from worker.rules.answers import (
    Blocked,
    Cancelled,
    Confirmed,
    Created,
    Line,
    NotFound,
    Pending,
    Rejected,
    Unknown,
)
from worker.rules.page_trust import (
    AGREED,
    CHECK,
    CHECK_EVERY,
    CONTRADICTED,
    END,
    LAG,
    LEAVE,
    LOOKS,
    TAKE,
    TRUST,
)
from worker.rules.words import READ, Call

WHOLE = Confirmed((Line("1", "finished", True),))
EMPTY_HANDED = Confirmed((Line("1", "finished", False),))
PARTLY = Cancelled((Line("1", "finished", True), Line("2", "pending")))
PENDING = an_order(state="pending", pending_since=START - 60, snoozes=1, due_at=START - 1)


@pytest.mark.parametrize(
    ("answer", "wanted", "hinted", "expected"),
    [
        (Pending(), True, False, TAKE),
        (Pending((Line("1", "finished", True),)), True, False, TAKE),
        (Pending(), False, False, LEAVE),
        (Pending(), True, True, CHECK),
        (WHOLE, True, False, END),
        (WHOLE, False, False, END),
        (WHOLE, True, True, END),
        (PARTLY, True, False, END),
        (Confirmed(), True, False, CHECK),
        (EMPTY_HANDED, True, False, CHECK),
        (Cancelled(), True, False, CHECK),
        (Cancelled((Line("1", "finished", False),)), True, False, CHECK),
        (Created(), True, False, CHECK),
        (Created(), False, False, CHECK),
        (None, True, False, CHECK),
        (None, False, False, LEAVE),
        (Unknown("unknown status"), True, False, LEAVE),
    ],
)
def test_what_is_made_of_a_pages_word(answer, wanted, hinted, expected):
    """Taken only where a single read would say as much; an end without anything to deliver is asked
    about singly.
    """
    assert page_trust.verdict(PENDING, answer, START, wanted=wanted, hinted=hinted) == expected


def test_only_pending_orders_are_answered_for():
    """Nothing that a page says resolves an attempt, permits a confirm or moves an order that has
    ended.
    """
    for state in (
        "accepted",
        "submitted",
        "dead",
        "confirmed",
        "cancelled",
        "withdrawn",
        "resolved",
    ):
        for answer in (WHOLE, Pending(), Created(), PARTLY, None):
            order = replace(PENDING, state=state, send_by=START)
            assert page_trust.verdict(order, answer, START, wanted=True, hinted=False) == LEAVE


def test_an_order_that_is_to_be_asked_singly_is_left_alone_until_then():
    """Whatever the next page says of it."""
    for answer in (WHOLE, Pending(), Created(), None):
        order = replace(PENDING, page_says="finished")
        assert page_trust.verdict(order, answer, START, wanted=True, hinted=False) == LEAVE


def test_a_created_that_may_be_older_than_the_pending_says_nothing():
    """The page may have been made before the confirm took effect."""
    for since, expected in (
        (START - LAG - 1, CHECK),
        (START - LAG, LEAVE),
        (START + 1, LEAVE),
        (None, LEAVE),
    ):
        order = replace(PENDING, pending_since=since)
        assert page_trust.verdict(order, Created(), START, wanted=True, hinted=False) == expected


def test_every_sixth_look_is_a_single_read():
    """So that a list that stands still delays an order, and no more."""
    looks = [
        page_trust.verdict(
            replace(PENDING, snoozes=number), Pending(), START, wanted=True, hinted=False
        )
        for number in range(2 * LOOKS)
    ]
    assert looks == [*[TAKE] * (LOOKS - 1), CHECK] * 2


def test_ends_are_taken_when_three_were_borne_out_and_one_in_fifty_is_still_checked():
    """Of a page that is not trusted yet, no more are checked than it takes."""
    assert [page_trust.end_verdict(0, 0, checks) for checks in range(TRUST + 2)] == [
        CHECK
    ] * TRUST + [LEAVE] * 2
    assert [page_trust.end_verdict(TRUST - 1, 0, checks) for checks in range(2)] == [CHECK, LEAVE]
    verdicts = [page_trust.end_verdict(TRUST, ends, 0) for ends in range(3 * CHECK_EVERY)]
    assert verdicts.count(CHECK) == 3
    assert verdicts.count(TAKE) == len(verdicts) - 3


def test_without_a_page_or_a_word_there_is_nothing_to_judge():
    """A failed read says nothing of the page, nor a read before which no page came."""
    assert page_trust.judged(PENDING, Pending()) is None
    assert page_trust.judged(replace(PENDING, page_says="finished"), Unknown("x")) is None


@pytest.mark.parametrize(
    ("page", "single", "expected"),
    [
        ("finished", WHOLE, AGREED),
        ("finished", EMPTY_HANDED, AGREED),
        ("finished", Pending(), CONTRADICTED),
        ("finished", Created(), CONTRADICTED),
        ("finished", PARTLY, CONTRADICTED),
        ("cancelled", PARTLY, AGREED),
        ("cancelled", WHOLE, CONTRADICTED),
        ("cancelled", Pending(), CONTRADICTED),
        ("created", Created(), None),
        ("created", Pending(), CONTRADICTED),
        ("created", WHOLE, CONTRADICTED),
        ("pending", WHOLE, None),
        ("pending", Pending(), None),
        ("missing", WHOLE, None),
        ("missing", Created(), None),
    ],
)
def test_a_single_read_judges_the_page_before_it(policies, page, single, expected):
    """An order goes from created by pending to its end and never back, so some of what differs has
    merely gone on.
    """
    order = replace(PENDING, page_says=page)
    assert page_trust.judged(order, single) == expected
    step = policies["relograde"].decide(order, Call(kind=READ, at=START), single, START)
    assert (step.page, step.order.page_says) == (expected, None)


def test_a_question_that_failed_judges_nothing(policies):
    """The order waits on for a single read, and for no page."""
    order = replace(PENDING, page_says="finished")
    for answer in (
        Unknown("x"),
        Unknown("x", outage=True),
        Blocked("rate_limited"),
        NotFound(),
        Rejected("y"),
    ):
        step = policies["relograde"].decide(order, Call(kind=READ, at=START), answer, START)
        assert (step.page, step.order.page_says) == (None, "finished")
        assert policies["relograde"].times.waits_for(step.order) == ("recheck", 0.0)


@pytest.mark.parametrize(
    ("state", "ended_ago", "answer", "expected"),
    [
        ("confirmed", LAG + 1, Pending(), True),
        ("confirmed", LAG + 1, Created(), True),
        ("cancelled", LAG + 1, Pending(), True),
        ("confirmed", LAG, Pending(), False),
        ("confirmed", -1.0, Pending(), False),
        ("confirmed", LAG + 1, WHOLE, False),
        ("confirmed", LAG + 1, PARTLY, False),
        ("confirmed", LAG + 1, None, False),
        ("confirmed", LAG + 1, Unknown("x"), False),
        ("withdrawn", LAG + 1, Created(), False),
        ("resolved", LAG + 1, Pending(), False),
    ],
)
def test_a_page_that_shows_an_ended_order_as_open_is_denied(state, ended_ago, answer, expected):
    """If it had ended well before the page was asked for: a list may be a moment behind."""
    order = an_order(state=state, ended_at=START - ended_ago)
    assert page_trust.denied(order, answer, START) == expected


def test_an_order_that_never_ended_denies_nothing():
    assert not page_trust.denied(PENDING, Created(), START)
