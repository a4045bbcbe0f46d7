"""Lanes: who is looked at next, how many calls a supplier gets, and what holds a lane and releases
it.
"""

from itertools import pairwise

import pytest
from conftest import RETRY, START, an_order, make_ledger, members, recount, turn

from schemas.lane import Lane
from worker.ledger.limits import HARDLY_IN_TIME, NETWORK_DELAY, PROMOTE
from worker.ledger.reads.views import Views
from worker.rules.answers import (
    Blocked,
    Confirmed,
    Created,
    Line,
    NotFound,
    Pending,
    Rejected,
    Unavailable,
    Unknown,
)
from worker.rules.words import CONFIRM, SEND_WINDOW, Call

LAST = START - 3600 + 86400 - 30
FINISHED = Confirmed(lines=(Line("1", "finished", True),))
TIMEOUT = Unknown("read timeout", outage=True)
TOO_LATE = Unavailable("too late", late=True)
KEY = Blocked("unauthorized")


def opened(ledger, *ids, **changed):
    for number, order_id in enumerate(ids):
        created = START - 3600 + number
        ledger.open(
            an_order(order_id, **{"created_at": created, "deadline_at": created + 86400, **changed})
        )


def rung(ledger, limit=100, supplier="relograde", account=None):
    return ledger.dispatch(Lane(supplier, account), limit)[0]


def lane(ledger, name="-"):
    return ledger.scripts.client.hgetall(ledger.scripts.key("relograde", "lane", name))


# --- order ----------------------------------------------------------------------------------------


def test_the_earliest_deadline_is_first(ledger):
    """Not who came first."""
    for order_id, created in (("A", START - 10), ("B", START - 30), ("C", START - 20)):
        ledger.open(an_order(order_id, created_at=created, deadline_at=created + 86400))
    assert rung(ledger, 2) == ["B", "C"]
    assert rung(ledger, 2) == ["A"]
    assert rung(ledger, 2) == []


def test_a_dispatch_reserves_for_five_seconds(ledger, clock):
    """A lost doorbell costs five seconds; the order never leaves the sets (4)."""
    opened(ledger, "A")
    assert rung(ledger) == ["A"]
    recount(ledger)
    clock.advance(4.9)
    assert rung(ledger) == []
    clock.advance(0.1)
    assert rung(ledger) == ["A"]
    assert ledger.dispatch(Lane("relograde"), 9) == ([], clock() + 5, False)


def test_a_claimed_order_is_not_rung_for_until_its_lease_ends(ledger, clock):
    """A step is being made; a dead process is found by the end of its lease (4)."""
    opened(ledger, "A")
    rung(ledger)
    ledger.claim("relograde", "A")
    clock.advance(59.9)
    assert rung(ledger) == []
    clock.advance(0.1)
    assert rung(ledger) == ["A"]
    recount(ledger)


def test_a_retry_is_rung_for_when_it_is_due(ledger, clock):
    """And dispatch says when the next one falls due."""
    opened(ledger, "A")
    turn(ledger, "A", Unavailable())
    assert ledger.dispatch(Lane("relograde"), 9) == ([], START + RETRY[0], False)
    clock.advance(RETRY[0])
    assert rung(ledger) == ["A"]


def test_the_nearest_deadline_does_not_wait_among_many_that_fall_due_at_once(
    client, policies, clock
):
    """More than one dispatch can move to the ready ones fall due in one moment; the last of them by
    name dies first.
    """
    ledger = make_ledger(client, policies, clock, calls_per_minute=0)
    many = [f"a{number:04d}" for number in range(PROMOTE + 20)]
    opened(ledger, *many)
    ledger.open(an_order("z", created_at=START - 80000, deadline_at=START - 80000 + 86400))
    for order_id in (*many, "z"):
        turn(ledger, order_id, Unavailable())
        ledger.release(Lane("relograde"))
    assert len(members(ledger, "relograde", "due", "-")) == len(many) + 1, (
        "neither hold nor budget kept one ready"
    )
    clock.advance(RETRY[0])
    assert rung(ledger, 1) == ["z"]
    recount(ledger)
    ledger.dispatch(Lane("relograde"), 0)
    assert members(ledger, "relograde", "due", "-").keys() == {"z"}, "the others followed"


