"""The forecast: as arithmetic on values, and against what the real ledger, dispatcher and executor
then do.
"""

import random
from dataclasses import replace
from decimal import Decimal

import pytest
from conftest import START, an_order, make_ledger, members
from hypothesis import given, settings
from hypothesis import strategies as st
from shop_list import ShopList
from virtual_lane import Supplier, VirtualLane

from schemas.lane import Lane
from worker.ledger.reads.backlog import Backlog
from worker.ledger.reads.forecast_report import ForecastReport
from worker.ledger.reads.views import Views
from worker.rules import answers as say
from worker.rules import interventions
from worker.rules.forecast import Forecast, LaneLoad, OwedConfirm, Recheck, foresee
from worker.rules.money import Pace, Want, shortfalls

NOW = 1000.0
WINDOW = 61.0


def seen(waiting, now=NOW, **changed):
    """What a lane of two calls a minute makes of orders; each is given, or its last safe moment."""
    orders = [
        each if isinstance(each, OwedConfirm) else OwedConfirm(last_safe=each) for each in waiting
    ]
    given = {"per_minute": 2, "window": WINDOW, "waiting": orders}
    return foresee(LaneLoad(**{**given, **changed}), now)


def outcome(forecast: Forecast):
    return forecast.misses, forecast.first_miss_at, forecast.spare, forecast.done_at


# --- as arithmetic --------------------------------------------------------------------------------


def test_nothing_waits():
    """There is nothing to say."""
    assert seen([]) == Forecast()


@pytest.mark.parametrize(
    ("deadlines", "expected"),
    [
        ([NOW, NOW + 5], (0, None, 0.0, NOW)),
        ([NOW + 5] * 3, (1, NOW + 5, 5.0, NOW)),
        ([NOW + 5, NOW + 6, NOW + 60.9], (1, NOW + 60.9, 5.0, NOW)),
        ([NOW + 5, NOW + 6, NOW + 61], (0, None, 0.0, NOW + 61)),
        ([NOW - 1, NOW + 200, NOW + 200], (1, NOW - 1, 200.0, NOW)),
        ([NOW + 61] * 9, (5, NOW + 61, 0.0, NOW + 61)),
        ([NOW + 130] * 6, (0, None, 8.0, NOW + 122)),
    ],
)
def test_two_calls_a_minute_serve_the_earliest_deadlines(deadlines, expected):
    """Who is late when his turn comes is lost and costs no call."""
    assert outcome(seen(deadlines)) == expected


def test_calls_of_the_running_window_free_their_slots_first():
    """One is spent until 20 s from now; one that is still on its way frees its slot a window from
    now at the latest.
    """
    assert outcome(seen([NOW + 19], spent=[NOW + 20, NOW + 65])) == (1, NOW + 19, None, None)
    assert outcome(seen([NOW + 61, NOW + 81], spent=[NOW + 20, NOW + 65])) == (
        0,
        None,
        20.0,
        NOW + 61,
    )
    assert outcome(seen([NOW + 30], spent=[NOW + 9, NOW + 20, NOW + 40])) == (
        0,
        None,
        10.0,
        NOW + 20,
    )


def test_an_order_may_not_be_due_yet():
    """A retry waits for its time, and lets others go before."""
    retry = OwedConfirm(last_safe=NOW + 40, due_at=NOW + 30)
    assert outcome(seen([retry, NOW + 50, NOW + 55])) == (1, NOW + 40, 50.0, NOW)
    assert outcome(seen([retry, NOW + 50])) == (0, None, 10.0, NOW + 30)


def test_an_unresolved_order_takes_a_read_and_a_confirm():
    """And one call more when it is asked before it can have settled."""
    asked = OwedConfirm(last_safe=NOW + 100, settled_at=NOW - 1)
    assert outcome(seen([asked])) == (0, None, 100.0, NOW)
    assert outcome(seen([asked, NOW + 101])) == (0, None, 39.0, NOW + 61)
    early = OwedConfirm(last_safe=NOW + 100, settled_at=NOW + 10)
    assert outcome(seen([early])) == (0, None, 39.0, NOW + 61)


