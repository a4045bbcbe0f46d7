"""A page's turn against a real ledger: when it comes, what it writes, and what it must leave
alone.
"""

import logging
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from conftest import START, an_order, make_ledger, members, recount, turn

from schemas.lane import Lane
from worker import registry, settings
from worker.ledger.lane_calls import KIND_PAGE, LaneCalls
from worker.ledger.limits import NETWORK_DELAY
from worker.ledger.pages import Pages
from worker.ledger.reads.views import Views
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
from worker.rules.page_search import CREDIT, REST, Listing
from worker.rules.page_search import PAGE_SIZE as SIZE
from worker.rules.page_trust import LAG, TRUST
from worker.rules.words import Step
from worker.turns.lane_question import LaneQuestion
from worker.turns.page_turn import LOOK_AGAIN, PageTurn

LANE = Lane("relograde", None)
FINISHED = Confirmed((Line("1", "finished", True),))


class List:
    """A supplier of pages: `orders` by id, newest first; `meanwhile` happens while a page is under
    way.
    """

    def __init__(self, clock):
        self.clock = clock
        self.orders = {}
        self.asked = []
        self.answer = None
        self.meanwhile = lambda: None

    def find_page(self, page, gate):
        gate.sent_at = self.clock()
        self.asked.append(page)
        self.meanwhile()
        if self.answer is not None:
            return self.answer
        shown = sorted(self.orders, key=lambda order_id: -self.created(order_id))
        return {
            order_id: self.said(order_id) for order_id in shown[(page - 1) * SIZE : page * SIZE]
        }

    def created(self, order_id):
        return self.orders[order_id].created_at.timestamp()

    def said(self, order_id):
        return self.orders[order_id]


def dated(answer, created_at):
    return type(answer)(
        **{
            **{name: getattr(answer, name) for name in ("lines",) if hasattr(answer, name)},
            "created_at": datetime.fromtimestamp(created_at, UTC),
        }
    )


@pytest.fixture
def ledger(client, policies, clock):
    return make_ledger(client, policies, clock, pages=True)


@pytest.fixture
def shop(clock):
    return List(clock)


@pytest.fixture
def rechecks(ledger, shop, clock):
    question = LaneQuestion(LaneCalls(ledger.shelf), monotonic=clock)
    return PageTurn(ledger, question, {LANE: shop}, lambda: 0.0)


@pytest.fixture
def pending(ledger, shop, clock):
    """Makes orders that a confirm has left pending; the list shows them so."""

    def make(*ids):
        for number, order_id in enumerate(ids):
            created = START - 3600 - number * 60
            ledger.open(an_order(order_id, created_at=created, deadline_at=created + 86400))
            assert turn(ledger, order_id, Pending()) == "pending"
            shop.orders[order_id] = dated(Pending(), created)

    return make


@pytest.fixture
def trusted(ledger):
    """Single reads have borne out as many ends of pages as it takes."""
    ledger.scripts.client.hset(ledger.scripts.key("relograde", "lane", "-"), "pages_agreed", TRUST)


def order(ledger, order_id="R0"):
    return Views(ledger.shelf, (LANE,)).order("relograde", order_id)


def lane(ledger):
    return Views(ledger.shelf, (LANE,)).lane(LANE, ledger.time())


def says(shop, order_id, answer):
    shop.orders[order_id] = dated(answer, shop.created(order_id))


IDS = [f"R{number}" for number in range(6)]


# --- what a page writes ---------------------------------------------------------------------------


def test_one_page_answers_for_all_that_are_due(ledger, rechecks, shop, pending, clock):
    """Each is snoozed on its own schedule, as by a single read; one call of the budget is spent."""
    pending(*IDS)
    clock.advance(70)
    left = lane(ledger)["calls_left"]
    assert rechecks.turn(LANE) == "answered"
    assert shop.asked == [1]
    assert lane(ledger)["calls_left"] == left - 1
    for order_id in IDS:
        seen = order(ledger, order_id)
        assert (seen.state, seen.snoozes, seen.due_at) == ("pending", 2, clock() + 30)
    assert (
        Views(ledger.shelf, (LANE,)).show("relograde", "R0")["timeline"][-1]["event"] == "pending"
    )
    recount(ledger)