def test_nor_does_it_behind_nearer_ones_that_wait_for_something_else(client, policies, clock):
    """Deadlines are kept for all lanes of a supplier: another lane's, held, are passed by after a
    few dispatches.
    """
    ledger = make_ledger(client, policies, clock, calls_per_minute=0)
    many = [f"a{number:04d}" for number in range(PROMOTE * 5)]
    opened(ledger, *many)
    opened(ledger, "x", account="a", created_at=START - 84000, deadline_at=START + 2400)
    opened(ledger, "z", created_at=START - 83900, deadline_at=START + 2500)
    for order_id in (*many, "z"):
        turn(ledger, order_id, Unavailable())
        ledger.release(Lane("relograde"))
    clock.advance(RETRY[0])
    assert rung(ledger, 1) != ["z"], "the nearest one is of the other lane"
    assert ["z"] in [rung(ledger, 1) for _ in range(3)]
    assert len(members(ledger, "relograde", "due", "-")) > PROMOTE, (
        "it did not come with all the others"
    )
    recount(ledger)


def test_confirms_come_before_rechecks_which_keep_a_tenth(ledger, clock):
    """Of forty looks at least four are re-checks, and no more than that while confirms wait."""
    pending = [f"p{number}" for number in range(10)]
    opened(ledger, *pending)
    for order_id in pending:
        turn(ledger, order_id, Pending())
    clock.advance(70)
    opened(ledger, *(f"c{number:02}" for number in range(60)))
    picked = rung(ledger, 40)
    assert len(picked) == 40
    assert [index + 1 for index, order_id in enumerate(picked) if order_id[0] == "p"] == [
        10,
        20,
        30,
        40,
    ]
    assert [order_id for order_id in picked if order_id[0] == "c"] == [
        f"c{number:02}" for number in range(36)
    ]


def test_rechecks_use_what_confirms_leave(ledger, clock):
    """By the time that they have waited."""
    opened(ledger, "A", "B")
    turn(ledger, "B", Pending())
    clock.advance(1)
    turn(ledger, "A", Pending())
    clock.advance(20)
    opened(ledger, "C")
    assert rung(ledger) == ["C", "B", "A"]


def test_a_question_ranks_with_the_confirms_by_its_deadline(ledger, clock):
    """Ask and confirm are one queue: the earlier deadline goes first."""
    opened(ledger, "A", "B", "C")
    turn(ledger, "B", TIMEOUT)
    clock.advance(2)
    assert rung(ledger) == ["A", "B", "C"]


def test_a_question_that_comes_too_late_for_its_confirm_goes_with_the_rechecks(ledger, clock):
    """It saves no order, so it takes no call from one that can still be saved (but for the
    tenth).
    """
    opened(ledger, "late")
    turn(ledger, "late", TIMEOUT)
    clock.now = LAST + 1
    alive = [f"{number:02}" for number in range(12)]
    opened(ledger, *alive, created_at=START, deadline_at=START + 86400)
    picked = rung(ledger)
    assert picked == [*alive[:9], "late", *alive[9:]]
    recount(ledger)


def test_an_order_that_can_hardly_be_served_yields_to_one_that_can(client, policies, clock):
    """A call that leaves too late is a call lost to another; while there are calls enough, both
    have one.
    """
    ledger = make_ledger(client, policies, clock, calls_per_minute=2)
    opened(ledger, "A", "B", "C")
    clock.now = LAST - HARDLY_IN_TIME + 0.5
    assert rung(ledger) == ["B", "C"]
    clock.advance(5)
    assert rung(ledger) == ["A", "B", "C"], "they die without a call"
    ledger = make_ledger(client, policies, clock, calls_per_minute=9)
    opened(ledger, "D", created_at=clock() - 86400 + 30.5, deadline_at=clock() + 30.5)
    assert rung(ledger) == ["D"]


