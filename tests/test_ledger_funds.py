"""The account's money in the ledger: who waits for a look, who dies of it without a call, who is
paid.
"""

from decimal import Decimal

import pytest
from conftest import START, an_order, make_ledger, members, recount, turn

from schemas.lane import Lane
from worker.ledger.lane_calls import KIND_ACCOUNT, KIND_PAGE, LaneCalls
from worker.ledger.limits import LOOK_EVERY, NETWORK_DELAY
from worker.ledger.reads.money import MoneyReads
from worker.rules import interventions
from worker.rules.answers import (
    Blocked,
    Confirmed,
    Created,
    Line,
    Pending,
    Rejected,
    Unavailable,
    Unknown,
)
from worker.rules.words import CONFIRM, SEND_WINDOW, Call

POOR = Rejected("insufficient_balance")
FINISHED = Confirmed(lines=(Line("1", "finished", True),))
TIMEOUT = Unknown("read timeout", outage=True)
LEASE = 60.0


@pytest.fixture
def ledger(client, policies, clock):
    return make_ledger(client, policies, clock, accounts=True, synced=True)


@pytest.fixture
def calls(ledger):
    return LaneCalls(ledger.shelf)


def opened(ledger, *ids, amount="30", currency="EUR", **changed):
    """Orders whose deadlines come in the order of their ids."""
    now = ledger.time()
    for number, order_id in enumerate(ids):
        given = {
            "created_at": START - 3600 + number,
            "deadline_at": START - 3600 + number + 86400,
            **changed,
        }
        ledger.open(an_order(order_id, amount=amount, currency=currency, accepted_at=now, **given))


def permit(calls, account=None):
    """What a worker asks once a second: is a look wanted?"""
    return calls.permit(Lane("relograde", account), KIND_ACCOUNT, LOOK_EVERY, wanted=False)


def look(calls, answer=None, account=None, **balances):
    """One look at the accounts, if it is wanted; returns what the ledger made of it."""
    call = permit(calls, account)
    assert call.result == "permitted"
    told = answer or {currency: Decimal(amount) for currency, amount in balances.items()}
    return calls.settle_look(call, told, call.now)


def refused(ledger, order_id="first", **changed):
    """The dead letter that begins it all."""
    opened(ledger, order_id, **changed)
    assert turn(ledger, order_id, POOR) == "dead"


def order(ledger, order_id):
    return ledger.load("relograde", order_id).order


def rung(ledger, account=None):
    return ledger.dispatch(Lane("relograde", account), 100)[0]


def known(ledger, account=None):
    balances = MoneyReads(ledger.shelf).balances(Lane("relograde", account))
    return {currency: one.amount for currency, one in balances.items()}


# --- what is read ---------------------------------------------------------------------------------


def test_who_waits_for_money_by_deadline(ledger, clock):
    """Warned or not; of this lane, not confirmed, not under way, and only with an amount."""
    views = MoneyReads(ledger.shelf)
    opened(ledger, "B", deadline_at=START + 9000)
    opened(ledger, "C", deadline_at=START + 9500)
    opened(ledger, "A", deadline_at=START + 8000)
    opened(ledger, "other", account="a", deadline_at=START + 9000)
    opened(ledger, "unpriced", amount=None, deadline_at=START + 9000)
    opened(ledger, "sent", deadline_at=START + 9000)
    opened(ledger, "done", deadline_at=START + 9000)
    turn(ledger, "sent", TIMEOUT)
    turn(ledger, "done", FINISHED)
    assert [want.order_id for want in views.waiting(Lane("relograde", "a"))] == ["other"]
    clock.advance(9100 - 7200)
    ledger.tend("relograde")
    assert [want.order_id for want in views.waiting(Lane("relograde"))] == ["A", "B", "C"]
    assert members(ledger, "relograde", "warned").keys() == {"A", "B", "other", "unpriced", "sent"}


def test_letters_that_can_still_be_paid_by_deadline(ledger, clock):
    """Of this lane, for this reason, with an amount and with their last safe moment ahead.

    All are counted.
    """
    views = MoneyReads(ledger.shelf)
    letters = (("B", 9000), ("A", 8000), ("late", 900), ("forgotten", 9000))
    for currency, (order_id, left) in zip(("EUR", "USD", "GBP", "SEK"), letters, strict=True):
        refused(ledger, order_id, account="a", deadline_at=START + left, currency=currency)
    refused(ledger, "unpriced", account="a", amount=None)
    refused(ledger, "other")
    opened(ledger, "stock", account="a")
    turn(ledger, "stock", Rejected("out_of_stock"))
    ledger.scripts.client.delete(ledger.scripts.key("relograde", "order", "forgotten"))
    clock.advance(900 - 30 - SEND_WINDOW)
    found = views.letters(Lane("relograde", "a"))
    assert [(letter.order_id, letter.amount, letter.letter_at) for letter in found] == [
        ("A", Decimal("30"), START),
        ("B", Decimal("30"), START),
    ]
    assert views.count_letters("relograde") == 6


