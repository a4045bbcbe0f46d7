"""Lane calls: about no single order, and yet one of the calls that a supplier counts."""

from decimal import Decimal

import pytest
from conftest import RETRY, START, an_order, make_ledger, members, turn

from schemas.lane import Lane
from worker.ledger.lane_calls import KIND_ACCOUNT, KIND_PAGE, LaneCalls
from worker.ledger.limits import NETWORK_DELAY
from worker.ledger.reads.views import Views
from worker.rules import interventions
from worker.rules.answers import Blocked, Confirmed, Line, NotFound, Rejected, Unavailable, Unknown
from worker.rules.words import SEND_WINDOW
from worker.turns.lane_question import LaneQuestion

KEY = Blocked("unauthorized")
TOO_LATE = Unavailable("too late", late=True)
FINISHED = Confirmed(lines=(Line("1", "finished", True),))
RICH = {"EUR": Decimal("10")}


@pytest.fixture
def calls(ledger):
    return LaneCalls(ledger.shelf)


def permit(calls, kind=KIND_ACCOUNT, every=60.0, account=None):
    return calls.permit(Lane("relograde", account), kind, every)


def lane(ledger):
    return ledger.scripts.client.hgetall(ledger.scripts.key("relograde", "lane", "-"))


def hold(ledger, answer=KEY, order_id="A"):
    ledger.open(an_order(order_id))
    assert turn(ledger, order_id, answer) == "blocked"


def test_one_of_a_kind_at_a_time_whoever_asks(ledger, calls):
    """Another process is told that it is busy; another kind and another lane are not."""
    assert permit(calls, every=0.0).result == "permitted"
    assert permit(LaneCalls(ledger.shelf), every=0.0).result == "busy"
    assert permit(calls, KIND_PAGE).result == "permitted"
    assert permit(calls, account="a").result == "permitted"


def test_a_dead_process_frees_it_by_its_lease(ledger, calls, clock):
    """60 s: the longest call and its margin.

    What it says afterwards corrects the budget and nothing else.
    """
    lost = permit(calls)
    clock.advance(59.9)
    assert permit(calls, every=0.0).result == "busy"
    clock.advance(0.2)
    other = permit(calls, every=0.0)
    assert other.result == "permitted"
    assert calls.settle(lost, KEY, START + 1) is None
    assert "held" not in lane(ledger)
    assert permit(calls, every=0.0).result == "busy", "the other one still has it"
    assert members(ledger, "relograde", "calls", "-")[lost.token] == START + 61 + NETWORK_DELAY


def test_a_minimum_interval_per_kind(calls, clock):
    """From permit to permit, however long the call took."""
    calls.settle(permit(calls), RICH)
    clock.advance(59.9)
    assert permit(calls).result == "early"
    assert permit(calls, KIND_PAGE).result == "permitted"
    clock.advance(0.1)
    assert permit(calls).result == "permitted"


def test_it_is_spent_from_the_lane_s_budget(client, policies, clock):
    """The slot is free 60 s and the way after the first byte, or after the latest moment at which
    it can have left.
    """
    ledger = make_ledger(client, policies, clock, calls_per_minute=2)
    calls = LaneCalls(ledger.shelf)
    ledger.open(an_order("A"))
    first = permit(calls)
    assert members(ledger, "relograde", "calls", "-") == {
        first.token: START + SEND_WINDOW + 60 + NETWORK_DELAY
    }
    assert turn(ledger, "A", FINISHED) == "confirmed"
    assert permit(calls, KIND_PAGE).result == "no_budget"
    calls.settle(first, RICH, START + 2)
    assert members(ledger, "relograde", "calls", "-")[first.token] == START + 62 + NETWORK_DELAY
    ledger.open(an_order("B"))
    assert turn(ledger, "B", FINISHED) == "no_budget"


def test_a_refused_one_spends_nothing(client, policies, clock):
    """Neither budget nor lease nor interval."""
    ledger = make_ledger(client, policies, clock, calls_per_minute=1)
    calls = LaneCalls(ledger.shelf)
    ledger.open(an_order("A"))
    turn(ledger, "A", FINISHED)
    assert permit(calls).result == "no_budget"
    assert members(ledger, "relograde", "leases", "-") == {}
    clock.advance(60 + NETWORK_DELAY)
    assert permit(calls).result == "permitted"


