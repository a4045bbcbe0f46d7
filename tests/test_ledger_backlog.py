"""What a forecast is made of: which orders are read from a lane, and what is said of those that are
not.
"""

import random
from decimal import Decimal

import pytest
from conftest import LANES, RETRY, START, an_order, make_ledger, turn

from schemas.lane import Lane
from worker.ledger.lane_calls import KIND_ACCOUNT, LaneCalls
from worker.ledger.limits import LOOK_EVERY, NETWORK_DELAY
from worker.ledger.reads.backlog import Backlog
from worker.ledger.reads.money import MoneyReads
from worker.ledger.reads.views import Views
from worker.rules.answers import Blocked, Pending, Rejected, Unavailable, Unknown
from worker.rules.forecast import ONCE, OwedConfirm, Recheck, foresee
from worker.rules.money import Want
from worker.rules.words import CONFIRM, Call

LAST = START - 3600 + 86400 - 30


@pytest.fixture
def backlog(ledger):
    return Backlog(ledger.shelf)


def waiting(backlog, account=None):
    return sorted(
        backlog.lane(Lane("relograde", account))[0].waiting,
        key=lambda order: (order.last_safe, order.due_at),
    )


def late(ledger, order_id, last_safe, **changed):
    ledger.open(
        an_order(order_id, created_at=last_safe + 30 - 86400, deadline_at=last_safe + 30, **changed)
    )


def test_an_empty_lane(backlog, ledger):
    """The budget and the schedule are there all the same."""
    lane, now = backlog.lane(Lane("relograde"))
    assert (lane.per_minute, lane.window, now) == (50, 60 + NETWORK_DELAY, START)
    assert (lane.waiting, lane.rechecks, lane.spent, lane.held_until, lane.exact) == (
        [],
        [],
        [],
        None,
        True,
    )
    assert tuple(lane.schedule) == (15.0, 30.0, 60.0)


def test_ready_retried_and_unresolved_orders(backlog, ledger, clock):
    """Each with the time from which it may be called for, and from which a read may be believed."""
    for order_id in "ABCD":
        ledger.open(an_order(order_id))
    turn(ledger, "B", Unavailable())
    turn(ledger, "C", Unknown("no answer"))
    assert waiting(backlog) == [
        OwedConfirm(last_safe=LAST),
        OwedConfirm(last_safe=LAST),
        OwedConfirm(last_safe=LAST, due_at=START + RETRY[0]),
        OwedConfirm(last_safe=LAST, due_at=START + RETRY[0], settled_at=START + 5 + 40),
    ]
    clock.advance(3)
    ledger.dispatch(Lane("relograde"), 9)
    assert [order.due_at for order in waiting(backlog)] == [0.0] * 4, "rung for: any moment now"


def test_a_call_in_hand_owes_nothing(backlog, ledger, clock):
    """It is taken to get through, and its slot of the budget is spent; when its lease has ended it
    owes a read.
    """
    ledger.open(an_order("A"))
    ledger.permit(ledger.claim("relograde", "A"), Call(kind=CONFIRM))
    lane, _ = backlog.lane(Lane("relograde"))
    assert (lane.waiting, lane.spent) == ([], [START + 5 + 60 + NETWORK_DELAY])
    clock.advance(61)
    assert waiting(backlog) == [
        OwedConfirm(last_safe=LAST, due_at=START + 60, settled_at=START + 5 + 40)
    ]


def test_rechecks_come_again_while_they_are_pending(backlog, ledger, clock):
    """A hinted dead letter is read once."""
    for order_id in "AB":
        ledger.open(an_order(order_id))
    turn(ledger, "A", Pending())
    turn(ledger, "B", Rejected("out_of_stock"))
    ledger.hint("relograde", "B")
    assert sorted(backlog.lane(Lane("relograde"))[0].rechecks, key=lambda one: one.due_at) == [
        Recheck(due_at=0.0, snoozes=ONCE),
        Recheck(due_at=START + 15, snoozes=1),
    ]


@pytest.mark.parametrize("person", [True, False])
def test_a_hold(backlog, ledger, clock, person):
    """Released at once by a person, or by the next probe."""
    ledger.open(an_order("A"))
    if person:
        ledger.hold(Lane("relograde"), "n")
    else:
        turn(ledger, "A", Blocked("unauthorized"))
    assert backlog.lane(Lane("relograde"))[0].held_until == (0.0 if person else START + RETRY[0])