def test_more_than_a_page_of_them(ledger):
    """In order across the pages."""
    for number in range(1200):
        order_id = f"{number * 7919 % 1200:04}"
        created = START - 3600 + int(order_id)
        given = {
            "created_at": created,
            "deadline_at": created + 86400,
            "amount": "1",
            "currency": "EUR",
        }
        ledger.open(an_order(order_id, **given))
    found = [want.order_id for want in MoneyReads(ledger.shelf).waiting(Lane("relograde"))]
    assert found == [f"{number:04}" for number in range(1200)]


# --- waiting for a look ---------------------------------------------------------------------------


def test_nobody_looks_before_a_letter(ledger, calls):
    """As long as everything is paid, not a call is spent on it."""
    opened(ledger, "A", "B")
    assert permit(calls).result == "unwanted"
    assert turn(ledger, "A", FINISHED) == "confirmed"
    assert turn(ledger, "B", Rejected("out_of_stock")) == "dead"
    assert permit(calls).result == "unwanted"
    assert not ledger.scripts.client.keys("*funds*"), "and nothing is kept"


def test_after_a_letter_the_next_order_waits_for_a_look(ledger, calls, clock):
    """No call, no attempt, no failure; until the look's end at the latest.

    Nobody looks before somebody waits.
    """
    refused(ledger)
    assert permit(calls).result == "unwanted"
    opened(ledger, "A")
    assert turn(ledger, "A", FINISHED) == "waits"
    waiting = recount(ledger)["A"]
    assert (waiting.state, waiting.attempts, waiting.failures, waiting.due_at) == (
        "accepted",
        0,
        0,
        START + LEASE,
    )
    assert len(members(ledger, "relograde", "calls", "-")) == 1, "the first one's"
    assert permit(calls).result == "permitted"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"currency": "USD"}, "another currency"),
        ({"amount": None}, "no amount"),
        ({"currency": None}, "no currency"),
        ({"account": "a"}, "another account"),
    ],
)
def test_others_are_tried(ledger, calls, changed, why):
    """What the letter says nothing of, or what cannot be compared."""
    refused(ledger)
    opened(ledger, "A", **changed)
    assert turn(ledger, "A", FINISHED) == "confirmed"


def test_a_letter_without_an_amount_guards_nothing(ledger, calls):
    """There is nothing to compare with."""
    refused(ledger, amount=None)
    opened(ledger, "A")
    assert turn(ledger, "A", FINISHED) == "confirmed"


def test_where_nobody_looks_orders_are_tried(client, policies, clock):
    """A supplier without accounts, or a worker that does not ask for them."""
    ledger = make_ledger(client, policies, clock)
    refused(ledger)
    opened(ledger, "A")
    assert turn(ledger, "A", FINISHED) == "confirmed"


def test_the_look_wakes_those_who_wait_in_deadline_order(ledger, calls, clock):
    """At once, and not at the end of the longest look."""
    refused(ledger)
    opened(ledger, "C", deadline_at=START + 9000.0)
    opened(ledger, "A", deadline_at=START + 7000.0)
    opened(ledger, "B", deadline_at=START + 8000.0)
    for order_id in "CAB":
        assert turn(ledger, order_id, FINISHED) == "waits"
    clock.advance(1)
    assert rung(ledger) == []
    look(calls, EUR="100")
    recount(ledger)
    assert rung(ledger) == ["A", "B", "C"]
    assert [turn(ledger, order_id, FINISHED) for order_id in "ABC"] == ["confirmed"] * 3


def test_who_is_woken_begins_when_a_restart_cannot_forget_it(client, policies, clock):
    """Else the order would be found as if nobody had looked at it, and its forgotten confirm be
    repeated (2).
    """
    ledger = make_ledger(client, policies, clock, accounts=True)
    refused(ledger)
    opened(ledger, "A")
    assert turn(ledger, "A", FINISHED) == "waits"
    look(LaneCalls(ledger.shelf), EUR="100")
    recount(ledger)
    assert (order(ledger, "A").due_at, rung(ledger)) == (START + 2, [])
    clock.advance(2)
    assert rung(ledger) == ["A"]


def test_a_call_is_kept_for_the_look(client, policies, clock):
    """In a lane whose orders take every slot it would never be made."""
    ledger = make_ledger(client, policies, clock, accounts=True, synced=True, calls_per_minute=3)
    calls = LaneCalls(ledger.shelf)
    refused(ledger)
    opened(ledger, "A")
    opened(ledger, "B", "C", "D", currency="USD")
    assert turn(ledger, "A", FINISHED) == "waits"
    assert rung(ledger) == ["B"]
    assert turn(ledger, "B", FINISHED) == "confirmed"
    assert rung(ledger) == []
    ledger.scripts.client.delete(*ledger.scripts.client.keys("*ready*"))
    opened(ledger, "E", currency="USD")
    assert turn(ledger, "E", FINISHED, direct=True) == "later"
    look(calls, EUR="1")


def test_the_slot_is_not_kept_for_ever(client, policies, clock):
    """Should nobody be there to look."""
    ledger = make_ledger(client, policies, clock, accounts=True, synced=True, max_in_flight=1)
    refused(ledger)
    opened(ledger, "A")
    opened(ledger, "B", currency="USD")
    assert turn(ledger, "A", FINISHED) == "waits"
    assert rung(ledger) == []
    clock.advance(LEASE)
    assert rung(ledger) == ["A"]
    assert turn(ledger, "A", FINISHED) == "confirmed", "the look did not come, so one is tried"