def test_an_unresolved_order_that_is_late_is_lost_and_asked_about_all_the_same():
    """With the re-checks: its read takes no call from who can still be confirmed, but for the
    tenth.
    """
    late = OwedConfirm(last_safe=NOW - 1, settled_at=NOW - 50)
    assert outcome(seen([late, NOW + 1, NOW + 60])) == (1, NOW - 1, 1.0, NOW)
    assert seen([late, NOW + 1, NOW + 60], picks=9).misses == 2


def test_rechecks_have_every_tenth_call_while_they_wait():
    """They come again on their schedule; with nothing else to do they have all."""
    deadlines = [NOW + 1] * 20
    assert seen(deadlines, per_minute=20).misses == 0
    assert seen(deadlines, per_minute=20, rechecks=[Recheck(due_at=NOW, snoozes=0)]).misses == 1
    assert seen(deadlines, per_minute=20, rechecks=[Recheck(due_at=NOW)] * 5).misses == 2
    assert seen(deadlines, per_minute=20, rechecks=[Recheck(due_at=NOW)] * 5, picks=9).misses == 2
    assert seen(deadlines, per_minute=19, rechecks=[Recheck(due_at=NOW)] * 5, picks=0).misses == 2
    later = [OwedConfirm(last_safe=NOW + 40, due_at=NOW + 20)]
    pending = [Recheck(due_at=NOW, snoozes=0)] * 2
    assert seen(later, rechecks=pending, schedule=[5.0, 10.0]).misses == 1, "they took both calls"
    assert seen(later, rechecks=pending[:1], schedule=[60.0]).misses == 0


def test_rechecks_that_are_to_come_take_their_tenth_as_long_as_confirms_wait():
    """Of the confirms to come many are answered `pending`; without confirms they take no call from
    later ones.
    """
    deadlines = [NOW + 1] * 20
    assert seen(deadlines, per_minute=20, pressed=True).misses == 2
    assert seen(deadlines, per_minute=20, pressed=True, picks=9).misses == 2
    assert seen([NOW + 1], per_minute=1, pressed=True).misses == 0
    later = OwedConfirm(last_safe=NOW + 40, due_at=NOW + 20)
    assert seen([NOW + 1, later], pressed=True).misses == 0
    assert seen(deadlines, per_minute=0, pressed=True).misses == 0


def test_who_can_hardly_be_served_yields():
    """He is served when a call is left over."""
    assert outcome(seen([NOW + 0.5, NOW + 9, NOW + 9], tight=1.0)) == (1, NOW + 0.5, 9.0, NOW)
    assert outcome(seen([NOW + 0.5, NOW + 9], tight=1.0)) == (0, None, 0.5, NOW)
    unresolved = OwedConfirm(last_safe=NOW + 0.5, settled_at=0.0)
    assert outcome(seen([unresolved], tight=1.0)) == (1, NOW + 0.5, None, None)


def test_a_lane_without_a_limit_loses_only_who_is_due_too_late():
    """Every call can be made at once."""
    late = OwedConfirm(last_safe=NOW + 5, due_at=NOW + 6)
    pending = [Recheck(due_at=NOW, snoozes=0)] * 20
    assert outcome(seen([late, *[NOW + 1] * 500], per_minute=0, rechecks=pending)) == (
        1,
        NOW + 5,
        1.0,
        NOW,
    )


def test_a_held_lane_is_released_by_its_next_probe():
    """Or at once by a person; a hold that stays loses all."""
    deadlines = [NOW + 50, NOW + 100]
    assert seen(deadlines).first_miss_if_held_at is None
    probed = seen(deadlines, held_until=NOW + 60)
    assert (*outcome(probed), probed.first_miss_if_held_at) == (
        1,
        NOW + 50,
        40.0,
        NOW + 60,
        NOW + 50,
    )
    assert outcome(seen(deadlines, held_until=0.0)) == (0, None, 50.0, NOW)