def test_those_who_die_take_no_place_in_the_budget(client, policies, clock):
    """And only so many at a time, or their doorbells would keep all others waiting."""
    ledger = make_ledger(client, policies, clock, calls_per_minute=2, max_in_flight=3)
    opened(ledger, *(f"dead{number}" for number in range(7)))
    clock.now = LAST + 10
    assert len(rung(ledger, 5)) == 5
    opened(ledger, "A", "B", created_at=START, deadline_at=START + 86400)
    assert rung(ledger, 5) == ["A", "B"]
    assert turn(ledger, "dead0", FINISHED) == "dead"
    assert rung(ledger, 5) == ["dead5"]
    recount(ledger)
    assert ledger.scripts.client.zcard(ledger.scripts.key("relograde", "dying", "-")) == 5


def test_dispatch_says_when_the_next_call_is_free(client, policies, clock):
    """What waits for the budget is looked at in that moment, and not up to a tick later: no part of
    it is wasted.
    """
    ledger = make_ledger(client, policies, clock, calls_per_minute=1)
    opened(ledger, "A", "B")
    turn(ledger, "A", FINISHED)
    clock.advance(3)
    assert ledger.dispatch(Lane("relograde"), 9) == ([], START + 60 + NETWORK_DELAY, False)
    clock.now = START + 60 + NETWORK_DELAY
    assert rung(ledger) == ["B"]


# --- how many -------------------------------------------------------------------------------------


def test_no_more_than_max_in_flight(client, policies, clock):
    """Reserved and claimed together."""
    ledger = make_ledger(client, policies, clock, max_in_flight=3)
    opened(ledger, "A", "B", "C", "D", "E")
    assert rung(ledger, 2) == ["A", "B"]
    ledger.claim("relograde", "A")
    assert rung(ledger) == ["C"]
    assert rung(ledger) == []
    clock.advance(5)
    assert rung(ledger) == ["B", "C"], "the claim counts for as long as its lease"


def test_never_more_calls_in_any_minute_as_the_supplier_counts_them(client, policies, clock):
    """Budget 5: whenever a call arrives, within two seconds, at most five do in the sixty seconds
    around it (10).
    """
    ledger = make_ledger(client, policies, clock, calls_per_minute=5)
    opened(ledger, *(f"{number:03}" for number in range(60)))
    sent = []
    for _ in range(380):
        for order_id in rung(ledger):
            before = clock()

            def late(permit, before=before):
                sent.append(before)
                return FINISHED

            turn(ledger, order_id, late)
        clock.advance(1.0)
    assert len(sent) >= 25
    arrived = [(at, at + 2.0) for at in sent]
    for first, sixth in zip(arrived, arrived[5:], strict=False):
        assert sixth[0] - first[1] >= 60 - 0.001


def test_a_call_whose_end_is_unknown_keeps_its_slot_for_the_longest(client, policies, clock):
    """Its first byte may leave until `send_by`; when it is known when it left, the slot is free
    accordingly (10).
    """
    ledger = make_ledger(client, policies, clock, calls_per_minute=1)
    opened(ledger, "A", "B")
    claim = ledger.claim("relograde", "A")
    permit = ledger.permit(claim, Call(kind=CONFIRM))
    calls = members(ledger, "relograde", "calls", "-")
    assert calls == {claim.claim: START + SEND_WINDOW + 60 + NETWORK_DELAY}
    clock.advance(20)
    step = policies["relograde"].decide(permit.order, permit.call, TIMEOUT, clock())
    ledger.write(permit.order, step, claim=claim.claim, sent_at=START + 2)
    assert members(ledger, "relograde", "calls", "-") == {claim.claim: START + 62 + NETWORK_DELAY}
    clock.now = START + 61.9 + NETWORK_DELAY
    assert turn(ledger, "B", FINISHED) == "no_budget"
    clock.now = START + 62 + NETWORK_DELAY
    assert turn(ledger, "B", FINISHED) == "confirmed"


