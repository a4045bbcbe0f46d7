"""Outcomes in the ledger: their order, what supersedes what, repeats, letters, warnings, and what
is forgotten.
"""

from datetime import UTC, datetime

import pytest
from conftest import RETRY, START, an_order, make_ledger, members, recount, turn

from worker.ledger.outbox import GIVE_UP, Outbox, outcome_id, parse_id
from worker.ledger.reads.views import Views
from worker.rules import interventions
from worker.rules.answers import (
    Cancelled,
    Confirmed,
    Created,
    Line,
    Pending,
    Rejected,
    Unavailable,
    Unknown,
)

DAY = 86400.0
LAST = START - 3600 + 86400 - 30
FINISHED = Confirmed(lines=(Line("1", "finished", True),))
BOTH = ("task", "post")


@pytest.fixture
def ledger(client, policies, clock):
    return make_ledger(client, policies, clock, channels=BOTH)


@pytest.fixture
def outbox(ledger):
    return Outbox(ledger.scripts, BOTH, RETRY)


def taken(outbox, channel="post", limit=99, hold=30.0, min_age=0.0):
    return outbox.take(channel, limit, hold, min_age)


def types(deliveries):
    return [delivery.body["type"].removeprefix("order.") for delivery in deliveries]


def done(outbox, delivery):
    return outbox.delivered(delivery.room, delivery.order_id, delivery.sequence, delivery.channel)


def drain(outbox, clock, channel="post", rounds=20, step=2.0):
    """Everything that goes out while each delivery is taken at once."""
    sent = []
    for _ in range(rounds):
        for delivery in taken(outbox, channel):
            sent.append(delivery)
            done(outbox, delivery)
        clock.advance(step)
    return sent


def ended(ledger):
    ledger.open(an_order())
    turn(ledger, "R1", Pending())
    ledger.hint("relograde", "R1")
    turn(ledger, "R1", FINISHED)


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", BOTH)
def test_each_end_is_told_in_order_and_only_pending_is_superseded(ledger, outbox, clock, channel):
    """`sequence` orders them; the pending is not sent any more once the end is known (11)."""
    ended(ledger)
    sent = drain(outbox, clock, channel)
    assert types(sent) == ["accepted", "confirmed"]
    assert [delivery.body["data"]["sequence"] for delivery in sent] == [1, 3]
    assert [delivery.body["id"] for delivery in sent] == ["relograde.R1.1", "relograde.R1.3"]


def test_a_post_is_not_sent_before_the_previous_one_was_taken(ledger, outbox, clock):
    """However often the first one fails (11)."""
    ended(ledger)
    for wait in (0, *RETRY, RETRY[-1]):
        clock.advance(wait)
        (first,) = taken(outbox)
        assert types([first]) == ["accepted"]
        assert outbox.later(first) == ["later"]
    clock.advance(RETRY[-1])
    (first,) = taken(outbox)
    assert first.tries == 6
    assert done(outbox, first) == "delivered"
    clock.advance(31)
    assert types(taken(outbox)) == ["confirmed"]


def test_the_next_post_goes_at_once_when_the_one_before_was_taken(ledger, outbox, clock):
    """It does not wait for the end of the other's reservation."""
    ledger.open(an_order())
    turn(ledger, "R1", FINISHED)
    (first,) = taken(outbox)
    done(outbox, first)
    assert types(taken(outbox)) == ["confirmed"]


def test_the_next_post_goes_at_once_although_the_one_between_was_superseded(ledger, outbox, clock):
    """The end is not told half a minute late because there was a pending before it."""
    ended(ledger)
    (first,) = taken(outbox)
    done(outbox, first)
    clock.advance(1)
    assert types(taken(outbox)) == ["confirmed"]


def test_the_next_task_goes_at_once_when_the_one_before_was_sent(ledger, outbox, clock):
    """It waits for the sending, and not for half a minute."""
    ledger.open(an_order())
    turn(ledger, "R1", FINISHED)
    (first,) = outbox.take("task", 1, 30, 0)
    outbox.later(first)
    clock.advance(1)
    assert types(taken(outbox, "task")) == ["confirmed"]