FREE_AGAIN = SEND_WINDOW + 60 + NETWORK_DELAY


def ask(calls, kind=KIND_ACCOUNT):
    """What a worker asks once a second for letters that a balance could pay: nobody else knows of
    them.
    """
    return calls.permit(Lane("relograde"), kind, LOOK_EVERY).result


def full(client, policies, clock, **limits):
    """A lane whose two calls are taken and free again at the same moment, with four orders that
    wait for them.
    """
    ledger = make_ledger(client, policies, clock, accounts=True, synced=True, **limits)
    opened(ledger, *"ABCDEF")
    assert rung(ledger) == ["A", "B"]
    for order_id in "AB":
        ledger.permit(ledger.claim("relograde", order_id), Call(kind=CONFIRM))
    return ledger, LaneCalls(ledger.shelf)


@pytest.mark.parametrize(
    ("limits", "why"), [({"calls_per_minute": 2}, "no_budget"), ({"max_in_flight": 2}, "later")]
)
def test_a_full_lane_keeps_a_call_for_the_look_that_letters_wait_for(
    client, policies, clock, limits, why
):
    """Else a lane that is always full would never look: its orders take each slot in the moment
    that it is free.
    """
    ledger, calls = full(client, policies, clock, **limits)
    clock.advance(10)
    assert ask(calls) == why
    clock.now = START + FREE_AGAIN
    assert len(rung(ledger)) == 1
    assert ask(calls) == "permitted"
    clock.advance(FREE_AGAIN)
    assert len(rung(ledger)) == 2, "one look was kept a call for, and it has been made"


def test_it_is_kept_while_somebody_asks_and_a_minute_longer(client, policies, clock):
    """A slot may be taken for longer than a minute; and whoever asked may be gone."""
    ledger, calls = full(client, policies, clock, calls_per_minute=2)
    while clock() < START + FREE_AGAIN:
        assert ask(calls) == "no_budget"
        clock.advance(1)
    assert len(rung(ledger)) == 1
    clock.advance(60)
    assert len(rung(ledger)) == 2


def test_no_call_is_kept_for_a_page(client, policies, clock):
    """It comes in the turn of a re-check, which is kept for it already."""
    ledger, calls = full(client, policies, clock, calls_per_minute=2)
    clock.advance(10)
    assert ask(calls, KIND_PAGE) == "no_budget"
    clock.now = START + FREE_AGAIN
    assert len(rung(ledger)) == 2


def test_the_only_call_of_a_minute_is_not_kept(client, policies, clock):
    """Else nothing but looks would be made: letters want one a minute."""
    ledger = make_ledger(client, policies, clock, accounts=True, synced=True, calls_per_minute=1)
    opened(ledger, "A", "B")
    assert turn(ledger, rung(ledger)[0], FINISHED) == "confirmed"
    clock.advance(10)
    assert ask(LaneCalls(ledger.shelf)) == "no_budget"
    clock.advance(50 + NETWORK_DELAY)
    assert rung(ledger) == ["B"]


def test_with_one_call_a_minute_no_order_waits_for_a_look(client, policies, clock):
    """A look is fresh for 60 s, its slot free after 62: looks alone would go (core 14)."""
    ledger = make_ledger(client, policies, clock, accounts=True, synced=True, calls_per_minute=1)
    opened(ledger, "A", "B")
    assert turn(ledger, rung(ledger)[0], POOR) == "dead"
    clock.advance(60 + NETWORK_DELAY + SEND_WINDOW)
    assert turn(ledger, rung(ledger)[0], FINISHED) == "confirmed"


def test_a_look_that_no_letter_wants_any_more_is_made_once_at_most(client, policies, clock):
    """The call was kept; they were resolved since."""
    _, calls = full(client, policies, clock, calls_per_minute=2)
    assert ask(calls) == "no_budget"
    clock.advance(FREE_AGAIN)
    assert permit(calls).result == "permitted"
    clock.advance(FREE_AGAIN)
    assert permit(calls).result == "unwanted"


def test_a_look_that_does_not_come_lets_one_try(ledger, calls, clock):
    """Which tells as much; the others wait again."""
    refused(ledger)
    opened(ledger, "A", "B")
    assert turn(ledger, "A", POOR) == turn(ledger, "B", POOR) == "waits"
    clock.advance(LEASE)
    assert rung(ledger) == ["A", "B"]
    assert turn(ledger, "A", POOR) == "dead"
    assert turn(ledger, "B", POOR) == "waits"


def test_the_last_chance_is_taken_without_a_look(ledger, calls, clock):
    """Waiting must not cost the order its deadline (6); and it is woken by a look before that
    too.
    """
    refused(ledger)
    last = START + 20
    opened(ledger, "A", "B", deadline_at=last + 30)
    assert turn(ledger, "A", FINISHED) == turn(ledger, "B", FINISHED) == "waits"
    assert order(ledger, "A").due_at == last - SEND_WINDOW
    clock.now = last - SEND_WINDOW
    assert turn(ledger, "A", FINISHED) == "confirmed"


