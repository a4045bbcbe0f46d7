"""Asking for a known order, when others are not found: key and environment, or the orders?"""

from typing import Any

import pytest
from conftest import START, an_order, turn
from virtual_lane import FINISHED

from schemas.lane import Lane
from worker.rules.answers import Answer, Blocked, NotFound, Pending
from worker.turns.known_look import EVERY, KnownLook

LANE = Lane("relograde")


class Client:
    """Answers what was set, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.answer: Answer = FINISHED
        self.asked: list[str] = []

    def find(self, order_id: str, gate: Any) -> Answer:
        gate.check()
        self.asked.append(order_id)
        return self.answer


@pytest.fixture
def client_of_supplier() -> Client:
    return Client()


@pytest.fixture
def look(ledger, client_of_supplier, clock) -> KnownLook:
    return KnownLook(ledger, LANE, client_of_supplier)


def lane(ledger) -> dict[str, str]:
    return ledger.scripts.client.hgetall(ledger.scripts.key("relograde", "lane", "-"))


def not_found(ledger, clock, *ids: str) -> None:
    for order_id in ids:
        ledger.open(an_order(order_id))
        turn(ledger, order_id, NotFound())


def test_a_known_order_that_is_found_releases_the_lane(ledger, look, client_of_supplier, clock):
    """From then on a second not-found is an order's own end, at once (7)."""
    ledger.open(an_order("R1"))
    turn(ledger, "R1", Pending())
    clock.advance(100)
    not_found(ledger, clock, "A", "B", "C")
    assert lane(ledger)["held"] == "not_found"
    clock.advance(1)
    look.turn()
    assert client_of_supplier.asked == ["R1"]
    assert "held" not in lane(ledger)
    clock.advance(31)
    assert turn(ledger, "A", NotFound()) == "dead"


def test_a_known_order_that_is_not_found_leaves_the_lane_held(
    ledger, look, client_of_supplier, clock
):
    """The key is wrong, or its environment: no order dies of that."""
    ledger.open(an_order("R1"))
    turn(ledger, "R1", Pending())
    clock.advance(100)
    not_found(ledger, clock, "A", "B", "C")
    client_of_supplier.answer = NotFound()
    look.turn()
    look.turn()
    assert client_of_supplier.asked == ["R1"], f"at most one in {EVERY} s"
    clock.advance(EVERY)
    client_of_supplier.answer = Blocked("unauthorized")
    look.turn()
    assert client_of_supplier.asked == ["R1", "R1"]
    assert lane(ledger)["held"] == "not_found"


def test_nothing_is_asked_without_need_or_without_anything_known(
    ledger, look, client_of_supplier, clock
):
    """A lane that is well, and one that has never found an order."""
    look.turn()
    not_found(ledger, clock, "A", "B", "C")
    assert lane(ledger)["held"] == "not_found"
    look.turn()
    assert client_of_supplier.asked == []
    assert clock() == START


def test_a_find_after_the_release_changes_nothing_but_the_evidence(
    ledger, look, client_of_supplier, clock
):
    """A person released the lane while the call was under way."""
    ledger.open(an_order("R1"))
    turn(ledger, "R1", Pending())
    clock.advance(100)
    not_found(ledger, clock, "A", "B", "C")
    find = client_of_supplier.find

    def released(order_id: str, gate: Any) -> Answer:
        ledger.release(LANE)
        return find(order_id, gate)

    look.client.find = released
    look.turn()
    assert "held" not in lane(ledger)
    assert float(lane(ledger)["found_at"]) == clock()