def test_a_task_waits_only_until_the_one_before_was_sent(ledger, outbox, clock):
    """A Celery task is acknowledged later; the next need not wait for that."""
    ended(ledger)
    (first,) = outbox.take("task", 1, 30, 0)
    clock.advance(1)
    assert taken(outbox, "task") == []
    outbox.later(first)
    clock.advance(31)
    assert sorted(types(taken(outbox, "task"))) == ["accepted", "confirmed"]


def test_tasks_of_one_order_leave_together_in_their_order(ledger, outbox, clock):
    """One round takes them all, since it sends them one after the other; also when it has to send
    them again.
    """
    ended(ledger)
    assert types(taken(outbox, "task")) == ["accepted", "confirmed"]
    assert taken(outbox, "task") == []
    clock.advance(31)
    assert types(taken(outbox, "task")) == ["accepted", "confirmed"]


def test_a_failed_post_says_nothing_of_the_task(ledger, outbox, clock):
    """The task of the first outcome was never sent, so the second still waits for it, on either
    channel.
    """
    ended(ledger)
    (post,) = taken(outbox, "post")
    outbox.later(post)
    assert types(outbox.take("task", 1, 30, 0)) == ["accepted"]
    assert taken(outbox, "task") == []


def test_retries_follow_the_schedule_with_the_same_id(ledger, outbox, clock):
    """RETRY_SECONDS, the last repeats; each delivery carries the same id (11)."""
    ledger.open(an_order())
    ids = set()
    for wait in (*RETRY, RETRY[-1], RETRY[-1]):
        (delivery,) = taken(outbox)
        ids.add(delivery.body["id"])
        outbox.later(delivery)
        clock.advance(wait - 0.1)
        assert taken(outbox) == []
        clock.advance(0.2)
    assert ids == {"relograde.R1.1"}


def test_a_delivery_in_hand_is_kept_from_others(ledger, outbox, clock):
    """Reserved for `hold` seconds, then found again: its worker died."""
    ledger.open(an_order())
    assert len(taken(outbox)) == 1
    clock.advance(29)
    assert taken(outbox) == []
    clock.advance(1)
    assert taken(outbox)[0].tries == 2


def test_nothing_leaves_before_it_is_old_enough(ledger, outbox, clock):
    """Two seconds, where the server cannot say that it is on disk (1)."""
    ledger.open(an_order())
    clock.advance(1)
    assert taken(outbox, min_age=2.0) == []
    clock.advance(0.9)
    assert taken(outbox, min_age=2.0) == []
    clock.advance(0.1)
    assert len(taken(outbox, min_age=2.0)) == 1


def test_a_warning_is_superseded_and_everything_else_is_not(ledger, outbox, clock):
    """Only `order.pending` and `order.deadline_warning` (11)."""
    ledger.open(an_order())
    clock.now = LAST + 30 - 7200
    ledger.tend("relograde")
    turn(ledger, "R1", Rejected("out_of_stock"))
    ledger.change("relograde", "R1", interventions.requeue)
    clock.advance(2)
    turn(ledger, "R1", Created())
    turn(ledger, "R1", Rejected("out_of_stock"))
    ledger.change("relograde", "R1", interventions.withdraw)
    ledger.change("relograde", "R1", interventions.withdraw)
    assert types(drain(outbox, clock, step=31.0)) == [
        "accepted",
        "dead_lettered",
        "dead_lettered",
        "withdrawn",
    ]


def test_acknowledging_twice_or_nothing_is_harmless(ledger, outbox):
    """The web app may say it as often as it likes."""
    ledger.open(an_order())
    assert outbox.delivered("relograde", "R1", 1, "task") == "delivered"
    assert outbox.delivered("relograde", "R1", 1, "task") == "gone"
    assert outbox.delivered("relograde", "nobody", 7, "task") == "gone"
    assert taken(outbox, "task") == []
    assert len(taken(outbox, "post")) == 1, "the other channel is for itself"