def test_nobody_is_rung_for_without_budget(client, policies, clock):
    """Reserved orders count as calls that will be made."""
    ledger = make_ledger(client, policies, clock, calls_per_minute=2)
    opened(ledger, "A", "B", "C")
    assert rung(ledger) == ["A", "B"]
    assert rung(ledger) == []
    turn(ledger, "A", FINISHED)
    turn(ledger, "B", FINISHED)
    assert rung(ledger) == []
    clock.advance(60 + NETWORK_DELAY)
    assert rung(ledger) == ["C"]


def test_no_limit_is_no_limit(client, policies, clock):
    """Zero calls per minute: Logitrail's default."""
    ledger = make_ledger(client, policies, clock, max_in_flight=100)
    for number in range(80):
        ledger.open(an_order(f"L{number:02}", "logitrail"))
    assert len(rung(ledger, supplier="logitrail")) == 80


def test_lanes_are_apart(ledger):
    """One lane's hold and budget are nothing to another (12)."""
    opened(ledger, "A")
    opened(ledger, "B", account="a")
    ledger.hold(Lane("relograde"), "stop")
    assert rung(ledger) == []
    assert rung(ledger, account="a") == ["B"]
    recount(ledger, accounts=(None, "a"))


# --- holds by cause -------------------------------------------------------------------------------


def held(ledger, *ids, answer=KEY):
    """A lane that the first of these orders got held."""
    opened(ledger, *ids)
    rung(ledger, 1)
    turn(ledger, ids[0], answer)
    return lane(ledger)


def test_a_wrong_key_holds_the_lane_and_no_order_moves(ledger):
    """The order stays due; nothing is rung for until the first probe (7)."""
    state = held(ledger, "A", "B", "C")
    assert (state["held"], float(state["held_since"]), float(state["probe_at"])) == (
        "unauthorized", START, START + RETRY[0],
    )  # fmt: skip
    orders = recount(ledger)
    assert (orders["A"].state, orders["A"].failures, orders["A"].due_at) == ("accepted", 0, START)
    assert rung(ledger) == []
    assert ledger.claim("relograde", "B").result == "held"


def test_probes_go_out_one_an_interval_by_different_orders(ledger, clock):
    """RETRY_SECONDS are the intervals, the last repeats; the order is a different one each time
    (7).
    """
    held(ledger, "A", "B", "C")
    probes, at = [], []
    for _ in range(240):
        for order_id in rung(ledger):
            probes.append(order_id)
            at.append(clock() - START)
            assert turn(ledger, order_id, KEY) == "blocked"
        clock.advance(0.5)
    assert at == pytest.approx([2, 12, 42, 72, 102], abs=2.1)
    assert all(one != two for one, two in pairwise(probes))
    assert set(probes) == {"A", "B", "C"}


def test_the_first_that_gets_through_releases_the_lane(ledger, clock):
    """And everybody goes on."""
    held(ledger, "A", "B", "C")
    clock.advance(2)
    (probe,) = rung(ledger)
    assert rung(ledger) == [], "one probe only"
    assert turn(ledger, probe, FINISHED) == "confirmed"
    assert "held" not in lane(ledger)
    assert sorted([*rung(ledger), probe]) == ["A", "B", "C"]


def test_a_call_that_was_under_way_releases_too_and_one_that_fails_extends_nothing(ledger, clock):
    """What was permitted before the hold still speaks of the lane."""
    opened(ledger, "A", "B")
    rung(ledger)

    def meanwhile(permit):
        turn(ledger, "B", KEY)
        return Blocked("rate_limited")

    turn(ledger, "A", meanwhile)
    assert (lane(ledger)["held"], float(lane(ledger)["probe_at"])) == (
        "rate_limited",
        START + RETRY[0],
    )