def test_who_waits_for_a_last_chance_is_woken_too(ledger, calls, clock):
    """The look has told, so why wait."""
    refused(ledger)
    opened(ledger, "A", deadline_at=START + 50)
    turn(ledger, "A", FINISHED)
    clock.advance(1)
    look(calls, EUR="100")
    assert rung(ledger) == ["A"]


def test_the_earliest_deadlines_are_woken_first(ledger, calls):
    """When more wait than one script should touch; the others come by themselves."""
    refused(ledger)
    for number, order_id in enumerate("CAB"):
        opened(ledger, order_id, deadline_at=START + 9000 + (number % 3 or 7) * 10)
        turn(ledger, order_id, FINISHED)
    call = permit(calls)
    run = ledger.scripts.run
    run(
        "lane_call_settle",
        "relograde",
        lane="-",
        kind=KIND_ACCOUNT,
        token=call.token,
        signal="passed",
        wakes=1,
    )
    assert rung(ledger) == ["A"]


def test_only_those_who_wait_for_it_are_woken(ledger, calls, clock):
    """An order that was tried meanwhile keeps its own time; a step that is being made keeps its
    lease.
    """
    refused(ledger)
    opened(ledger, "pending", "failed", deadline_at=START + 36)
    opened(ledger, "claimed")
    for order_id in ("pending", "failed", "claimed"):
        assert turn(ledger, order_id, FINISHED) == "waits"
    call = permit(calls)
    clock.advance(1.5)
    ledger.hint("relograde", "claimed")
    claimed = ledger.claim("relograde", "claimed")
    assert turn(ledger, "pending", Pending()) == "pending", "its last chance"
    calls.settle(call, {"EUR": Decimal("100")})
    recount(ledger)
    assert rung(ledger) == ["failed"]
    assert turn(ledger, "failed", Unavailable("dns")) == "unavailable"
    ledger.permit(claimed, Call(kind=CONFIRM))
    clock.advance(1)
    calls.settle(calls.permit(Lane("relograde"), KIND_ACCOUNT, 0.0), {"EUR": Decimal("100")})
    assert rung(ledger) == []


# --- judged by what was told ----------------------------------------------------------------------


def test_what_cannot_be_paid_dies_without_a_call(ledger, calls, clock):
    """By the same reason; no confirm was written down, let alone sent."""
    refused(ledger)
    opened(ledger, "A", "B")
    turn(ledger, "A", FINISHED)
    clock.advance(1)
    look(calls, EUR="29.99")
    assert turn(ledger, "A", FINISHED) == turn(ledger, "B", FINISHED) == "unpayable"
    orders = recount(ledger)
    assert {(orders[name].state, orders[name].reason, orders[name].attempts) for name in "AB"} == {
        ("dead", "insufficient_balance", 0)
    }
    assert len(members(ledger, "relograde", "calls", "-")) == 2, "the first order's and the look"


def test_exactly_enough_is_enough(ledger, calls, clock):
    """Compared as decimals, whatever their scale."""
    refused(ledger, amount="0.30")
    opened(ledger, "A", amount="0.3000")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="0.3")
    assert turn(ledger, "A", FINISHED) == "confirmed"


def test_what_was_spent_since_is_not_there_any_more(ledger, calls, clock):
    """Of 100: three of 30 go; the fourth waits for the next look, since our own arithmetic kills
    nobody.
    """
    refused(ledger, amount="500")
    ids = [f"A{number}" for number in range(4)]
    opened(ledger, *ids)
    turn(ledger, "A0", FINISHED)
    look(calls, EUR="100.00")
    answers = [FINISHED, Pending(), FINISHED, FINISHED]
    done = [turn(ledger, order_id, answer) for order_id, answer in zip(ids, answers, strict=True)]
    assert done == ["confirmed", "pending", "confirmed", "waits"]
    assert known(ledger) == {"EUR": Decimal("10.00")}
    assert order(ledger, "A3").due_at == START + LOOK_EVERY + LEASE
    clock.advance(LOOK_EVERY - 1)
    assert permit(calls).result == "unwanted"
    clock.advance(1)
    look(calls, EUR="10.00")
    assert known(ledger) == {"EUR": Decimal("10.00")}
    assert turn(ledger, "A3", FINISHED) == "unpayable"


def test_money_of_calls_under_way_is_not_spent_twice(ledger, calls, clock):
    """Two workers at once: the second one waits until it is known what became of the first."""
    refused(ledger, amount="500")
    opened(ledger, "A", "B", "C")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="50")

    def meanwhile(permitted):
        assert turn(ledger, "B", FINISHED) == "waits"
        return FINISHED

    assert turn(ledger, "A", meanwhile) == "confirmed"