def test_one_that_is_nearly_due_is_answered_with_the_others(ledger, rechecks, pending, clock):
    """As much too early as it may be late; one that is further off keeps its time."""
    pending(*IDS[:4])
    clock.advance(4)
    pending("R4")
    clock.advance(9)
    assert ledger.dispatch(LANE, 9).picked == []
    assert rechecks.turn(LANE) == "answered"
    assert [order(ledger, order_id).snoozes for order_id in IDS[:5]] == [2, 2, 2, 2, 1]


def test_ends_are_checked_before_they_are_taken(ledger, rechecks, shop, pending, clock):
    """Three are asked singly at once; when these agree, a page ends the others."""
    pending(*IDS)
    for order_id in IDS:
        says(shop, order_id, FINISHED)
    clock.advance(20)
    rechecks.turn(LANE)
    checked = [order_id for order_id in IDS if order(ledger, order_id).page_says == "finished"]
    assert len(checked) == TRUST
    assert {order(ledger, order_id).state for order_id in IDS} == {"pending"}
    assert ledger.dispatch(LANE, 9).picked == sorted(checked)
    for order_id in checked:
        assert turn(ledger, order_id, FINISHED) == "confirmed"
    pending("R6")
    clock.advance(20)
    rechecks.turn(LANE)
    assert {order(ledger, order_id).state for order_id in IDS} == {"confirmed"}
    assert order(ledger, "R6").snoozes == 2
    recount(ledger)


def test_one_end_in_fifty_is_checked_for_ever(ledger, rechecks, shop, pending, trusted, clock):
    """Counted over pages."""
    ids = [f"R{number}" for number in range(60)]
    pending(*ids[:30])
    clock.advance(60 + NETWORK_DELAY)
    pending(*ids[30:])
    for half in (ids[:30], ids[30:]):
        for order_id in half:
            says(shop, order_id, FINISHED)
        clock.advance(30)
        assert rechecks.turn(LANE) == "answered"
    assert [order_id for order_id in ids if order(ledger, order_id).state == "pending"] == [ids[49]]
    assert order(ledger, ids[49]).page_says == "finished"


def test_an_end_without_anything_to_deliver_is_asked_about(
    ledger, rechecks, shop, pending, trusted, clock
):
    """A list may show less than a find: that is never `incomplete_delivery`."""
    pending(*IDS[:3])
    says(shop, "R0", Confirmed())
    says(shop, "R1", Confirmed((Line("1", "finished", False),)))
    clock.advance(20)
    rechecks.turn(LANE)
    assert [order(ledger, order_id).page_says for order_id in IDS[:3]] == [
        "finished",
        "finished",
        None,
    ]
    assert not order(ledger).incomplete
    assert turn(ledger, "R0", FINISHED) == "confirmed"


def test_created_permits_nothing(ledger, rechecks, shop, pending, trusted, clock):
    """A pending order that a page shows as not confirmed is asked singly, never confirmed again."""
    pending(*IDS[:3])
    for order_id in IDS[:3]:
        says(shop, order_id, Created())
    clock.advance(20)
    rechecks.turn(LANE)
    assert {order(ledger, order_id).page_says for order_id in IDS[:3]} == {"created"}
    calls = []
    assert (
        turn(ledger, "R0", lambda permit: calls.append(permit.call.kind) or Created())
        == "read_created_while_pending"
    )
    assert calls == ["read"]


def test_what_a_page_does_not_show_is_asked_singly(ledger, rechecks, shop, pending, clock):
    """At once, when by its date it belongs there."""
    pending(*IDS)
    del shop.orders["R2"]
    clock.advance(20)
    rechecks.turn(LANE)
    assert order(ledger, "R2").page_says == "missing"
    assert ledger.dispatch(LANE, 9).picked == ["R2"]
    assert turn(ledger, "R2", Pending()) == "pending"
    assert lane(ledger)["pages"] == "on"


# --- what it must leave alone ---------------------------------------------------------------------


def test_a_step_in_hand_is_not_disturbed(ledger, rechecks, shop, pending, trusted, clock):
    """Claimed before the page or while it is under way: claim, lease and version stay."""
    pending(*IDS)
    for order_id in IDS:
        says(shop, order_id, FINISHED)
    clock.advance(20)
    before = ledger.claim("relograde", "R0")
    held = {}
    shop.meanwhile = lambda: held.update(R1=ledger.claim("relograde", "R1"))
    rechecks.turn(LANE)
    for order_id, claimed in (("R0", before), ("R1", held["R1"])):
        raw = ledger.scripts.client.hgetall(ledger.scripts.key("relograde", "order", order_id))
        assert (raw["claim"], raw["state"], raw["version"]) == (
            claimed.claim,
            "pending",
            str(claimed.order.version),
        )
    assert {order(ledger, order_id).state for order_id in IDS[2:]} == {"confirmed"}
    recount(ledger)