def test_a_repeat_tells_again_with_the_same_ids(ledger, outbox, clock):
    """The acceptance and the latest, on every channel, as if for the first time (1)."""
    ended(ledger)
    before = [drain(outbox, clock, channel) for channel in BOTH]
    assert drain(outbox, clock) == []
    ledger.open(an_order())
    again = [drain(outbox, clock, channel) for channel in BOTH]
    assert [[d.body for d in sent] for sent in again] == [[d.body for d in sent] for sent in before]
    assert again[0][0].tries == 1


def test_an_acceptance_that_was_taken_leaves_nothing_behind(ledger, outbox, clock, client):
    """The record says it all; a waiting order is one key."""
    ledger.open(an_order())
    (delivery,) = taken(outbox, "task")
    assert outbox.later(delivery) == ["later"]
    for channel in BOTH:
        outbox.delivered("relograde", "R1", 1, channel)
    assert list(client.keys("*R1*")) == [ledger.scripts.key("relograde", "order", "R1")]


def test_a_repeat_of_what_was_taken_waits_while_the_web_app_is_behind(ledger, outbox, clock):
    """What was never sent goes out all the same; copies would only feed an overload."""
    ledger.open(an_order("old"))
    drain(outbox, clock, "task")
    ledger.open(an_order("old"))
    ledger.open(an_order("new"))
    ledger.open(an_order("new"))
    sent = outbox.take("task", 9, 30.0, 0.0, first_only=True)
    assert [delivery.order_id for delivery in sent] == ["new"]
    clock.advance(30)
    assert [delivery.order_id for delivery in taken(outbox, "task")] == ["new", "old"]


# --- letters --------------------------------------------------------------------------------------


def undeliverable(ledger, outbox, clock):
    ledger.open(an_order())
    clock.advance(GIVE_UP - 1)
    (delivery,) = taken(outbox)
    assert outbox.later(delivery) == ["later"]
    clock.advance(RETRY[-1])
    (delivery,) = taken(outbox)
    return outbox.later(delivery)


def test_what_nobody_takes_for_three_days_is_a_letter_of_its_own(ledger, outbox, clock, views):
    """And the next one goes (11); its key is `outcome/ID`."""
    ended(ledger)
    clock.advance(GIVE_UP - 1)
    (delivery,) = taken(outbox)
    assert outbox.later(delivery) == ["later"]
    clock.advance(RETRY[0])
    (delivery,) = taken(outbox)
    assert outbox.later(delivery) == ["undeliverable"]
    clock.advance(RETRY[-1] + 1)
    assert types(taken(outbox)) == ["confirmed"]
    (letter,) = views.letters("outcome_undeliverable")
    assert letter["key"] == "outcome/relograde.R1.1"
    assert ledger.change("relograde", "R1", interventions.requeue) is None


def test_a_requeued_outcome_goes_again_for_three_days(ledger, outbox, clock, views):
    """Twice is harmless; a delivery closes the letter."""
    assert undeliverable(ledger, outbox, clock) == ["undeliverable"]
    assert outbox.close("relograde", "R1", 1, requeue=True)
    assert not outbox.close("relograde", "R1", 1, requeue=True)
    assert views.letters() == []
    (delivery,) = taken(outbox)
    assert (delivery.body["id"], delivery.tries) == ("relograde.R1.1", 1)
    assert outbox.later(delivery) == ["later"]
    clock.advance(GIVE_UP)
    (delivery,) = taken(outbox)
    assert outbox.later(delivery) == ["undeliverable"]
    assert outbox.close("relograde", "R1", 1, requeue=False)
    assert (views.letters(), taken(outbox)) == ([], [])


def test_a_late_acknowledgement_closes_the_letter(ledger, outbox, clock, views):
    """After a repeat made it go out again."""
    assert undeliverable(ledger, outbox, clock) == ["undeliverable"]
    ledger.open(an_order())
    (delivery,) = taken(outbox)
    assert views.letters("outcome_undeliverable")
    assert done(outbox, delivery) == "delivered"
    assert views.letters() == []