def test_only_confirms_of_the_same_money_count_as_under_way(ledger, calls, clock):
    """Not another currency's, not another account's, not a question; but one whose process died may
    be paid for.
    """
    refused(ledger, amount="500")
    opened(ledger, "A", "B")
    opened(ledger, "U", currency="USD")
    opened(ledger, "O", account="a")
    opened(ledger, "Q", must_ask=True)
    turn(ledger, "A", FINISHED)
    look(calls, EUR="40")

    def during_a_question(permitted):
        assert turn(ledger, "A", FINISHED) == "confirmed"
        return Created()

    def during_dollars(permitted):
        assert turn(ledger, "Q", during_a_question) == "read_created"
        return FINISHED

    def during_another_account_s(permitted):
        assert turn(ledger, "U", during_dollars) == "confirmed"
        return FINISHED

    assert turn(ledger, "O", during_another_account_s) == "confirmed"
    clock.advance(10)
    opened(ledger, "D", amount="5")
    claimed = ledger.claim("relograde", "D")
    assert ledger.permit(claimed, Call(kind=CONFIRM)).result == "permitted"
    turn(ledger, "B", FINISHED)
    clock.advance(LOOK_EVERY - 10)
    call = permit(calls)
    clock.advance(10)
    assert calls.settle_look(call, {"EUR": Decimal("40")}, None).funds["EUR"].free == Decimal("35")


def test_what_was_told_kills_and_not_what_is_left_of_it(ledger, calls, clock):
    """60 were there and 30 are spent: one of 60 waits for the next word."""
    refused(ledger, amount="500")
    opened(ledger, "A")
    opened(ledger, "B", amount="60")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="60")
    turn(ledger, "A", FINISHED)
    assert turn(ledger, "B", FINISHED) == "waits"


def test_nobody_overtakes_who_waits_for_the_same_money(ledger, calls, clock):
    """Deadline order holds among those who wait: a later, smaller one does not take what an earlier
    one needs.
    """
    refused(ledger, amount="500")
    opened(ledger, "A", "B", "C", "D")
    opened(ledger, "big", amount="60", deadline_at=START + 9000)
    opened(ledger, "dear", amount="101", deadline_at=START + 8000)
    turn(ledger, "A", FINISHED)
    look(calls, EUR="100")

    def meanwhile(permitted):
        assert turn(ledger, "big", FINISHED) == "confirmed", "60 of the 70 that are left"
        opened(ledger, "wants", amount="40", deadline_at=START + 9500)
        assert turn(ledger, "wants", FINISHED) == "waits"
        opened(ledger, "small", amount="10")
        assert turn(ledger, "small", FINISHED) == "waits", "10 are left, and not for this one"
        opened(ledger, "first of all", amount="10", deadline_at=START + 9400)
        assert turn(ledger, "first of all", FINISHED) == "confirmed"
        return Rejected("out_of_stock")

    assert turn(ledger, "A", meanwhile) == "dead"
    clock.advance(LOOK_EVERY)
    look(calls, EUR="30")
    assert rung(ledger) == ["dear", "wants", "small", "B", "C", "D"]
    assert turn(ledger, "dear", FINISHED) == turn(ledger, "wants", FINISHED) == "unpayable"
    assert turn(ledger, "small", FINISHED) == "confirmed"


def test_who_cannot_be_paid_is_not_in_the_way(ledger, calls, clock):
    """It waits for the next word; what is there is not for it anyway."""
    refused(ledger, amount="500")
    opened(ledger, "A")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="100")
    clock.advance(1)
    opened(ledger, "dear", amount="101", deadline_at=START + 9000)
    assert turn(ledger, "dear", FINISHED) == "waits"
    assert turn(ledger, "A", FINISHED) == "confirmed"


@pytest.fixture
def found(client, policies, clock):
    """40 have been found for A, which may only be looked at again two seconds later: not every
    write is synced.
    """
    ledger = make_ledger(client, policies, clock, accounts=True)
    refused(ledger, amount="500")
    opened(ledger, "A")
    assert turn(ledger, "A", FINISHED) == "waits"
    look(LaneCalls(ledger.shelf), EUR="40")
    assert turn(ledger, "A", FINISHED) == "not_due"
    opened(ledger, "later", deadline_at=START + 84000)
    return ledger


def test_what_was_found_for_one_is_not_for_a_later_one(found, clock):
    """Not in these two seconds either. What nobody wants goes at once."""
    opened(found, "small", amount="10", deadline_at=START + 85000)
    assert turn(found, "later", FINISHED) == "waits"
    assert turn(found, "small", FINISHED) == "waits", "the other one is before it"
    clock.advance(2)
    assert turn(found, "A", FINISHED) == "confirmed"
    clock.advance(LOOK_EVERY)
    look(LaneCalls(found), EUR="10")
    clock.advance(2)
    assert turn(found, "later", FINISHED) == "unpayable"
    recount(found)
    assert turn(found, "small", FINISHED) == "confirmed"


def test_what_suffices_for_both_is_for_both(found, clock):
    """The earlier one has not been judged yet, but there is enough."""
    opened(found, "small", amount="10", deadline_at=START + 84000)
    assert turn(found, "small", FINISHED) == "confirmed"
    clock.advance(2)
    assert turn(found, "A", FINISHED) == "confirmed"


def test_what_suffices_for_those_who_were_short_is_theirs(client, policies, clock):
    """The look ends the waiting, but not before they had their turn."""
    ledger = make_ledger(client, policies, clock, accounts=True)
    refused(ledger)
    opened(ledger, "A")
    turn(ledger, "A", FINISHED)
    look(LaneCalls(ledger.shelf), EUR="60")
    opened(ledger, "later", amount="40", deadline_at=START + 84000)
    assert turn(ledger, "later", FINISHED) == "waits"
    clock.advance(2)
    assert turn(ledger, "A", FINISHED) == "confirmed"