def test_a_hint_while_a_page_is_under_way_is_not_lost(ledger, rechecks, shop, pending, clock):
    """The page was asked for before it, and its `pending` is older."""
    pending(*IDS)
    clock.advance(20)
    shop.meanwhile = lambda: ledger.hint("relograde", "R0")
    rechecks.turn(LANE)
    assert order(ledger).snoozes == 1
    assert order(ledger).due_at <= clock()
    assert order(ledger, "R1").snoozes == 2


def test_a_hint_before_a_page_is_not_answered_by_a_list_that_lags(
    ledger, rechecks, shop, pending, clock
):
    """`pending` is then asked about singly; an end is an end."""
    pending(*IDS)
    clock.advance(20)
    ledger.hint("relograde", "R0")
    rechecks.turn(LANE)
    assert (order(ledger).snoozes, order(ledger).page_says, order(ledger, "R1").snoozes) == (
        1,
        "pending",
        2,
    )
    assert ledger.dispatch(LANE, 9).picked == ["R0"]


def test_a_step_that_ended_while_a_page_was_under_way_stands(
    ledger, rechecks, shop, pending, trusted, clock
):
    """What it wrote is newer than the page's question, and is no contradiction."""
    pending(*IDS)
    clock.advance(20)
    shop.meanwhile = lambda: turn(ledger, "R0", FINISHED)
    assert rechecks.turn(LANE) == "answered"
    assert order(ledger).state == "confirmed"
    assert lane(ledger)["pages"] == "on"


def test_orders_of_other_states_are_not_touched(ledger, rechecks, shop, pending, trusted, clock):
    """An unresolved confirm is resolved by single reads alone."""
    pending(*IDS[:3])
    ledger.open(an_order("S1", created_at=START - 3601))
    turn(ledger, "S1", Unknown("read timeout", outage=True))
    shop.orders["S1"] = dated(Created(), START - 3601)
    clock.advance(60)
    before = order(ledger, "S1")
    assert rechecks.turn(LANE) == "answered"
    assert order(ledger, "S1") == before


def test_orders_of_another_account_are_not_touched(client, policies, clock, shop):
    """Its list is another, and so is its lane."""
    ledger = make_ledger(client, policies, clock, pages=True)
    for number, account in enumerate(("a", "a", "a", None)):
        created = START - 3600 - number * 60
        ledger.open(an_order(f"R{number}", account=account, created_at=created))
        turn(ledger, f"R{number}", Pending())
        shop.orders[f"R{number}"] = dated(Pending(), created)
    clock.advance(20)
    shown, _ = Pages(ledger.shelf).shown(Lane("relograde", "a"), shop.orders)
    assert {seen.order_id for seen in shown} == {"R0", "R1", "R2"}


def test_only_pending_orders_are_company(ledger, rechecks, pending, shop, clock):
    """A dead order that was hinted is read by itself."""
    pending("R0", "R1")
    ledger.open(an_order("D1"))
    turn(ledger, "D1", Rejected("out_of_stock"))
    clock.advance(20)
    ledger.hint("relograde", "D1")
    assert rechecks.turn(LANE) == "no_page"
    assert shop.asked == []


def test_after_a_restart_of_the_server_pages_go_on(ledger, rechecks, pending, clock):
    """The version alone would refuse every write of another generation."""
    pending(*IDS)
    ledger.scripts._run_id = lambda: "run-2"
    clock.advance(20)
    rechecks.turn(LANE)
    assert {order(ledger, order_id).snoozes for order_id in IDS} == {2}


# --- contradictions -------------------------------------------------------------------------------


def errors(caplog):
    return [record for record in caplog.records if record.levelno == logging.ERROR]


