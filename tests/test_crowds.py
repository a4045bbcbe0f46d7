"""Crowds behind a hold: hundreds of orders, one of whose hosts, deadlines or members is in trouble.

The suppliers are stand-ins in the process, on the ledger's virtual clock; the ledger is real.
"""

import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from conftest import START, an_order, make_ledger
from virtual_lane import FINISHED, Supplier

from schemas.lane import Lane
from worker.rules import answers as say
from worker.rules.policy import Policy
from worker.turns.dispatcher import Dispatcher
from worker.turns.executor import Executor
from worker.turns.known_look import KnownLook

RETRY = (2.0, 10.0, 30.0, 60.0, 300.0, 900.0)
DOWN = say.Unavailable("connect refused")


class Hosts:
    """Logitrail's hosts: one answers, the others refuse connections."""

    def __init__(self, healthy: int | None = 1) -> None:
        self.healthy = healthy
        self.called: list[int] = []
        self.together = threading.Barrier(1)

    def confirm(self, order_id: str, gate: Any, host: int = 0, details: Any = None) -> say.Answer:
        self.called.append(host)
        # Fewer calls may come than orders were rung for.
        with suppress(threading.BrokenBarrierError):
            self.together.wait(2)
        if host != self.healthy:
            return DOWN
        gate.check()
        return say.Confirmed(tracking_code="T")