def withdrawn(ledger, clock):
    ledger.change("relograde", "A", interventions.withdraw)


def died(ledger, clock):
    clock.advance(order(ledger, "A").deadline_at - clock() - 29)
    assert turn(ledger, "A", FINISHED) == "dead"


def asked_about(ledger, clock):
    ledger.scripts.client.hset(ledger.scripts.key("relograde", "order", "A"), "kind", "ask")


def probed(ledger, clock):
    name = ledger.scripts.key("relograde", "lane", "-")
    ledger.scripts.client.hset(name, mapping={"held": "outage", "probe": "later"})


@pytest.mark.parametrize("left", [withdrawn, died, asked_about, probed])
def test_who_does_not_ask_for_it_hides_no_money(found, clock, left):
    """Withdrawn, dead, to be asked about first; and the probe of a held lane does not wait for
    those whom it is for.
    """
    left(found, clock)
    recount(found)
    assert turn(found, "later", FINISHED) == "confirmed"


def test_so_many_wait_that_a_later_one_waits_too(found, clock):
    """Two hundred are added up; who knows what those beyond want."""
    earlier = [f"B{number}" for number in range(199)]
    opened(found, *earlier, "small", "tiny", amount="0.01", deadline_at=START + 84000)
    unpaid = found.scripts.key("relograde", "unpaid", "-", "EUR")
    found.scripts.client.zadd(unpaid, dict.fromkeys(earlier[1:], START + 80000))
    assert turn(found, "small", FINISHED) == "confirmed"
    found.scripts.client.zadd(unpaid, {earlier[0]: START + 80000})
    assert turn(found, "tiny", FINISHED) == "waits"


def test_a_refusal_frees_what_was_under_way(ledger, calls, clock):
    """Out of stock costs nothing."""
    refused(ledger, amount="500")
    opened(ledger, "A", "B")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="50")
    assert turn(ledger, "A", Rejected("out_of_stock")) == "dead"
    assert turn(ledger, "B", FINISHED) == "confirmed"
    assert known(ledger) == {"EUR": Decimal("20")}


def test_a_confirm_that_a_read_finds_done_is_spent_too(ledger, calls, clock):
    """The answer was lost, the money is gone; counted once, however often it is read."""
    refused(ledger, amount="500")
    opened(ledger, "A")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="100")
    turn(ledger, "A", TIMEOUT)
    assert known(ledger) == {"EUR": Decimal("100")}
    clock.advance(2)
    assert turn(ledger, "A", Pending()) == "pending"
    clock.advance(20)
    assert turn(ledger, "A", FINISHED) == "confirmed"
    assert known(ledger) == {"EUR": Decimal("70")}


def test_a_new_order_does_not_die_of_an_old_balance(ledger, calls, clock):
    """Perhaps its money came with it: the next look decides, a minute later at most."""
    refused(ledger)
    opened(ledger, "A")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="10")
    clock.advance(5)
    opened(ledger, "B")
    assert turn(ledger, "A", FINISHED) == "unpayable"
    assert turn(ledger, "B", FINISHED) == "waits"
    clock.advance(LOOK_EVERY - 5)
    look(calls, EUR="40")
    assert turn(ledger, "B", FINISHED) == "confirmed"


def test_a_balance_older_than_a_minute_kills_nobody(ledger, calls, clock):
    """It was told after the order came, and yet: it can be asked for again."""
    refused(ledger)
    opened(ledger, "A", "B")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="10")
    clock.advance(LOOK_EVERY + 1)
    assert turn(ledger, "B", FINISHED) == "waits"
    assert permit(calls).result == "permitted"


def test_a_person_s_requeue_asks_and_then_looks(ledger, calls, clock):
    """Requeue means ask, decide, then maybe confirm (8); the old balance does not decide."""
    refused(ledger)
    opened(ledger, "A")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="10")
    turn(ledger, "A", FINISHED)
    clock.advance(30)
    ledger.change("relograde", "A", interventions.requeue)
    assert turn(ledger, "A", Created()) == "read_created"
    assert turn(ledger, "A", FINISHED) == "waits"
    clock.advance(30)
    look(calls, EUR="30")
    assert turn(ledger, "A", FINISHED) == "confirmed"


def test_a_currency_that_the_answer_does_not_name_is_tried(ledger, calls, clock):
    """It says nothing of it."""
    refused(ledger)
    opened(ledger, "A")
    turn(ledger, "A", FINISHED)
    look(calls, USD="10")
    assert turn(ledger, "A", FINISHED) == "confirmed"
    clock.advance(1)
    opened(ledger, "B")
    assert turn(ledger, "B", FINISHED) == "waits", "and asked for again"