def test_a_read_that_denies_a_page_puts_pages_off(ledger, rechecks, shop, pending, clock, caplog):
    """Until a person says so; `lanes show` tells what it was."""
    pending(*IDS)
    for order_id in IDS:
        says(shop, order_id, FINISHED)
    clock.advance(20)
    rechecks.turn(LANE)
    claimed = ledger.claim("relograde", "R0")
    permit = ledger.permit(
        claimed, ledger.policies["relograde"].next_call(claimed.order, claimed.now)
    )
    step = ledger.policies["relograde"].decide(permit.order, permit.call, Pending(), ledger.time())
    written = ledger.write(permit.order, step, claim=claimed.claim)
    assert written.pages_off == "R0: a page said finished, a read denies it"
    assert ledger.write(permit.order, step, claim=claimed.claim).pages_off is None
    shown = lane(ledger)
    assert (shown["pages"], shown["pages_note"]) == ("contradicted", written.pages_off)
    assert shown["pages_since"]
    clock.advance(REST)
    assert not ledger.dispatch(LANE, 9).page
    ledger.scripts.client.hset(ledger.scripts.key("relograde", "lane", "-"), "pages_agreed", TRUST)
    Pages(ledger.shelf).switch(LANE, on=True)
    assert lane(ledger)["pages"] == "on"
    survey = Pages(ledger.shelf).survey(LANE)
    assert (survey.agreed, survey.listing) == (0, Listing())


def test_a_page_that_denies_an_end_is_put_off_and_nothing_of_it_is_taken(
    ledger, rechecks, shop, pending, clock, caplog
):
    """Said once at error, by whoever put it off."""
    pending(*IDS)
    clock.advance(20)
    assert turn(ledger, "R0", FINISHED) == "confirmed"
    clock.advance(LAG + 1)
    before = {order_id: order(ledger, order_id) for order_id in IDS}
    assert rechecks.turn(LANE) == "contradicted"
    assert {order_id: order(ledger, order_id) for order_id in IDS} == before
    assert lane(ledger)["pages"] == "contradicted"
    assert rechecks.turn(LANE) == "contradicted"
    [said] = errors(caplog)
    assert said.fields["note"] == "R0: a page says pending, it was confirmed before"
    assert lane(ledger)["in_flight"] == 0
    assert not ledger.dispatch(LANE, 9).page


def test_a_list_that_lags_a_moment_is_no_liar(ledger, rechecks, shop, pending, clock):
    """Five seconds."""
    pending(*IDS)
    clock.advance(20)
    turn(ledger, "R0", FINISHED)
    clock.advance(LAG)
    assert rechecks.turn(LANE) == "answered"
    assert lane(ledger)["pages"] == "on"


# --- pages that do not come -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "credit", "cause"),
    [
        (Blocked("rate_limited", 7.0), CREDIT - 1, "rate_limited"),
        (Unavailable("dns"), CREDIT - 1, None),
        (Unknown("HTTP 503", outage=True), CREDIT - 1, None),
        (Unknown("unreadable page"), 0.0, None),
        (Blocked("misconfigured"), 0.0, None),
        (Blocked("forbidden"), 0.0, None),
    ],
)
def test_a_page_that_does_not_come(
    ledger, rechecks, shop, pending, paging, clock, answer, credit, cause
):
    """What is wrong with pages alone costs no order and no lane anything; an outage is the
    lane's.
    """
    pending(*IDS)
    clock.advance(15 if credit == 0 else 20)
    before = {order_id: order(ledger, order_id) for order_id in IDS}
    shop.answer = answer
    assert rechecks.turn(LANE) == "no_answer"
    assert {order_id: order(ledger, order_id) for order_id in IDS} == before
    assert Pages(ledger.shelf).survey(LANE).listing.credit == credit
    assert lane(ledger)["cause"] == cause
    if cause is None:
        assert sorted(ledger.dispatch(LANE, 9).picked) == IDS, "asked singly in the meantime"
        clock.advance(LOOK_AGAIN + 10)
        assert ledger.dispatch(LANE, 9).page == (credit > 0)


def test_a_page_that_is_slow_keeps_nobody_waiting(ledger, rechecks, shop, pending, paging, clock):
    """From its tenth second on re-checks go singly; when it fails, for five more."""
    pending(*IDS)
    clock.advance(20)
    assert ledger.dispatch(LANE, 9).page
    shop.answer = Unknown("read timeout", outage=True)
    picked = []

    def meanwhile():
        for _ in range(5):
            clock.advance(10)
            picked.append(ledger.dispatch(LANE, 1).picked)

    shop.meanwhile = meanwhile
    assert rechecks.turn(LANE) == "no_answer"
    assert [len(ids) for ids in picked] == [0, 1, 1, 1, 1]
    assert len(ledger.dispatch(LANE, 1).picked) == 1
    clock.advance(LOOK_AGAIN)
    assert ledger.dispatch(LANE, 1).page