def test_after_a_restart_the_due_are_asked_about_first(client, policies, clock):
    """The server may have forgotten that they were sent (2); the forecast itself changes none of
    them.
    """
    server = ["one"]
    ledger = make_ledger(client, policies, clock, run_id=lambda: server[0])
    for order_id in "AB":
        ledger.open(an_order(order_id))
    turn(ledger, "B", Unavailable())
    server[0] = "two"
    backlog = Backlog(ledger.shelf)
    first = OwedConfirm(last_safe=LAST, settled_at=START + 40)
    assert waiting(backlog) == [first, OwedConfirm(last_safe=LAST, due_at=START + RETRY[0])]
    assert client.hget(ledger.scripts.key("relograde", "order", "A"), "kind") == "confirm"
    ledger.load("relograde", "A")
    assert waiting(backlog) == [first, OwedConfirm(last_safe=LAST, due_at=START + RETRY[0])]


def test_accounts_are_apart(backlog, ledger):
    """Each order in its own lane; a supplier without deadlines has none to miss."""
    ledger.open(an_order("A"))
    ledger.open(an_order("B", account="a"))
    ledger.open(an_order("L", "logitrail"))
    assert len(waiting(backlog)) == len(waiting(backlog, "a")) == 1
    assert backlog.lane(Lane("logitrail"))[0].waiting == ()


@pytest.mark.parametrize("nearest", [40, 400])
def test_beyond_the_nearest_orders_are_counted_in_groups(client, policies, clock, nearest):
    """Then the forecast is near, not exact: by no more calls than fit into a group's step and a
    window.
    """
    ledger = make_ledger(client, policies, clock, calls_per_minute=5)
    draw = random.Random(nearest)
    for number in range(400):
        late(ledger, f"{number}", START + draw.uniform(10, 3600))
    late(ledger, "last", START + 3600)
    late(ledger, "twin", START + 3600)
    exact = foresee(*Backlog(ledger.shelf, nearest=1000).lane(Lane("relograde")))
    near = foresee(*Backlog(ledger.shelf, nearest=nearest, groups=60).lane(Lane("relograde")))
    assert (exact.exact, exact.waiting) == (True, 402)
    assert (near.exact, near.waiting) == (False, 402)
    assert exact.misses <= near.misses <= exact.misses + 2 * 5
    assert near.first_miss_at == exact.first_miss_at
    assert exact.misses > 50


def test_orders_that_are_alike_are_counted_too(client, policies, clock):
    """All have the same deadline, so there is no step to divide."""
    ledger = make_ledger(client, policies, clock, calls_per_minute=5)
    for number in range(30):
        late(ledger, f"{number}", START + 65)
    assert (
        foresee(*Backlog(ledger.shelf, nearest=10, groups=4).lane(Lane("relograde"))).misses == 20
    )


def test_letters_for_want_of_money(backlog, ledger, clock):
    """By account, the latest ones; their last safe moment is before the deadline by the margin."""
    for order_id, account, amount in (("A", None, "10.50"), ("B", "a", "20"), ("C", None, None)):
        ledger.open(
            an_order(order_id, account=account, amount=amount, currency="EUR" if amount else None)
        )
        turn(ledger, order_id, Rejected("insufficient_balance"))
        clock.advance(1)
    ledger.open(an_order("D"))
    turn(ledger, "D", Rejected("out_of_stock"))
    assert backlog.unpaid("relograde") == (
        {
            None: [
                Want(last_safe=LAST, letter_at=START + 2),
                Want(last_safe=LAST, amount=Decimal("10.50"), currency="EUR", letter_at=START),
            ],
            "a": [Want(last_safe=LAST, amount=Decimal(20), currency="EUR", letter_at=START + 1)],
        },
        True,
    )
    letters, complete = Backlog(ledger.shelf, nearest=1).unpaid("relograde")
    assert (list(letters), complete) == ([None], False)
    ledger.open(an_order("L", "logitrail"))
    turn(ledger, "L", Rejected("insufficient_balance"), "logitrail")
    assert backlog.unpaid("logitrail") == ({}, True), "without a deadline there is no until when"


def test_the_report_adds_up(ledger, clock):
    """Lanes by name, the first miss of all, money by lane and currency."""
    ledger.open(an_order("A", amount="12.50", currency="EUR"))
    turn(ledger, "A", Rejected("insufficient_balance"))
    late(ledger, "B", START - 5)
    late(ledger, "C", START - 9, account="a")
    views = Views(ledger.shelf, LANES)
    report = views.forecast()
    assert report["minimum_slack_seconds"] == -9
    assert (report["predicted_misses"], report["first_miss_at"]) == (2, "2027-01-15T07:59:51.000Z")
    assert views.stats()["predicted_misses"] == 2
    assert list(report["lanes"]) == ["relograde", "relograde/a", "logitrail"]
    assert report["lanes"]["relograde"]["first_miss_at"] == "2027-01-15T07:59:55.000Z"
    assert report["money"] == [
        {
            "lane": "relograde", "currency": "EUR", "orders": 1, "amount": "12.50",
            "orders_without_amount": 0,
            "orders_waiting": 0, "orders_lost": 1, "balance": None, "balance_at": None,
            "missing": "12.50",
            "top_up_before": "2027-01-16T06:59:30.000Z", "exact": True,
        }
    ]  # fmt: skip
    assert report["exact"] is True