# --- warnings and forgetting ----------------------------------------------------------------------


@pytest.mark.parametrize(("after", "warned"), [(-1, False), (0, True), (1, True)])
def test_a_deadline_warning_comes_once_and_in_time(ledger, outbox, clock, after, warned):
    """DEADLINE_WARNING_SECONDS before the deadline, while the supplier has not accepted."""
    ledger.open(an_order())
    clock.now = START - 3600 + 86400 - 7200 + after
    ledger.tend("relograde")
    ledger.tend("relograde")
    assert types(drain(outbox, clock)) == ["accepted", *(["deadline_warning"] if warned else [])]
    recount(ledger)


@pytest.mark.parametrize("answer", [Pending(), FINISHED, Rejected("out_of_stock")])
def test_there_is_no_warning_for_what_is_accepted_ended_or_dead(ledger, outbox, clock, answer):
    """Nothing can be done about it any more, or need be."""
    ledger.open(an_order())
    turn(ledger, "R1", answer)
    clock.now = LAST
    ledger.tend("relograde")
    assert "deadline_warning" not in types(drain(outbox, clock))


def test_an_order_that_comes_late_is_warned_of_half_a_minute_later(ledger, outbox, clock):
    """It has a chance to be confirmed first."""
    clock.now = LAST - 600
    ledger.open(an_order())
    clock.advance(27)
    ledger.tend("relograde")
    assert types(drain(outbox, clock, rounds=1)) == ["accepted"]
    clock.advance(1)
    ledger.tend("relograde")
    assert types(drain(outbox, clock)) == ["deadline_warning"]


def test_the_warning_moves_with_the_deadline(ledger, outbox, clock):
    """An answer that shows an earlier creation makes the deadline earlier, so the warning too
    (6).
    """

    ledger.open(an_order())
    turn(ledger, "R1", Unknown("HTTP 500"))
    clock.advance(2)
    turn(ledger, "R1", Created(created_at=datetime.fromtimestamp(START - 80000, UTC)))
    clock.now = START - 80000 + 86400 - 3600
    ledger.tend("relograde")
    assert "deadline_warning" in types(drain(outbox, clock))


def test_who_was_warned_of_is_not_warned_of_again_after_a_failed_call(ledger, outbox, clock):
    """It goes on waiting for the same deadline."""
    ledger.open(an_order())
    clock.now = LAST - 600
    ledger.tend("relograde")
    assert types(drain(outbox, clock)) == ["accepted", "deadline_warning"]
    for _ in range(2):
        turn(ledger, "R1", Unavailable())
        clock.advance(RETRY[-1])
        ledger.tend("relograde")
    assert types(drain(outbox, clock)) == []


def test_a_requeued_order_is_warned_of_again(ledger, outbox, clock):
    """It waits for its deadline like any other."""
    ledger.open(an_order())
    turn(ledger, "R1", Rejected("out_of_stock"))
    ledger.change("relograde", "R1", interventions.requeue)
    clock.now = LAST - 600
    ledger.tend("relograde")
    assert "deadline_warning" in types(drain(outbox, clock))


def test_an_ended_order_is_forgotten_after_its_retention(ledger, outbox, clock, client):
    """Record, timeline, outcomes and details; dead letters are never forgotten (8)."""
    ended(ledger)
    ledger.open(an_order("dead"))
    turn(ledger, "dead", Rejected("out_of_stock"))
    client.delete(*client.keys("*:outbox:*"))
    clock.now = START + 30 * DAY - 1
    ledger.tend("relograde")
    assert ledger.load("relograde", "R1").result == "ok"
    clock.advance(2)
    ledger.tend("relograde")
    assert ledger.load("relograde", "R1").result == "gone"
    assert not [key for key in client.keys() if "R1" in key]  # noqa: SIM118
    clock.advance(999 * DAY)
    ledger.tend("relograde")
    assert set(recount(ledger)) == {"dead"}