@pytest.mark.parametrize(
    "failure", [TIMEOUT, Unavailable("dns"), Unknown("unreadable accounts"), Blocked("forbidden")]
)
def test_a_look_that_fails_changes_no_order(ledger, calls, clock, failure):
    """Who waited is tried; a minute later somebody looks again."""
    refused(ledger)
    opened(ledger, "A", "B")
    turn(ledger, "A", FINISHED)
    clock.advance(1)
    before = order(ledger, "A")
    look(calls, failure)
    after = order(ledger, "A")
    assert (after.state, after.attempts, after.failures, after.due_at) == (
        before.state,
        0,
        0,
        clock(),
    )
    assert turn(ledger, "A", FINISHED) == "confirmed"
    clock.advance(LOOK_EVERY)
    assert turn(ledger, "B", FINISHED) == "waits"
    look(calls, EUR="10")
    assert turn(ledger, "B", FINISHED) == "unpayable"


def test_a_slow_failure_is_as_old_as_its_question(ledger, calls, clock):
    """A minute after it was asked somebody may look again, however long the failure took."""
    refused(ledger)
    opened(ledger, "A", "B")
    turn(ledger, "A", FINISHED)
    call = permit(calls)
    clock.advance(30)
    calls.settle(call, TIMEOUT)
    clock.advance(LOOK_EVERY - 30)
    assert turn(ledger, "A", FINISHED) == "waits"


def test_a_failure_is_forgotten_when_a_look_succeeds(ledger, calls, clock):
    """Two in one minute, as the probes of a held lane are."""
    refused(ledger)
    opened(ledger, "A")
    turn(ledger, "A", FINISHED)
    look(calls, TIMEOUT)
    clock.advance(2)
    calls.settle(calls.permit(Lane("relograde"), KIND_ACCOUNT, 0.0), {"EUR": Decimal("10")})
    clock.advance(2)
    opened(ledger, "B")
    assert turn(ledger, "B", FINISHED) == "waits"


def test_a_failed_look_does_not_hide_what_the_last_one_told(ledger, calls, clock):
    """What is covered goes without asking."""
    refused(ledger)
    opened(ledger, "A", "B", amount="20")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="25")
    clock.advance(LOOK_EVERY)
    opened(ledger, "C")
    assert turn(ledger, "C", FINISHED) == "waits"
    look(calls, TIMEOUT)
    clock.advance(LOOK_EVERY)
    assert turn(ledger, "A", FINISHED) == "confirmed"
    assert turn(ledger, "B", FINISHED) == "waits"


def test_a_refusal_against_the_balance_asks_for_another_look(ledger, calls, clock):
    """It costs more than its message said, or somebody else spends.

    Until somebody may look again, others go on.
    """
    refused(ledger, amount="500")
    opened(ledger, "A", "B", "C")
    opened(ledger, "D", amount="15")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="100")
    assert not MoneyReads(ledger.shelf).balances(Lane("relograde"))["EUR"].doubted
    assert turn(ledger, "A", POOR) == "dead"
    assert MoneyReads(ledger.shelf).balances(Lane("relograde"))["EUR"].doubted
    assert turn(ledger, "B", FINISHED) == "confirmed"
    clock.advance(LOOK_EVERY)
    assert turn(ledger, "C", FINISHED) == "waits"
    look(calls, EUR="50")
    assert turn(ledger, "C", FINISHED) == "confirmed"
    clock.advance(LOOK_EVERY)
    assert turn(ledger, "D", FINISHED) == "confirmed", "nothing speaks against it any more"


def test_a_refusal_of_what_was_sent_before_the_look_says_nothing_new(ledger, calls, clock):
    """It was under way when the balance was told."""
    opened(ledger, "A")

    def meanwhile(permitted):
        clock.advance(1)
        refused(ledger, "first")
        opened(ledger, "B", amount="10")
        turn(ledger, "B", FINISHED)
        clock.advance(1)
        look(calls, EUR="20")
        return POOR

    assert turn(ledger, "A", meanwhile) == "dead"
    clock.advance(LOOK_EVERY)
    assert turn(ledger, "B", FINISHED) == "confirmed"


def test_it_ends_when_the_balance_suffices(ledger, calls, clock):
    """Enough for all that were short since the look before: when these had their turn, nobody
    waits.
    """
    refused(ledger)
    opened(ledger, "A", "B")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="10")
    turn(ledger, "A", FINISHED)
    clock.advance(LOOK_EVERY)
    opened(ledger, "C")
    turn(ledger, "C", FINISHED)
    turn(ledger, "B", FINISHED)
    look(calls, EUR="100")
    assert turn(ledger, "C", FINISHED) == turn(ledger, "B", FINISHED) == "confirmed"
    opened(ledger, "D", amount="5000")
    clock.advance(LOOK_EVERY)
    assert turn(ledger, "D", FINISHED) == "confirmed"
    assert permit(calls).result == "unwanted"


def test_a_look_for_which_nobody_waited_ends_nothing(ledger, calls, clock):
    """Those who were short are dead; that says nothing of the next one."""
    refused(ledger)
    for _ in range(2):
        call = calls.permit(Lane("relograde"), KIND_ACCOUNT, 0.0)
        calls.settle(call, {"EUR": Decimal("10")})
        clock.advance(1)
    opened(ledger, "A")
    assert turn(ledger, "A", FINISHED) == "waits"


def test_it_goes_on_while_some_are_short(ledger, calls, clock):
    """Enough for one of two: the other one does not go unasked."""
    refused(ledger)
    opened(ledger, "A", "B")
    turn(ledger, "A", FINISHED)
    turn(ledger, "B", FINISHED)
    look(calls, EUR="45")
    assert turn(ledger, "A", FINISHED) == "confirmed"
    assert turn(ledger, "B", FINISHED) == "waits"