def test_it_counts_among_the_calls_in_flight(client, policies, clock):
    """Neither it nor orders pass the lane's maximum; `waiting` counts orders alone."""
    ledger = make_ledger(client, policies, clock, max_in_flight=2)
    calls = LaneCalls(ledger.shelf)
    for order_id in ("A", "B", "C"):
        ledger.open(an_order(order_id))
    call = permit(calls)
    assert ledger.dispatch(Lane("relograde"), 9)[0] == ["A"]
    ledger.claim("relograde", "A")
    assert permit(calls, KIND_PAGE).result == "later"
    assert ledger.claim("relograde", "B").result == "later"
    shown = Views(ledger.shelf, [Lane("relograde")]).lane(Lane("relograde"), clock())
    assert (shown["in_flight"], shown["waiting"], shown["due"]) == (2, 0, 2)
    calls.settle(call, RICH)
    assert ledger.claim("relograde", "B").result == "claimed"


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        (KEY, "unauthorized"),
        (Blocked("rate_limited", 20.0), "rate_limited"),
        (Blocked("forbidden"), None),
        (Blocked("misconfigured"), None),
        (Unknown("read timeout", outage=True), None),
        (Unknown("unreadable accounts"), None),
        (RICH, None),
    ],
)
def test_what_it_says_of_the_lane(ledger, calls, answer, held):
    """A wrong key and 429 hold it; what may be wrong with this path alone does not, nor does one
    failure.
    """
    assert calls.settle(permit(calls), answer) == ("held" if held else None)
    assert lane(ledger).get("held") == held
    assert "passed_at" not in lane(ledger), "it says nothing of orders"


def test_it_is_one_of_the_failures_that_make_an_outage(ledger, calls, clock):
    """Five different ones in a row; one that gets through begins anew."""
    for number in range(4):
        ledger.open(an_order(f"R{number}"))
        turn(ledger, f"R{number}", Unavailable("dns"))
    call = permit(calls)
    assert calls.settle(call, Unavailable("dns")) == "held"
    assert lane(ledger)["held"] == "outage"
    clock.advance(2)
    turn(ledger, ledger.dispatch(Lane("relograde"), 9)[0][0], Rejected("out_of_stock"))
    assert "held" not in lane(ledger)
    turn(ledger, "R1", Unavailable("dns"))
    calls.settle(permit(calls, KIND_PAGE), {})
    assert "failing" not in lane(ledger)


def test_one_that_came_too_late_says_nothing(ledger, calls, clock):
    """Nothing was sent: the row of failures goes on, no hold ends, and the probe is made again at
    once.
    """
    for number in range(4):
        ledger.open(an_order(f"R{number}"))
        turn(ledger, f"R{number}", Unavailable("dns"))
    assert calls.settle(permit(calls), TOO_LATE) is None
    assert lane(ledger)["failing"].count("R") == 4
    assert "held" not in lane(ledger)
    hold(ledger)
    clock.advance(RETRY[0])
    assert calls.settle(permit(calls), TOO_LATE) is None
    assert lane(ledger)["held"] == "unauthorized"
    assert permit(calls).result == "permitted"


def test_settling_twice_is_harmless(ledger, calls):
    """The answer of the script was lost."""
    call = permit(calls)
    assert calls.settle(call, KEY) == "held"
    before = lane(ledger)
    assert calls.settle(call, KEY) is None
    assert lane(ledger) == before


# --- as the probe of a held lane ------------------------------------------------------------------


@pytest.mark.parametrize("cause", ["unauthorized", "forbidden"])
def test_the_accounts_are_the_probe_of_a_key(ledger, calls, clock, cause):
    """At its time and not before; it gets through, and the lane is released."""
    hold(ledger, Blocked(cause))
    assert permit(calls).result == "held"
    clock.advance(RETRY[0])
    assert permit(calls, KIND_PAGE).result == "held", "a page is no probe"
    probe = permit(calls)
    assert probe.result == "permitted"
    assert lane(ledger)["probe"] == "|account"
    assert ledger.dispatch(Lane("relograde"), 9)[0] == [], "one probe only"
    assert calls.settle(probe, RICH) == "released"
    assert ledger.dispatch(Lane("relograde"), 9)[0] == ["A"]


def test_a_lane_with_nothing_waiting_is_not_probed(ledger, calls, clock):
    """There is nobody to let go."""
    hold(ledger)
    ledger.change("relograde", "A", interventions.withdraw)
    clock.advance(9999)
    assert permit(calls).result == "held"
    ledger.open(an_order("B"))
    assert permit(calls).result == "permitted"


def test_an_order_waits_a_minute_for_that_probe(client, policies, clock):
    """Should nobody be there to look at the accounts."""
    ledger = make_ledger(client, policies, clock, accounts=True)
    hold(ledger)
    clock.advance(RETRY[0] + 59)
    assert ledger.dispatch(Lane("relograde"), 9)[0] == []
    clock.advance(1)
    assert ledger.dispatch(Lane("relograde"), 9)[0] == ["A"]