def test_what_was_not_told_yet_is_not_forgotten(ledger, outbox, clock, client):
    """An outcome on its way keeps its order (11)."""
    ended(ledger)
    clock.now = START + 31 * DAY
    ledger.tend("relograde")
    assert ledger.load("relograde", "R1").result == "ok"
    client.delete(*client.keys("*:outbox:*"))
    clock.advance(3601)
    ledger.tend("relograde")
    assert ledger.load("relograde", "R1").result == "gone"


def test_a_letter_beside_an_ended_order_keeps_it(ledger, clock, client):
    """`tracking_missing` waits for a person, not for the calendar (8)."""
    ledger.open(an_order("L", "logitrail"))
    turn(ledger, "L", Unknown("x"), "logitrail")
    clock.advance(66)
    turn(ledger, "L", Rejected("order_not_passive"), "logitrail")
    clock.advance(3 * DAY)
    assert turn(ledger, "L", None, "logitrail") == "tracking_missing"
    clock.advance(99 * DAY)
    ledger.tend("logitrail")
    assert recount(ledger, "logitrail")["L"].letter == "tracking_missing"
    ledger.change("logitrail", "L", lambda order, now: interventions.resolve(order, now, "n"))
    client.delete(*client.keys("*:outbox:*"))
    clock.advance(30 * DAY)
    ledger.tend("logitrail")
    assert recount(ledger, "logitrail") == {}


def test_an_undeliverable_outcome_can_be_requeued_however_late(ledger, outbox, clock):
    """Its letter leaves only by a person, so what it is about must still be there (8, 11)."""
    ended(ledger)
    clock.advance(GIVE_UP)
    (delivery,) = taken(outbox)
    assert outbox.later(delivery) == ["undeliverable"]
    clock.advance(31 * DAY)
    ledger.tend("relograde")
    assert outbox.close("relograde", "R1", 1, requeue=True)
    assert "accepted" in types(drain(outbox, clock))


def test_without_channels_nothing_is_kept(client, policies, clock):
    """Nobody is told; the sequence counts all the same."""
    ledger = make_ledger(client, policies, clock, channels=())
    ended(ledger)
    assert recount(ledger)["R1"].sequence == 3
    assert client.keys("*outcomes*") == []
    assert Views(ledger.shelf, ()).show("relograde", "R1")["outcome_delivered"] is None


# --- bodies, ids, and what people see -------------------------------------------------------------


def test_an_outcome_tells_the_order_as_it_stood(ledger, outbox, clock):
    """Not as it stands when it is delivered."""
    ledger.open(an_order())
    turn(
        ledger,
        "R1",
        Cancelled(lines=(Line("1", "finished", True, None, "sealed"), Line("2", "pending"))),
    )
    accepted, cancelled = [delivery.body for delivery in drain(outbox, clock)]
    assert (accepted["data"]["state"], accepted["data"]["lines_total"]) == ("accepted", None)
    data = cancelled["data"]
    assert (data["state"], data["reason"], data["lines_total"], data["lines_finished"]) == (
        "cancelled",
        None,
        2,
        1,
    )
    assert data["lines"][0]["sealed"] == "sealed"
    assert "sealed" not in data["lines"][1]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("relograde.R1.3", ("relograde", "R1", 3)),
        ("relograde.a.b.3", ("relograde", "a.b", 3)),
        ("messages.7.1", ("messages", "7", 1)),
        ("nobody.R1.3", None),
        ("relograde.R1", None),
        ("relograde.R1.x", None),
        ("relograde..1", None),
        ("", None),
    ],
)
def test_an_outcomes_id_names_it(text, named):
    """Room, order and sequence; anything else is not ours."""
    assert parse_id(text) == named
    assert named is None or outcome_id(*named) == text