def test_requeued_letters_do_not_run_into_the_wall_together(ledger, calls, clock):
    """They were short once: the balance is asked before they are sent, even if it had sufficed
    since.
    """
    refused(ledger)
    opened(ledger, "A")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="100")
    assert turn(ledger, "A", FINISHED) == "confirmed"
    ledger.change("relograde", "first", interventions.requeue)
    assert turn(ledger, "first", Created()) == "read_created"
    assert turn(ledger, "first", FINISHED) == "confirmed", "70 were known to be left"
    opened(ledger, "B", amount="50")
    assert turn(ledger, "B", FINISHED) == "waits", "40 are"


def test_a_resolved_letter_makes_nobody_wait(ledger, calls, clock):
    """A person has closed it: there is nothing to pay."""
    refused(ledger)
    opened(ledger, "A", "B")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="100")
    ledger.change(
        "relograde", "first", lambda order, now: interventions.resolve(order, now, "paid by hand")
    )
    assert turn(ledger, "A", FINISHED) == "confirmed"
    opened(ledger, "C", amount="90")
    assert turn(ledger, "C", FINISHED) == "confirmed"


def test_an_order_that_may_have_been_sent_is_never_judged_by_money(ledger, calls, clock):
    """Its question goes out as ever (3)."""
    refused(ledger)
    opened(ledger, "A")
    claim = ledger.claim("relograde", "A")
    ledger.scripts.client.hset(ledger.scripts.key("relograde", "order", "A"), "send_by", START)
    assert ledger.permit(claim, Call(kind=CONFIRM)).result == "permitted"


def test_accounts_are_apart(ledger, calls, clock):
    """Each key has its own money."""
    refused(ledger, account="a")
    opened(ledger, "A", account="a")
    opened(ledger, "B")
    assert turn(ledger, "A", FINISHED) == "waits"
    assert permit(calls).result == "unwanted"
    look(calls, account="a", EUR="10")
    assert known(ledger) == {}
    assert known(ledger, "a") == {"EUR": Decimal("10")}
    assert rung(ledger, "a") == ["A"]
    assert turn(ledger, "A", FINISHED) == "unpayable"
    recount(ledger, accounts=(None, "a"))


def test_what_a_look_tells_of_the_money(ledger, calls, clock):
    """Free beside what is under way; when it rose, for those who wait for that."""
    refused(ledger, amount="500")
    opened(ledger, "A", "B")
    turn(ledger, "A", FINISHED)
    assert look(calls, EUR="100").funds["EUR"].rose_at == START
    turn(ledger, "A", FINISHED)
    clock.advance(LOOK_EVERY)
    opened(ledger, "C", amount="80")

    def meanwhile(permitted):
        turn(ledger, "C", FINISHED)
        funds = look(calls, EUR="70").funds["EUR"]
        assert (funds.free, funds.rose_at) == (Decimal("40"), START), "only spent, not risen"
        return FINISHED

    turn(ledger, "B", meanwhile)
    clock.advance(LOOK_EVERY)
    opened(ledger, "D", amount="80")
    turn(ledger, "D", FINISHED)
    assert look(calls, EUR="40.01").funds["EUR"].rose_at == clock()


def test_what_is_spent_while_a_look_is_under_way_is_not_there(ledger, calls, clock):
    """The supplier told 100 before it took 30; when it tells 70 the next time, nothing has
    risen.
    """
    refused(ledger, amount="500")
    opened(ledger, "A", "B", "C")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="130")
    assert turn(ledger, "A", FINISHED) == "confirmed"
    clock.advance(LOOK_EVERY)
    opened(ledger, "D", amount="120", deadline_at=START + 90000)
    assert turn(ledger, "D", FINISHED) == "waits"
    call = permit(calls)
    assert turn(ledger, "B", FINISHED) == "confirmed"
    clock.advance(1)
    funds = calls.settle_look(call, {"EUR": Decimal("100")}, call.now).funds["EUR"]
    assert (funds.free, funds.rose_at) == (Decimal("70"), START)
    assert known(ledger) == {"EUR": Decimal("70")}
    assert turn(ledger, "C", FINISHED) == "confirmed"
    clock.advance(LOOK_EVERY)
    assert turn(ledger, "D", FINISHED) == "waits"
    funds = look(calls, EUR="40").funds["EUR"]
    assert (funds.free, funds.rose_at) == (Decimal("40"), START), "only spent, not risen"
    assert known(ledger) == {"EUR": Decimal("40")}


def test_a_balance_that_is_gone_is_forgotten(ledger, calls, clock):
    """And what is not guarded leaves no trace."""
    refused(ledger)
    opened(ledger, "A", "B")
    turn(ledger, "A", FINISHED)
    look(calls, EUR="10", USD="20")
    clock.advance(LOOK_EVERY)
    turn(ledger, "B", FINISHED)
    look(calls, GBP="30")
    assert known(ledger) == {"GBP": Decimal("30")}
    assert turn(ledger, "B", FINISHED) == "confirmed"