@pytest.mark.parametrize("cause", ["company_not_verified", "misconfigured", "rate_limited"])
def test_other_causes_are_tested_by_orders(ledger, calls, clock, cause):
    """The accounts cannot show that they are gone, or an order's call shows it just as well."""
    hold(ledger, Blocked(cause))
    clock.advance(9999)
    assert permit(calls).result == "held"
    assert ledger.dispatch(Lane("relograde"), 9)[0] == ["A"]


def test_a_persons_hold_permits_nothing(ledger, calls, clock):
    """Not even as a probe."""
    ledger.hold(Lane("relograde"), "stop")
    clock.advance(9999)
    assert permit(calls).result == "held"


@pytest.mark.parametrize("answer", [KEY, Blocked("forbidden"), Unavailable("dns")])
def test_a_probe_that_is_blocked_makes_the_interval_grow(ledger, calls, clock, answer):
    """As an order that was the probe does: RETRY_SECONDS; the minimum interval of the kind is not
    waited for.
    """
    hold(ledger)
    for interval in RETRY[:2]:
        clock.advance(interval - 0.1)
        assert permit(calls).result == "held"
        clock.advance(0.1)
        assert calls.settle(permit(calls), answer) is None
    assert float(lane(ledger)["probe_at"]) == clock() + RETRY[2]


def test_every_third_probe_is_an_order(ledger, calls, clock):
    """Perhaps only the path of the accounts is closed."""
    hold(ledger)
    for interval in RETRY[:2]:
        clock.advance(interval)
        calls.settle(permit(calls), Blocked("unauthorized"))
    clock.advance(RETRY[2])
    assert permit(calls).result == "held"
    assert ledger.dispatch(Lane("relograde"), 9)[0] == ["A"]
    turn(ledger, "A", KEY)
    clock.advance(9999)
    assert permit(calls).result == "permitted"


def test_it_is_not_believed_twice(ledger, calls, clock):
    """It got through and orders are blocked again: they are the probes, until one of them has got
    through.
    """
    hold(ledger)
    clock.advance(RETRY[0])
    calls.settle(permit(calls), RICH)
    assert turn(ledger, "A", KEY) == "blocked"
    clock.advance(RETRY[0])
    assert permit(calls).result == "held"
    assert ledger.dispatch(Lane("relograde"), 9)[0] == ["A"]
    assert turn(ledger, "A", FINISHED) == "confirmed"
    hold(ledger, order_id="B")
    clock.advance(RETRY[0])
    assert permit(calls, every=0.0).result == "permitted"


def test_a_lost_probe_is_followed_by_another(ledger, calls, clock):
    """At the end of its lease."""
    hold(ledger)
    clock.advance(RETRY[0])
    permit(calls)
    clock.advance(59.9)
    assert permit(calls).result == "busy"
    clock.advance(0.2)
    assert permit(calls).result == "permitted"


def test_it_proves_nothing_of_orders_that_are_not_found(ledger, calls, clock):
    """The wrong environment has accounts too: the hold stays, and so does what was counted."""
    for number in range(3):
        ledger.open(an_order(f"R{number}"))
    early = permit(calls)
    for number in range(2):
        turn(ledger, f"R{number}", NotFound())
    assert calls.settle(early, RICH) is None
    late = permit(calls, KIND_PAGE)
    turn(ledger, "R2", NotFound())
    assert lane(ledger)["held"] == "not_found"
    assert calls.settle(late, {}) is None
    assert lane(ledger)["held"] == "not_found"


def test_one_that_was_under_way_releases_an_outage(ledger, calls):
    """The supplier answers again."""
    call = permit(calls)
    for number in range(5):
        ledger.open(an_order(f"R{number}"))
        turn(ledger, f"R{number}", Unavailable("dns"))
    assert lane(ledger)["held"] == "outage"
    assert calls.settle(call, RICH) == "released"


# --- the making of one ----------------------------------------------------------------------------


def test_a_question_is_made_under_a_gate_and_timed_by_the_ledger(calls):
    """Its first byte may leave within five seconds of the asking for the permit."""
    time = iter([100.0])

    def question(gate):
        assert (gate.opened_at, gate.send_within) == (100.0, SEND_WINDOW)
        gate.sent_at = 100.5
        return RICH

    asked = LaneQuestion(calls, monotonic=lambda: next(time)).ask(
        Lane("relograde"), KIND_ACCOUNT, 60.0, question
    )
    assert (asked.answer, asked.sent_at) == (RICH, START + 0.5)


def test_a_question_that_is_not_permitted_is_not_asked(calls):
    """And says why."""
    permit(calls)
    assert (
        LaneQuestion(calls).ask(Lane("relograde"), KIND_ACCOUNT, 60.0, lambda gate: 1 / 0) == "busy"
    )