class Crowd:
    """One worker for one lane; `at_once`: so many calls are in hand before the first is
    answered.
    """

    def __init__(self, ledger: Any, clock: Any, client: Any, lane: Lane, at_once: int = 1) -> None:
        self.ledger, self.clock, self.client, self.lane = ledger, clock, client, lane
        self.rung: list[str] = []
        self.at_once = at_once
        clients = {lane: client}
        self.executor = Executor(
            ledger, ledger.policies, clients, monotonic=clock, jitter=lambda: 0.0
        )
        self.dispatcher = Dispatcher(ledger, (lane,), self._ring, monotonic=clock)
        self.beside: list[Callable[[], object]] = []

    def _ring(self, supplier: str, order_ids: list[str]) -> None:
        self.rung.extend(order_ids)

    def work(self, seconds: float, every: float = 0.25) -> None:
        """Lets time pass; whatever is rung for is stepped at once."""
        ends = self.clock() + seconds
        while self.clock() < ends:
            self.dispatcher.turn()
            rung, self.rung = self.rung, []
            self._step(rung)
            for turn in self.beside:
                turn()
            self.clock.advance(0.001 if rung else every)

    def _step(self, rung: list[str]) -> None:
        for start in range(0, len(rung), self.at_once):
            some = rung[start : start + self.at_once]
            if self.at_once == 1:
                self.executor.step(self.lane.supplier, some[0])
                continue
            self.client.together = threading.Barrier(len(some))
            with ThreadPoolExecutor(len(some)) as pool:
                list(pool.map(lambda one: self.executor.step(self.lane.supplier, one), some))

    def states(self, ids: Iterable[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for order_id in ids:
            order = self.ledger.load(self.lane.supplier, order_id).order
            name = order.reason or order.state if order else "gone"
            found[name] = found.get(name, 0) + 1
        return found

    def lane_field(self, name: str) -> Any:
        key = self.ledger.scripts.key(self.lane.supplier, "lane", self.lane.key)
        return self.ledger.scripts.client.hget(key, name)


@pytest.fixture
def patient(policies: dict[str, Policy]) -> dict[str, Policy]:
    """The contract's own delays."""
    return {name: Policy(replace(policy.rules, retry=RETRY)) for name, policy in policies.items()}


def logitrail(client: Any, patient: Any, clock: Any, hosts: Hosts, at_once: int) -> Crowd:
    ledger = make_ledger(client, patient, clock)
    ledger.retry = list(RETRY)
    return Crowd(ledger, clock, hosts, Lane("logitrail"), at_once)


# --- health belongs to what fails (15) ------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 60])
@pytest.mark.parametrize("turn", [0, 90])
def test_one_dead_host_costs_a_crowd_a_minute_at_most(client, patient, clock, at_once, turn):
    """300 orders come at once, whatever the lane has met before; each host has its own health."""
    hosts = Hosts()
    crowd = logitrail(client, patient, clock, hosts, at_once)
    key = crowd.ledger.scripts.key("logitrail", "lane", "-")
    client.hset(key, "turn", turn)
    ids = [f"{number:024x}" for number in range(300)]
    for order_id in ids:
        crowd.ledger.open(an_order(order_id, "logitrail", accepted_at=clock()))
    crowd.work(60)
    assert crowd.states(ids) == {"confirmed": 300}
    assert hosts.called.count(0) <= at_once + 1, "one call each of those in hand, and no more"


def test_a_dead_host_is_left_alone_by_orders_that_come_later(client, patient, clock):
    """One order in a while tests it; the others do not pay for it."""
    hosts = Hosts()
    crowd = logitrail(client, patient, clock, hosts, 1)
    for number in range(200):
        crowd.ledger.open(an_order(f"{number:024x}", "logitrail", accepted_at=clock()))
        crowd.work(3)
    assert crowd.states(f"{number:024x}" for number in range(200)) == {"confirmed": 200}
    assert hosts.called.count(0) < 12


def test_a_host_that_answers_again_is_used_again(client, patient, clock):
    """The one order that tests it finds it well."""
    hosts = Hosts(healthy=1)
    crowd = logitrail(client, patient, clock, hosts, 1)
    crowd.ledger.open(an_order("0" * 24, "logitrail", accepted_at=clock()))
    crowd.work(5)
    hosts.healthy = 0
    for number in range(1, 100):
        crowd.ledger.open(an_order(f"{number:024x}", "logitrail", accepted_at=clock()))
        crowd.work(1)
    assert crowd.states(f"{number:024x}" for number in range(100)) == {"confirmed": 100}
    assert hosts.called[-10:] == [0] * 10


def test_an_outage_is_when_no_host_answers(client, patient, clock):
    """Then the lane is held, its probes alternate, and the first host that is back releases it."""
    hosts = Hosts(healthy=None)
    crowd = logitrail(client, patient, clock, hosts, 1)
    ids = [f"{number:024x}" for number in range(50)]
    for order_id in ids:
        crowd.ledger.open(an_order(order_id, "logitrail", accepted_at=clock()))
    crowd.work(600)
    assert crowd.lane_field("held") == "outage"
    before = len(hosts.called)
    assert before < 30
    hosts.healthy = 0
    crowd.work(1000)
    assert crowd.states(ids) == {"confirmed": 50}


def test_a_question_stays_with_its_host(client, patient, clock):
    """Only an order without an unresolved attempt may go elsewhere (3)."""
    hosts = Hosts(healthy=1)
    crowd = logitrail(client, patient, clock, hosts, 1)
    order_id = "a" * 24
    crowd.ledger.open(an_order(order_id, "logitrail", accepted_at=clock()))
    claimed, permit = crowd.ledger.claim_and_permit("logitrail", order_id)
    lost = say.Unknown("read timeout")
    step = patient["logitrail"].decide(permit.order, permit.call, lost, clock())
    crowd.ledger.write(permit.order, step, claim=claimed.claim)
    key = crowd.ledger.scripts.key("logitrail", "hosts", "-")
    client.hset(key, mapping={"0": f"{clock() + 500:.6f}", "0:failures": 3})
    crowd.work(90)
    assert set(hosts.called) == {0}


# --- a hold looks ahead ---------------------------------------------------------------------------


class Outage(Supplier):
    """Every call is refused a connection until `ends`."""

    def __init__(self, clock: Any, ends: float) -> None:
        super().__init__(clock)
        self.ends = ends

    def _call(self, order_id: str, gate: Any) -> say.Answer | None:
        if self.clock() < self.ends:
            self.unsent += 1
            return DOWN
        return super()._call(order_id, gate)


@pytest.mark.parametrize("lasts", range(3000, 4001, 200))
def test_no_order_dies_of_the_phase_of_a_probe(client, patient, clock, lasts):
    """45 orders whose last safe moments follow an outage, 60 s to 15 min after it (core 3)."""
    ledger = make_ledger(client, patient, clock)
    ledger.retry = list(RETRY)
    supplier = Outage(clock, START + lasts)
    crowd = Crowd(ledger, clock, supplier, Lane("relograde"))
    ids = [f"R{number}" for number in range(45)]
    for number, order_id in enumerate(ids):
        last_safe = START + lasts + 60 + 20 * number
        deadline = last_safe + 30
        order = an_order(order_id, created_at=deadline - 86400, deadline_at=deadline)
        ledger.open(replace(order, accepted_at=clock()))
    crowd.work(lasts + 1000, every=1.0)
    found = crowd.states(ids)
    assert found.get("deadline_missed", 0) <= 1, found
    assert found["confirmed"] >= 44
    assert supplier.unsent < 60, "no storm of probes"


def test_probes_before_deadlines_are_no_storm(client, patient, clock):
    """300 last safe moments within five minutes of an outage: a probe every five seconds at
    most.
    """
    ledger = make_ledger(client, patient, clock)
    ledger.retry = list(RETRY)
    supplier = Outage(clock, math.inf)
    crowd = Crowd(ledger, clock, supplier, Lane("relograde"))
    for number in range(300):
        deadline = START + 60 + number
        order = an_order(f"R{number}", created_at=deadline - 86400, deadline_at=deadline)
        ledger.open(replace(order, accepted_at=clock()))
    crowd.work(300)
    assert supplier.unsent <= 5 + 300 / 5 + 1


def test_the_choice_of_probes_begins_with_each_hold(client, patient, clock):
    """An old lane's count points far into a new crowd, at orders that were never tried."""
    ledger = make_ledger(client, patient, clock)
    ledger.retry = list(RETRY)
    crowd = Crowd(ledger, clock, Outage(clock, START + 60), Lane("relograde"))
    client.hset(ledger.scripts.key("relograde", "lane", "-"), "turn", 90)
    for number in range(20):
        ledger.open(an_order(f"R{number}", created_at=clock() - 60, accepted_at=clock()))
    crowd.work(40)
    assert crowd.lane_field("held") == "outage"
    assert int(crowd.lane_field("turn")) < 10


# --- a hold cannot be caused for all by a few -----------------------------------------------------


class Strangers(Supplier):
    """Does not know the orders whose id begins with X."""

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.asked: list[str] = []

    def _call(self, order_id: str, gate: Any) -> say.Answer | None:
        self.asked.append(order_id)
        return say.NotFound() if order_id.startswith("X") else super()._call(order_id, gate)


def strangers(client: Any, patient: Any, clock: Any) -> Crowd:
    ledger = make_ledger(client, patient, clock)
    ledger.retry = list(RETRY)
    supplier = Strangers(clock)
    crowd = Crowd(ledger, clock, supplier, Lane("relograde"))
    known = KnownLook(ledger, Lane("relograde"), supplier, monotonic=clock)  # type: ignore[arg-type]
    crowd.beside.append(known.turn)
    return crowd


def relograde_order(order_id: str, clock: Any) -> Any:
    created = clock() - 60
    deadline = created + 86400
    return an_order(order_id, created_at=created, deadline_at=deadline, accepted_at=clock())


def test_unknown_orders_cost_a_lane_that_has_found_one_seconds(client, patient, clock):
    """30 of them at once: each dies of its second not-found, and good orders hardly wait (core)."""
    crowd = strangers(client, patient, clock)
    crowd.ledger.open(relograde_order("R0", clock))
    crowd.work(200)
    strange = [f"X{number}" for number in range(30)]
    for order_id in strange:
        crowd.ledger.open(relograde_order(order_id, clock))
    crowd.work(10)
    good = [f"R{number}" for number in range(1, 11)]
    for order_id in good:
        crowd.ledger.open(relograde_order(order_id, clock))
    crowd.work(15)
    assert crowd.states(good) == {"confirmed": 10}
    crowd.work(180)
    assert crowd.states(strange) == {"order_not_found": 30}


def test_with_nothing_known_the_newest_order_is_a_probe_too(client, patient, clock):
    """A fresh ledger, whose first thirty orders are unknown: the first good one opens the lane."""
    crowd = strangers(client, patient, clock)
    strange = [f"X{number}" for number in range(30)]
    for order_id in strange:
        crowd.ledger.open(relograde_order(order_id, clock))
    crowd.work(60)
    assert crowd.lane_field("held") == "not_found"
    clock.advance(10)
    crowd.ledger.open(relograde_order("R1", clock))
    crowd.work(30)
    assert crowd.states(["R1"]) == {"confirmed": 1}
    crowd.work(400)
    assert crowd.states(strange) == {"order_not_found": 30}


def test_a_wrong_key_is_no_fault_of_its_orders(client, patient, clock):
    """The known order is not found either: no order dies, and the lane stays held."""
    crowd = strangers(client, patient, clock)
    crowd.ledger.open(relograde_order("R0", clock))
    crowd.work(100)
    crowd.client._call = lambda order_id, gate: say.NotFound()
    later = [f"R{number}" for number in range(1, 20)]
    for order_id in later:
        crowd.ledger.open(relograde_order(order_id, clock))
    crowd.work(1200)
    assert crowd.lane_field("held") == "not_found"
    assert set(crowd.states(later)) == {"accepted"}


@pytest.mark.parametrize("cause", ["misconfigured", "unauthorized", "company_not_verified"])
def test_one_order_that_is_always_blocked_becomes_a_letter(client, patient, clock, cause):
    """It takes at most 2 % of the calls of a lane with 400 others due (core 11)."""
    ledger = make_ledger(client, patient, clock)
    ledger.retry = list(RETRY)
    supplier = Supplier(clock)
    supplier.promise({"BAD": [say.Blocked(cause)] * 1000})
    crowd = Crowd(ledger, clock, supplier, Lane("relograde"))
    ids = [f"R{number}" for number in range(400)]
    for order_id in ("BAD", *ids):
        ledger.open(relograde_order(order_id, clock))
    crowd.work(2400)
    assert crowd.states(ids) == {"confirmed": 400}
    [reason] = crowd.states(["BAD"])
    assert reason == ("invalid_request" if cause == "misconfigured" else "access_denied")
    spent = 1000 - len(supplier.answers["BAD"])
    assert spent <= 0.02 * len(supplier.sent)


def test_a_rate_limit_is_never_an_orders_own_end(client, patient, clock):
    """Others pass, and it goes on waiting."""
    ledger = make_ledger(client, patient, clock)
    supplier = Supplier(clock)
    supplier.promise({"BAD": [say.Blocked("rate_limited")] * 6})
    crowd = Crowd(ledger, clock, supplier, Lane("relograde"))
    for order_id in ("BAD", *(f"R{number}" for number in range(20))):
        ledger.open(relograde_order(order_id, clock))
    crowd.work(900)
    assert crowd.states(["BAD"]) == {"confirmed": 1}
    assert FINISHED.complete