def test_the_report_of_a_held_lane_says_until_when_to_release_it(ledger, clock):
    """One that is released so late loses no more; where nothing can be saved there is no such
    time.
    """
    late(ledger, "A", START + 90)
    ledger.hold(Lane("relograde"), "n")
    late(ledger, "B", START - 1, account="a")
    ledger.hold(Lane("relograde", "a"), "n")
    held, hopeless, free = Views(ledger.shelf, LANES).forecast()["lanes"].values()
    at = "2027-01-15T08:01:30.000Z"
    assert (held["held"], held["release_before"], held["first_miss_if_held_at"]) == (True, at, at)
    assert (hopeless["release_before"], hopeless["predicted_misses"]) == (None, 1)
    assert (free["held"], free["release_before"], free["first_miss_if_held_at"]) == (
        False,
        None,
        None,
    )


def test_a_lane_that_is_held_for_a_cause_may_stay_so_as_long_as_one_that_a_person_holds(ledger):
    """The next probe is no reason to hurry more."""
    late(ledger, "A", START + 90)
    turn(ledger, "A", Blocked("unauthorized"))
    held = Views(ledger.shelf, LANES).forecast()["lanes"]["relograde"]
    assert held["spare_seconds"] == 90 - RETRY[0]
    assert held["release_before"] == "2027-01-15T08:01:30.000Z"


def test_the_last_known_balance_counts_until_it_is_doubted(client, policies, clock):
    """An order that was refused although the balance seemed to cover it says that it cannot be
    relied on.
    """
    ledger = make_ledger(client, policies, clock, accounts=True, synced=True)
    views, calls = Views(ledger.shelf, LANES), LaneCalls(ledger.shelf)
    poor = Rejected("insufficient_balance")
    ledger.open(an_order("A", amount="30", currency="EUR"))
    turn(ledger, "A", poor)
    call = calls.permit(Lane("relograde"), KIND_ACCOUNT, LOOK_EVERY)
    calls.settle_look(call, {"EUR": Decimal("12.50")}, call.now)
    [short] = views.forecast()["money"]
    assert (short["balance"], short["missing"], short["balance_at"]) == (
        "12.50",
        "17.50",
        "2027-01-15T08:00:00.000Z",
    )
    clock.advance(1)
    ledger.open(an_order("B", amount="10", currency="EUR", accepted_at=clock()))
    assert turn(ledger, "B", poor) == "dead"
    [short] = views.forecast()["money"]
    assert (short["balance"], short["missing"], short["orders"]) == (None, "40", 2)


def told(ledger, amount, account=None):
    calls = LaneCalls(ledger.shelf)
    call = calls.permit(Lane("relograde", account), KIND_ACCOUNT, 0.0)
    calls.settle_look(call, {"EUR": Decimal(amount)}, call.now)


def test_a_known_balance_is_held_against_what_waits(ledger):
    """By lane; and before a look nothing is said of them."""
    views = Views(ledger.shelf, LANES)
    for order_id in "ABC":
        late(ledger, order_id, START + 90, amount="30", currency="EUR")
        late(ledger, f"a{order_id}", START + 90, amount="5", currency="EUR", account="a")
    assert views.forecast()["money"] == []
    told(ledger, "40")
    told(ledger, "40", "a")
    [short] = views.forecast()["money"]
    assert (short["lane"], short["missing"], short["orders"]) == ("relograde", "50", 0)
    assert (short["orders_waiting"], short["orders_lost"], short["exact"]) == (2, 2, True)
    assert short["top_up_before"] == "2027-01-15T08:01:30.000Z"


def test_a_balance_of_which_more_was_spent_than_was_there_is_not_known(ledger):
    """Somebody has topped up, and nobody has looked since."""
    told(ledger, "40")
    for order_id in "AB":
        late(ledger, order_id, START + 90, amount="30", currency="EUR")
        turn(ledger, order_id, Pending())
    late(ledger, "C", START + 90, amount="30", currency="EUR")
    assert Views(ledger.shelf, LANES).forecast()["money"] == []


def test_more_waits_than_is_looked_at(ledger):
    """What is missing is then the least that can be."""
    views = Views(ledger.shelf, LANES)
    views.report.money = MoneyReads(ledger.shelf, nearest=2)
    for order_id in "ABC":
        late(ledger, order_id, START + 90, amount="30", currency="EUR")
    assert views.forecast()["exact"] is True, "nothing is known, and nothing said"
    told(ledger, "40")
    seen = views.forecast()
    assert (seen["exact"], seen["money"][0]["exact"], seen["money"][0]["missing"]) == (
        False,
        False,
        "20",
    )