def test_a_supplier_that_names_a_time_is_believed_up_to_five_minutes(ledger, clock):
    """`Retry-After` beside RETRY_SECONDS, and no longer than 300 s."""
    held(ledger, "A", "B", answer=Blocked("rate_limited", 20.0))
    assert float(lane(ledger)["probe_at"]) == START + 20
    clock.advance(20)
    (probe,) = rung(ledger)
    turn(ledger, probe, Blocked("rate_limited", 9999.0))
    assert float(lane(ledger)["probe_at"]) == clock() + 300


def test_another_retry_after_during_a_hold_makes_it_longer(ledger):
    """Two were under way: the later time counts."""
    opened(ledger, "A", "B", "C")
    rung(ledger)

    def meanwhile(permit):
        turn(ledger, "B", Blocked("rate_limited", 5.0))
        return Blocked("rate_limited", 50.0)

    turn(ledger, "A", meanwhile)
    assert float(lane(ledger)["probe_at"]) == START + 50


def test_a_lost_probe_is_followed_by_another(ledger, clock):
    """Its doorbell was lost: the next goes out when its reservation ends."""
    held(ledger, "A", "B", "C")
    clock.advance(2)
    first = rung(ledger)
    clock.advance(5)
    second = rung(ledger)
    assert len(first) == len(second) == 1
    assert first != second
    assert ledger.claim("relograde", first[0]).result == "held"


def test_a_probe_that_needs_no_call_does_not_use_up_the_interval(ledger, clock):
    """It tested nothing: the next one goes out soon, and not when its lease would have ended
    (7).
    """
    ledger.open(an_order("L1", "logitrail"))
    ledger.open(an_order("L2", "logitrail"))
    turn(ledger, "L2", KEY, "logitrail")
    ledger.scripts.client.zrem(ledger.scripts.key("logitrail", "ready", "-", "confirm"), "L2")
    claim = ledger.load("logitrail", "L1").order
    ledger.scripts.client.hset(
        ledger.scripts.key("logitrail", "order", "L1"),
        mapping={"send_by": START, "state": "submitted", "version": claim.version},
    )
    clock.advance(2)
    assert rung(ledger, supplier="logitrail") == ["L1"]
    assert turn(ledger, "L1", TIMEOUT, "logitrail") == "settling"
    probe_at = ledger.scripts.client.hget(ledger.scripts.key("logitrail", "lane", "-"), "probe_at")
    assert float(probe_at) <= clock() + RETRY[1]


def test_a_persons_hold_ends_by_a_person(ledger, clock):
    """No probe, and no answer releases or replaces it; only deadlines move."""
    opened(ledger, "A", "B")
    rung(ledger, 1)

    def meanwhile(permit):
        ledger.hold(Lane("relograde"), "maintenance")
        return FINISHED

    turn(ledger, "A", meanwhile)
    assert (lane(ledger)["held"], lane(ledger)["note"]) == ("person", "maintenance")
    clock.advance(9999)
    assert rung(ledger) == []
    ledger.release(Lane("relograde"))
    assert "held" not in lane(ledger)
    assert rung(ledger) == ["B"]


def test_a_persons_hold_is_not_replaced_by_a_cause(ledger):
    """Blocked while a person holds the lane: the person still does."""
    opened(ledger, "A")
    rung(ledger)

    def meanwhile(permit):
        ledger.hold(Lane("relograde"), "n")
        return KEY

    turn(ledger, "A", meanwhile)
    assert lane(ledger)["held"] == "person"


# --- streaks --------------------------------------------------------------------------------------