def test_a_refused_message_is_told_and_kept_once(ledger, outbox, clock, messages, views, client):
    """The same body adds to its count; a person closes it and the body goes (1)."""
    messages.channels = list(BOTH)
    named = {"supplier": "relograde", "order_id": "R1", "reference": "other"}
    body = {"task": "orders.confirm", "kwargs": {"a": 1}}
    assert messages.refuse("conflicting_request", "reference", body, named) == "message/1"
    assert messages.refuse("conflicting_request", "reference", body, named) == "message/1"
    clock.advance(1)
    assert messages.refuse("invalid_message", "x", body, {}) == "message/2"
    (told,) = drain(outbox, clock)
    assert (told.body["type"], told.body["id"]) == ("order.dead_lettered", "messages.1.1")
    data = told.body["data"]
    assert (data["key"], data["state"], data["sequence"]) == ("message/1", None, None)
    assert (data["reference"], data["reason"]) == ("other", "conflicting_request")
    assert [(letter["key"], letter["count"]) for letter in views.letters()] == [
        ("message/1", 2),
        ("message/2", 1),
    ]
    assert views.stats()["dead_letters"] == {"conflicting_request": 1, "invalid_message": 1}
    assert messages.close("1", "seen")
    assert not messages.close("1", "seen")
    assert "body" not in messages.load("1")
    assert messages.refuse("conflicting_request", "reference", body, named) == "message/3", (
        "a new one"
    )
    client.delete(*client.keys("*:outbox:*"))
    clock.advance(31 * DAY)
    ledger.tend("messages")
    assert messages.load("1") == {}
    assert messages.load("2")


def test_a_daily_repeat_does_not_keep_an_outcome_from_being_given_up(ledger, outbox, clock):
    """The web app refuses `order.accepted`; its sender repeats the order once a day (core 12)."""
    ledger.open(an_order())
    turn(ledger, "R1", FINISHED)
    clock.advance(5)
    became = []
    for _ in range(5):
        for delivery in outbox.take("task", 10, 30.0, 0.0):
            became += outbox.later(delivery)
        clock.advance(86400)
        ledger.open(an_order())
    assert "undeliverable" in became
    letters = ledger.scripts.key("relograde", "letters", "outcome_undeliverable")
    assert "R1|1" in ledger.scripts.client.zrange(letters, 0, -1)


def test_people_see_orders_and_letters(ledger, outbox, clock, views):
    """`show`, `list` and the letters of the contract."""
    ended(ledger)
    clock.advance(1)
    ledger.open(an_order("dead", amount="9.50", currency="EUR", accepted_at=clock()))
    turn(ledger, "dead", Rejected("insufficient_balance", "no money"))
    clock.advance(1)
    ledger.open(an_order("L", "logitrail", accepted_at=clock()))
    shown = views.show("relograde", "R1")
    assert (shown["state"], shown["outcome_delivered"], shown["accepted_at"]) == (
        "confirmed", False, "2027-01-15T08:00:00.000Z",
    )  # fmt: skip
    assert [entry["event"] for entry in shown["timeline"]] == [
        "accepted",
        "intent",
        "pending",
        "confirmed",
    ]
    assert views.show("relograde", "nobody") is None
    drain(outbox, clock)
    assert views.show("relograde", "R1")["outcome_delivered"] is False, "the other channel waits"
    drain(outbox, clock, "task")
    assert views.show("relograde", "R1")["outcome_delivered"] is True
    assert [order.order_id for order in views.orders(None, None, 9)] == ["L", "dead", "R1"]
    assert [order.order_id for order in views.orders("dead", "relograde", 9)] == ["dead"]
    (letter,) = views.letters(supplier="relograde")
    assert (letter["key"], letter["reason"], letter["detail"]) == (
        "relograde/dead", "insufficient_balance", "no money",
    )  # fmt: skip
    assert (letter["amount"], letter["currency"]) == ("9.50", "EUR")
    assert views.stats()["states"]["accepted"] == 1
    assert members(ledger, "relograde", "letters", "insufficient_balance") == {"dead": START + 1}


def test_a_letter_whose_order_is_gone_is_not_listed(ledger, client, views):
    """An order may be forgotten between the read of the index and that of its record."""
    ledger.open(an_order("dead"))
    turn(ledger, "dead", Rejected("insufficient_balance", "no money"))
    assert [letter["key"] for letter in views.letters()] == ["relograde/dead"]
    client.delete(ledger.scripts.key("relograde", "order", "dead"))
    assert views.letters() == []