def test_groups_are_counted_like_their_orders():
    """Known by the window, they are called for by the window."""
    alike = OwedConfirm(last_safe=NOW + 61, count=9)
    assert outcome(seen([alike])) == (5, NOW + 61, 0.0, NOW + 61)
    assert seen([alike]).waiting == 9
    rest = seen(
        [OwedConfirm(last_safe=NOW + 200, count=99)],
        per_minute=10,
        rechecks=[Recheck(due_at=NOW)] * 9,
    )
    assert rest.misses == 99 - 4 * 9


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.floats(0, 400), min_size=1, max_size=60),
    st.integers(1, 7),
    st.lists(st.floats(1, 61), max_size=7),
)
def test_it_loses_as_few_as_can_be(slacks, per_minute, spent):
    """When all are due, those beyond the calls until a deadline are lost and no more (Hall's
    theorem).
    """
    free = sorted([0.0] * (per_minute - len(spent)) + [round(at, 3) for at in spent])[-per_minute:]
    slacks = sorted(round(slack, 3) for slack in slacks)
    calls = [sum(int((slack - at) // WINDOW) + 1 for at in free if at <= slack) for slack in slacks]
    least = max(0, *(number - upto for number, upto in enumerate(calls, 1)))
    assert (
        seen(slacks, now=0.0, per_minute=per_minute, spent=[round(at, 3) for at in spent]).misses
        == least
    )


# --- money ----------------------------------------------------------------------------------------


def letter(amount, last_safe=NOW + 100, currency="EUR"):
    price = None if amount is None else Decimal(amount)
    return Want(last_safe=last_safe, amount=price, currency=currency, letter_at=NOW)


def short(letters, balances=None, per_minute=2):
    return shortfalls(letters, balances or {}, Pace(per_minute=per_minute, window=WINDOW), NOW)


def test_money_is_missing_by_currency():
    """What the letters cost, less the balance; all of it while that is not known."""
    letters = [
        letter("10.50"),
        letter("20"),
        letter("5", currency="USD"),
        letter(None, currency="USD"),
    ]
    euro, dollar = short(letters, {"EUR": Decimal("30.00"), "USD": None})
    assert (euro.currency, euro.orders, euro.amount, euro.balance, euro.missing) == (
        "EUR", 2, Decimal("30.50"), Decimal("30.00"), Decimal("0.50"),
    )  # fmt: skip
    assert (dollar.currency, dollar.orders, dollar.unpriced, dollar.missing) == (
        "USD",
        2,
        1,
        Decimal(5),
    )
    assert short([letter("10")], {"EUR": Decimal(11)})[0].missing == 0


def waits(amount, last_safe=NOW + 100, currency="EUR"):
    return replace(letter(amount, last_safe, currency), letter_at=None)


def test_who_waits_and_is_not_paid_for_is_missing_money_too():
    """By deadline over the balance, the letters among them."""
    [euro] = short([letter("30"), *[waits("30")] * 300], {"EUR": Decimal(100)})
    assert (euro.missing, euro.orders, euro.amount) == (Decimal(8930), 1, Decimal(30))
    assert (euro.lost, euro.waiting) == (298, 298)
    [late] = short([letter("30", NOW + 200), *[waits("30")] * 4], {"EUR": Decimal(100)})
    assert (late.missing, late.lost, late.waiting) == (Decimal(50), 2, 1)
    [small] = short(
        [waits("80", NOW + 10), waits("30", NOW + 20), waits("20", NOW + 30)], {"EUR": Decimal(100)}
    )
    assert (small.missing, small.lost, small.before) == (Decimal(30), 1, NOW + 20), (
        "the last one still fits"
    )


def test_what_waits_is_paid_for_as_far_as_anybody_knows():
    """Nothing is said of those who wait while the balance is not known, or suffices, or is of
    another currency.
    """
    assert short([waits("30")]) == short([waits("30")], {"EUR": None}) == []
    assert short([waits("30")], {"EUR": Decimal(30)}) == []
    assert short([waits("30", NOW)], {"EUR": Decimal(0)}) == [], "too late"
    [euro] = short([letter("5"), waits("30")])
    assert (euro.missing, euro.lost, euro.waiting) == (Decimal(5), 1, 0)
    [euro] = short([letter("5"), waits("30"), waits("9", currency="USD")], {"EUR": Decimal(35)})
    assert (euro.missing, euro.lost, euro.waiting) == (0, 1, 0), (
        "the letter is, until it is requeued"
    )


def test_letters_past_their_deadline_want_no_money():
    """A confirm for them would be refused."""
    assert short([letter("10", last_safe=NOW)]) == []
    assert [row.orders for row in short([letter("10", last_safe=NOW), letter("10")])] == [1]


def test_the_money_must_be_there_before_the_calls_that_spend_it():
    """A requeued order takes a read and a confirm, two calls a minute: an order a minute."""
    assert short([letter("1")])[0].before == NOW + 100
    assert short([letter("1")] * 2)[0].before == NOW + 100 - 61
    assert short([letter("1", NOW + 500)] * 4)[0].before == NOW + 500 - 3 * 61
    assert short([letter("1")] * 4)[0].before == NOW, "some are lost already"
    assert short([letter("1", NOW + 500), letter("1", NOW + 100)])[0].before == NOW + 100
    assert short([letter("1")] * 2, per_minute=0)[0].before == NOW + 100


def test_letters_without_a_currency_are_apart():
    """They are somebody's all the same."""
    assert [(row.currency, row.orders) for row in short([letter(None, currency=None),
    letter("1")])] == [
        (None, 1), ("EUR", 1),
    ]  # fmt: skip


# --- against what then happens --------------------------------------------------------------------

PER_MINUTE = 20
ONE_LANE = (Lane("relograde"),)


def order(order_id, last_safe, **changed):
    return an_order(
        order_id, created_at=last_safe + 30 - 86400, deadline_at=last_safe + 30, **changed
    )


class Rush:
    """A backlog of every kind, some minutes old, in a lane that can serve two thirds of it, more or
    less.

    The supplier then does what a forecast takes for granted: it confirms at once, an attempt
    without an answer had no effect, and what is pending stays so.
    """

    def __init__(self, client, policies, clock, seed):
        self.draw = random.Random(seed)
        self.clock = clock
        self.ledger = make_ledger(client, policies, clock, channels=(), calls_per_minute=PER_MINUTE)
        self.views = Views(self.ledger.shelf, ONE_LANE)
        self.supplier = Supplier(clock)
        self.lane = VirtualLane(self.ledger, clock, self.supplier, step=0.0)
        number = self.draw.randrange(150, 350)
        self.span = number / PER_MINUTE * WINDOW * self.draw.uniform(0.4, 0.7)
        self._grow_old([self._order(n) for n in range(number)])

    def _order(self, number):
        return order(f"{number:04}", START + 200 + self.draw.uniform(0, self.span))

    def _grow_old(self, orders):
        """Some are tried while the supplier is in trouble, and some of those die of it and come
        back.
        """
        trouble = {
            "pending": [say.Pending()] * 9999,
            "unresolved": [say.Unknown("no answer")],
            "retried": [say.Unavailable("dns")],
            "requeued": [say.Rejected("out_of_stock")],
        }
        tried = {
            each.order_id: self.draw.choice(list(trouble)) for each in orders[: len(orders) // 3]
        }
        answers = {order_id: list(trouble[kind]) for order_id, kind in tried.items()}
        self.supplier.promise(answers)
        self.lane.work(
            [(START, each) for each in orders if each.order_id in tried], until=START + 150
        )
        for order_id, kind in tried.items():
            if kind == "requeued":
                self.ledger.change("relograde", order_id, interventions.requeue)
            if kind != "pending" or self.views.order("relograde", order_id).state != "pending":
                self.supplier.promise({order_id: []})
        for each in orders:
            if each.order_id not in tried:
                self.ledger.open(each)

    def next_in_line(self, number):
        """The next confirms."""
        return self.ledger.scripts.client.zrange(
            self.ledger.scripts.key("relograde", "ready", "-", "confirm"), 0, number - 1
        )

    def lost(self):
        """The orders that have missed their deadline, and their last safe moments."""
        dead = members(self.ledger, "relograde", "letters", "deadline_missed")
        return {
            order_id: self.views.order("relograde", order_id).deadline_at - 30 for order_id in dead
        }

    def comes_true(self, within=0, record=lambda name, value: None):
        """The forecast of this moment; after the caller has seen it, it is compared with what the
        lane then does.
        """
        before, forecast = self.lost(), foresee(*Backlog(self.ledger.shelf).lane(Lane("relograde")))
        yield forecast
        self.lane.work(until=START + 200 + self.span + 3600)
        lost = {order_id: at for order_id, at in self.lost().items() if order_id not in before}
        record("forecast misses that came otherwise", abs(forecast.misses - len(lost)))
        assert abs(forecast.misses - len(lost)) <= within
        assert forecast.first_miss_at == min(lost.values())


@pytest.mark.parametrize("seed", range(1, 7))
def test_what_was_forecast_is_what_happens(client, policies, clock, seed, record_property):
    """The number of misses and the first of them, exactly: retries, questions, re-checks and a
    running window.
    """
    rush = Rush(client, policies, clock, seed)
    for kind in ("confirm", "ask"):
        assert members(rush.ledger, "relograde", "ready", "-", kind)
    assert members(rush.ledger, "relograde", "due", "-")
    assert members(rush.ledger, "relograde", "calls", "-")
    for forecast in rush.comes_true(record=record_property):
        assert forecast.misses > 0


def test_a_held_lane_is_forecast_as_if_a_person_released_it_now(client, policies, clock):
    """And so it comes when he does; would he not, all would be lost."""
    rush = Rush(client, policies, clock, 7)
    rush.ledger.hold(Lane("relograde"), "n")
    nearest = rush.views.stats()["minimum_slack_seconds"]
    for forecast in rush.comes_true():
        assert 0 < forecast.misses < forecast.waiting
        assert forecast.first_miss_if_held_at == clock() + nearest
        rush.ledger.release(Lane("relograde"))


def test_a_lane_that_is_held_for_a_cause_is_forecast_from_its_next_probe(client, policies, clock):
    """Which gets through.

    It goes to any order, and not to the nearest deadline: that is one call's difference.
    """
    rush = Rush(client, policies, clock, 8)
    rush.supplier.promise(
        {order_id: [say.Blocked("rate_limited", 100.0)] for order_id in rush.next_in_line(1)}
    )
    rush.lane.work(until=clock() + 61)
    assert rush.views.stats()["lanes"]["relograde"]["cause"] == "rate_limited"
    for forecast in rush.comes_true(within=1):
        assert 0 < forecast.misses < forecast.waiting


@pytest.mark.parametrize("pages", [True, False], ids=["pages", "one by one"])
def test_a_backlog_of_which_most_confirms_are_answered_pending(client, policies, clock, pages):
    """The recorded mix: nobody is pending yet, and what is lost lies between the two numbers, close
    to the second.
    """
    draw = random.Random(3)
    ledger = make_ledger(
        client, policies, clock, channels=(), calls_per_minute=PER_MINUTE, pages=pages
    )
    shop = ShopList(clock, 3, newest_first=True)
    span = 400 / PER_MINUTE * WINDOW * 0.9
    for number in range(400):
        made = order(f"{number:04}", START + draw.uniform(30, span))
        shop.create(made.order_id, made.created_at)
        ledger.open(made)
    seen = ForecastReport(ledger.shelf, ONE_LANE).report()
    VirtualLane(ledger, clock, shop).work(until=START + span + 60)
    lost = len(members(ledger, "relograde", "letters", "deadline_missed"))
    assert seen["predicted_misses"] < lost
    assert lost == pytest.approx(seen["predicted_misses_if_pending"], abs=400 / 50)