def test_pages_that_show_nothing_of_ours_are_given_up(ledger, rechecks, shop, pending, clock):
    """For ten minutes; nobody waits for them then."""
    pending(*IDS)
    for number in range(150):
        shop.orders[f"X{number}"] = dated(Created(), START - 60.0 * number)
    for order_id in IDS:
        del shop.orders[order_id]
    words = []
    for _ in range(60):
        clock.advance(10)
        dispatched = ledger.dispatch(LANE, 9)
        words += [rechecks.turn(LANE)] if dispatched.page else []
        for order_id in dispatched.picked:
            turn(ledger, order_id, Pending())
    assert len(shop.asked) <= CREDIT + 1
    assert all(order(ledger, order_id).snoozes > 5 for order_id in IDS)


# --- when a page has its turn ---------------------------------------------------------------------


@pytest.fixture
def paging(ledger, clock):
    """Pages have answered for enough lately."""
    ledger.scripts.client.hset(
        ledger.scripts.key("relograde", "lane", "-"), "paging_until", clock() + 1000
    )


def test_a_page_is_tried_when_enough_are_due(ledger, pending, clock):
    """Fewer are asked singly; without pages, all are."""
    pending(*IDS[:2])
    clock.advance(20)
    assert ledger.dispatch(LANE, 9) == (IDS[:2], clock() + 5, False)
    clock.advance(5)
    pending("R2", "R3")
    clock.advance(20)
    dispatched = ledger.dispatch(LANE, 9)
    assert (dispatched.picked, dispatched.page) == ([], True)


def test_a_page_is_given_to_one_dispatcher_and_comes_again_when_it_is_lost(ledger, pending, clock):
    """It is reserved like an order, and counts as one until it is permitted."""
    pending(*IDS)
    clock.advance(20)
    assert ledger.dispatch(LANE, 9).page
    assert members(ledger, "relograde", "reserved", "-") == {"|page": clock() + 5}
    assert ledger.dispatch(LANE, 9) == ([], ledger.dispatch(LANE, 9).soonest, False)
    assert lane(ledger)["due"] == 6
    clock.advance(5)
    assert ledger.dispatch(LANE, 9).page
    permit = LaneCalls(ledger.shelf).permit(LANE, KIND_PAGE, 0.0)
    assert permit.result == "permitted"
    assert members(ledger, "relograde", "reserved", "-") == {}
    clock.advance(10)
    assert not ledger.dispatch(LANE, 9).page, "one is under way"
    assert not ledger.scripts.client.hexists(
        ledger.scripts.key("relograde", "lane", "-"), "page_turns"
    )
    clock.advance(60)
    assert ledger.dispatch(LANE, 9).page, "its process is dead"


def test_re_checks_wait_for_company_while_pages_answer(ledger, rechecks, pending, paging, clock):
    """A quarter of their delay; alone they are asked singly then."""
    pending("R0")
    clock.advance(18)
    assert ledger.dispatch(LANE, 9) == ([], ledger.dispatch(LANE, 9).soonest, False)
    clock.advance(1)
    assert ledger.dispatch(LANE, 9).page
    assert rechecks.turn(LANE) == "no_page"
    assert members(ledger, "relograde", "reserved", "-") == {}
    assert ledger.dispatch(LANE, 9).picked == ["R0"]


def test_pages_that_answer_for_enough_are_waited_for(ledger, rechecks, pending, clock):
    """For five minutes after the last that did."""
    pending(*IDS)
    clock.advance(20)
    rechecks.turn(LANE)
    clock.advance(31)
    assert ledger.dispatch(LANE, 9) == ([], ledger.dispatch(LANE, 9).soonest, False)
    clock.advance(7)
    assert ledger.dispatch(LANE, 9).page


def test_a_hint_during_a_call_waits_for_no_company(ledger, pending, paging, clock):
    """It is remembered until the call's step is written, and pressing then."""
    pending("R0")
    clock.advance(20)

    def hinted(permit):
        assert ledger.hint("relograde", "R0") == "remembered"
        return Pending()

    assert turn(ledger, "R0", hinted) == "pending"
    raw = ledger.scripts.client.hgetall(ledger.scripts.key("relograde", "order", "R0"))
    assert float(raw["rank"]) == float(raw["due_at"]) == clock()
    assert ledger.dispatch(LANE, 9).page