def test_three_different_orders_in_a_row_not_found_hold_the_lane(ledger, clock):
    """The wrong environment is not their fault; the same one three times is no streak (7)."""
    opened(ledger, "A", "B", "C")
    for order_id, wait in (("A", 0), ("A", 2), ("A", 10), ("B", 0)):
        clock.advance(wait)
        turn(ledger, order_id, NotFound())
    assert "held" not in lane(ledger)
    turn(ledger, "C", NotFound())
    assert lane(ledger)["held"] == "not_found"
    assert all(order.state == "accepted" for order in recount(ledger).values())


def test_one_that_is_found_breaks_the_streak(ledger):
    """In a row means in a row."""
    opened(ledger, "A", "B", "C", "D")
    for order_id, answer in (
        ("A", NotFound()),
        ("B", NotFound()),
        ("C", FINISHED),
        ("D", NotFound()),
    ):
        turn(ledger, order_id, answer)
    assert "held" not in lane(ledger)


def test_a_lane_that_is_held_for_not_found_is_released_by_a_find(ledger, clock):
    """And a second not-found after that is the order's own (7)."""
    opened(ledger, "A", "B", "C", "D")
    for order_id in "ABC":
        turn(ledger, order_id, NotFound())
    clock.advance(2)
    for _ in range(40):
        for order_id in rung(ledger):
            turn(ledger, order_id, FINISHED if order_id == "D" else NotFound())
        clock.advance(5)
    orders = recount(ledger)
    assert orders["D"].state == "confirmed"
    assert {orders[order_id].reason for order_id in "ABC"} == {"order_not_found"}


def test_orders_that_are_not_found_just_after_another_was_hold_nothing(ledger, clock):
    """For a minute a find shows that key and environment are right."""
    opened(ledger, *"ABCDEFG")
    turn(ledger, "A", FINISHED)
    for order_id in "BCD":
        turn(ledger, order_id, NotFound())
    assert "held" not in lane(ledger)
    clock.advance(61)
    turn(ledger, "E", NotFound())
    assert lane(ledger)["held"] == "not_found"


def test_while_orders_are_not_found_every_second_probe_is_the_newest(ledger, clock):
    """A lane whose first orders are unknown is opened by the first good one that comes."""
    opened(ledger, *"ABCDEFGH")
    for order_id in "ABC":
        turn(ledger, order_id, NotFound())
    probes = []
    for _ in range(4):
        clock.advance(5)
        (probe,) = rung(ledger)
        probes.append(probe)
        turn(ledger, probe, NotFound())
    assert probes[1::2] == ["H", "H"]
    assert len(set(probes)) == 3


def test_a_not_found_while_held_for_another_cause_got_through(ledger, clock):
    """The key works again, as the answer shows."""
    held(ledger, "A", "B")
    clock.advance(2)
    (probe,) = rung(ledger)
    turn(ledger, probe, NotFound())
    assert "held" not in lane(ledger)


def test_five_different_orders_that_fail_are_an_outage(ledger, clock):
    """Unavailable, timeouts and 5xx count, by different orders in a row."""
    ids = ["A", "B", "C", "D", "E", "F"]
    opened(ledger, *ids)
    for order_id in "ABCD":
        turn(ledger, order_id, Unavailable())
    assert "held" not in lane(ledger)
    turn(ledger, "E", TIMEOUT)
    assert lane(ledger)["held"] == "outage"
    assert rung(ledger) == []