def test_nobody_waits_for_pages_that_are_not_used(ledger, client, policies, clock, pending, paging):
    """Switched off by a person, or by the settings: due is due."""
    pending(*IDS)
    clock.advance(15)
    plain = make_ledger(client, policies, clock)
    Pages(ledger.shelf).switch(LANE, on=False)
    assert lane(ledger)["pages"] == "off"
    assert Views(plain.shelf, (LANE,)).lane(LANE, clock())["pages"] is None
    assert ledger.dispatch(LANE, 3) == (IDS[:3], clock() + 5, False)
    Pages(ledger.shelf).switch(LANE, on=True)
    assert plain.dispatch(LANE, 9).picked == IDS[3:]


def test_a_held_lane_asks_for_no_page(ledger, rechecks, pending, clock):
    """Its probe is an order or an account."""
    pending(*IDS)
    clock.advance(20)
    ledger.hold(LANE, "why")
    assert not ledger.dispatch(LANE, 9).page
    assert rechecks.turn(LANE) == "held"


def confirms(ledger, number, prefix="C"):
    for index in range(number):
        ledger.open(an_order(f"{prefix}{index:03}"))


def test_a_page_has_the_turn_of_one_re_check_in_ten(ledger, pending, paging, clock):
    """The turns that follow are kept for the next pages, twelve seconds apart, and their calls with
    them.
    """
    pending(*IDS)
    clock.advance(70)
    confirms(ledger, 60)
    first = ledger.dispatch(LANE, 100)
    assert first.page
    assert len(first.picked) == 45
    turns = ledger.scripts.client.hget(ledger.scripts.key("relograde", "lane", "-"), "page_turns")
    assert turns == "4"
    for order_id in first.picked:
        assert turn(ledger, order_id, FINISHED) == "confirmed"
    assert ledger.dispatch(LANE, 100) == ([], ledger.dispatch(LANE, 100).soonest, False)
    assert LaneCalls(ledger.shelf).permit(LANE, KIND_PAGE, 0.0).result == "permitted"
    ledger.scripts.client.delete(ledger.scripts.key("relograde", "leases", "-"))
    clock.advance(11)
    assert ledger.dispatch(LANE, 100) == ([], ledger.dispatch(LANE, 100).soonest, False)
    clock.advance(1)
    second = ledger.dispatch(LANE, 100)
    assert (second.picked, second.page) == ([], True)


def test_kept_turns_go_back_when_nothing_presses(ledger, rechecks, pending, paging, clock):
    """One page answered for all: its tenth is not spent in vain."""
    pending(*IDS)
    clock.advance(70)
    confirms(ledger, 60)
    first = ledger.dispatch(LANE, 100)
    for order_id in first.picked:
        turn(ledger, order_id, FINISHED)
    assert rechecks.turn(LANE) == "answered"
    second = ledger.dispatch(LANE, 100)
    assert (len(second.picked), second.page) == (4, False)
    assert all(order_id.startswith("C") for order_id in second.picked)


def test_what_no_page_answers_has_every_second_turn(ledger, pending, paging, clock):
    """And what was hinted or is to be asked singly: pages starve nobody."""
    pending(*IDS)
    clock.advance(70)
    before = order(ledger)
    ledger.write(
        before, Step(order=replace(before, page_says="finished"), event="page_says_finished")
    )
    confirms(ledger, 60)
    found = []
    for _ in range(4):
        dispatched = ledger.dispatch(LANE, 10)
        found += [
            ("page" if dispatched.page else None),
            *("R0" for one in dispatched.picked if one == "R0"),
        ]
        ledger.scripts.client.delete(ledger.scripts.key("relograde", "reserved", "-"))
        clock.advance(12)
    assert "R0" in found
    assert "page" in found


def test_the_settings_say_whether_pages_are_used(environment):
    """Only where there is a budget to be saved, and never at Logitrail, which has no list."""
    for batch, per_minute, expected in (
        ("on", "50", True),
        ("off", "50", False),
        ("on", "0", False),
    ):
        environment.setenv("RELOGRADE_BATCH_RECHECK", batch)
        environment.setenv("RELOGRADE_CALLS_PER_MINUTE", per_minute)
        limits = registry.limits(settings.load())
        assert (limits["relograde"].pages, limits["logitrail"].pages) == (expected, False)