def test_a_host_that_failed_is_left_alone_while_another_is_healthy(ledger, clock):
    """Each of Logitrail's hosts has a health of its own; when all failed, the first that failed."""
    for order_id in ("L1", "L2", "L3", "L4"):
        ledger.open(an_order(order_id, "logitrail"))

    def host_of(order_id, answer):
        claimed, permit = ledger.claim_and_permit("logitrail", order_id)
        step = ledger.policies["logitrail"].decide(permit.order, permit.call, answer, clock())
        ledger.write(permit.order, step, claim=claimed.claim)
        return permit.call.host

    assert host_of("L1", Unavailable()) == 0
    assert host_of("L2", Unavailable()) == 1
    assert host_of("L3", TIMEOUT) == 0, "it failed longest ago"
    clock.advance(RETRY[0])
    assert host_of("L1", Unavailable()) == 1, "its time is over: one order tests it"
    assert host_of("L4", FINISHED) == 0
    hosts = ledger.scripts.key("logitrail", "hosts", "-")
    assert "0" not in ledger.scripts.client.hgetall(hosts), "it answered"


def test_one_that_gets_through_breaks_the_outage(ledger):
    """Four, one, four: no outage."""
    ids = [f"{number}" for number in range(9)]
    opened(ledger, *ids)
    for number, order_id in enumerate(ids):
        turn(ledger, order_id, Rejected("out_of_stock") if number == 4 else Unavailable())
    assert "held" not in lane(ledger)


def test_what_came_too_late_at_the_gate_is_no_failure_of_the_supplier(ledger):
    """It was our own slowness, or a window cut short by the deadline: it neither counts nor breaks
    a row (7).
    """
    opened(ledger, *"ABCDEFGHIJK")
    for order_id in "ABCDEF":
        turn(ledger, order_id, TOO_LATE)
    assert "failing" not in lane(ledger)
    for order_id in "GHIJ":
        turn(ledger, order_id, TIMEOUT)
    turn(ledger, "A", TOO_LATE)
    assert "held" not in lane(ledger)
    turn(ledger, "K", TIMEOUT)
    assert lane(ledger)["held"] == "outage"


def test_a_probe_that_came_too_late_is_followed_by_another(ledger, clock):
    """It has shown nothing: the lane stays held, and its interval does not grow."""
    in_outage(ledger)
    clock.advance(2)
    (probe,) = rung(ledger)
    turn(ledger, probe, TOO_LATE)
    assert (lane(ledger)["held"], lane(ledger)["probes"]) == ("outage", "0")
    (probe,) = rung(ledger)
    turn(ledger, probe, FINISHED)
    assert "held" not in lane(ledger)


def in_outage(ledger):
    opened(ledger, "A", "B", "C", "D", "E", "F")
    for order_id in "ABCDE":
        turn(ledger, order_id, Unavailable())
    assert lane(ledger)["held"] == "outage"


def test_a_failing_probe_keeps_the_lane_held(ledger, clock):
    """One probe an interval; the first that gets through releases it."""
    in_outage(ledger)
    clock.advance(2)
    (probe,) = rung(ledger)
    turn(ledger, probe, TIMEOUT)
    assert (lane(ledger)["held"], float(lane(ledger)["probe_at"])) == ("outage", clock() + RETRY[1])
    clock.advance(RETRY[1])
    (probe,) = rung(ledger)
    turn(ledger, probe, FINISHED)
    assert "held" not in lane(ledger)
    ledger.hold(Lane("relograde"), "n")
    ledger.release(Lane("relograde"))


def test_a_failing_probe_moves_no_backoff(ledger, clock):
    """While the lane is held, no backoff of an order moves (7)."""
    in_outage(ledger)
    clock.advance(2)
    (probe,) = rung(ledger)
    before = recount(ledger)[probe].failures
    turn(ledger, probe, Unavailable())
    assert recount(ledger)[probe].failures == before


# --- deadlines under a hold -----------------------------------------------------------------------


@pytest.mark.parametrize("who", ["person", "cause", "budget"])
def test_a_deadline_waits_for_neither_hold_nor_budget(client, policies, clock, who):
    """Nothing unresolved and too late: dead at once, without a call; what is unresolved waits for
    its read (6).
    """
    ledger = make_ledger(client, policies, clock, calls_per_minute=2)
    opened(ledger, "asked", "A", "B")
    turn(ledger, "asked", TIMEOUT)
    clock.now = LAST - 5
    if who == "cause":
        rung(ledger, 1)
        turn(ledger, "asked", KEY)
    elif who == "person":
        ledger.hold(Lane("relograde"), "n")
    else:
        key = ledger.scripts.key("relograde", "calls", "-")
        ledger.scripts.client.zadd(key, {"x": clock() + 60, "y": clock() + 60})
    clock.now = LAST + 8
    picked = rung(ledger)
    assert {"A", "B"} <= set(picked)
    for order_id in ("A", "B"):
        assert turn(ledger, order_id, FINISHED) == "dead"
    orders = recount(ledger)
    assert {orders[order_id].reason for order_id in "AB"} == {"deadline_missed"}
    assert orders["asked"].state == "submitted"


@pytest.mark.parametrize(("after", "dies"), [(-1, False), (0, False), (1, True)])
def test_a_second_either_side_of_the_last_safe_moment_under_a_hold(ledger, clock, after, dies):
    """The last safe moment itself is not too late."""
    ledger.open(an_order())
    ledger.hold(Lane("relograde"), "n")
    clock.now = LAST + after
    assert rung(ledger) == (["R1"] if dies else [])


def test_logitrail_has_no_deadline_to_die_of(ledger, clock):
    """A held order of Logitrail waits, however long."""
    ledger.open(an_order("L", "logitrail"))
    ledger.hold(Lane("logitrail"), "n")
    clock.advance(99 * 86400)
    assert rung(ledger, supplier="logitrail") == []


def test_a_read_that_settles_ends_what_the_deadline_could_not(ledger, clock):
    """Unresolved over its deadline: asked, settled, dead."""
    ledger.open(an_order())
    clock.now = LAST - 1
    turn(ledger, "R1", TIMEOUT)
    clock.now = LAST + 60
    assert rung(ledger) == ["R1"]
    assert turn(ledger, "R1", Created()) == "dead"
    assert recount(ledger)["R1"].reason == "deadline_missed"


# --- what people see ------------------------------------------------------------------------------


def test_the_lane_is_shown_as_it_is(ledger, clock, views):
    """Held, budget, in flight, waiting and due (contract)."""
    opened(ledger, "A", "B", "C")
    turn(ledger, "A", Unavailable())
    ledger.claim("relograde", "B")
    shown = views.lane(Lane("relograde"), clock())
    assert (shown["held"], shown["calls_left"], shown["in_flight"]) == (False, 49, 1)
    assert (shown["waiting"], shown["due"]) == (1, 1)
    turn(ledger, "C", KEY)
    shown = views.lane(Lane("relograde"), clock())
    assert (shown["held"], shown["cause"], shown["since"]) == (
        True,
        "unauthorized",
        "2027-01-15T08:00:00.000Z",
    )
    assert shown["next_probe_at"] == "2027-01-15T08:00:02.000Z"
    assert views.lane(Lane("logitrail"), clock())["calls_left"] is None


def test_the_stats_predict_what_the_budget_cannot_serve(client, policies, clock):
    """One call a minute, three orders with half a minute left: two will miss."""

    ledger = make_ledger(client, policies, clock, calls_per_minute=1)
    opened(ledger, "A", "B", "C")
    clock.now = LAST - 30
    stats = Views(ledger.shelf, (Lane("relograde"), Lane("logitrail"))).stats()
    assert (stats["predicted_misses"], stats["minimum_slack_seconds"]) == (2, 30)


def test_the_prediction_counts_each_order_in_its_own_lane(client, policies, clock):
    """Two accounts have two budgets and each order once."""

    ledger = make_ledger(client, policies, clock, calls_per_minute=1)
    opened(ledger, "A", "B", "C", account="a")
    clock.now = LAST - 30
    assert (
        Views(ledger.shelf, (Lane("relograde"), Lane("relograde", "a"))).stats()["predicted_misses"]
        == 2
    )
