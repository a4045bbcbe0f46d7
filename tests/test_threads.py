"""How many threads of a process one supplier may hold."""

import threading
from types import SimpleNamespace

import pytest
import redis
from conftest import an_order, recount

from schemas.lane import Lane
from worker.ledger import Opened
from worker.rules.answers import Confirmed, Line
from worker.turns.executor import Executor
from worker.turns.threads import Threads


@pytest.fixture
def hanging():
    """An executor whose steps wait until they are let go, and its threads: two for each
    supplier.
    """
    gate, entered = threading.Event(), threading.Semaphore(0)

    def step(supplier: str, order_id: str) -> str:
        entered.release()
        gate.wait(30)
        return "done"

    executor = SimpleNamespace(step=step, policies={"relograde": None, "logitrail": None})
    page_turn = SimpleNamespace(turn=lambda lane: step(*lane))
    threads = Threads(executor, 2, page_turn)  # type: ignore[arg-type]
    yield threads, gate, entered
    gate.set()
    threads._pool.shutdown()


def test_a_supplier_that_hangs_takes_its_share_and_no_more(hanging):
    """The other one keeps its own; whoever asks learns at once that there is no thread (12)."""
    threads, _, _ = hanging
    assert [threads.start("logitrail", f"L{number}") for number in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    assert threads.step("logitrail", "L9") == "no_thread"
    assert threads.start("relograde", "R1")


def test_a_thread_that_is_done_is_free_again(hanging):
    """Whatever the step came to."""
    threads, gate, entered = hanging
    assert threads.start("relograde", "R1")
    assert threads.start("relograde", "R2")
    assert entered.acquire(timeout=30)
    assert entered.acquire(timeout=30)
    assert not threads.start("relograde", "R3")
    gate.set()
    threads._pool.shutdown(wait=True)
    assert threads.step("relograde", "R3") == "done"


def test_a_page_is_one_of_the_share(hanging):
    """Its call may take as long as a step's."""
    threads, _, entered = hanging
    assert threads.page(Lane("relograde"))
    assert entered.acquire(timeout=30)
    assert threads.start("relograde", "R1")
    assert not threads.page(Lane("relograde"))


def test_a_pool_that_has_ended_takes_nothing_and_keeps_nothing(hanging):
    """While the process ends; the order is in the ledger."""
    threads, _, _ = hanging
    threads._pool.shutdown()
    assert [threads.start("relograde", f"R{number}") for number in range(5)] == [False] * 5


def test_a_new_order_takes_its_first_step_beside_the_door(ledger):
    """While the supplier has a thread to spare; else it is accepted and no more."""
    gate, entered = threading.Event(), threading.Semaphore(0)

    def confirm(*words, **more):
        entered.release()
        gate.wait(30)
        return Confirmed(lines=(Line("1", "finished", True),))

    client = SimpleNamespace(confirm=confirm)
    executor = Executor(ledger, ledger.policies, {("relograde", None): client})
    threads = Threads(executor, 1, SimpleNamespace())  # type: ignore[arg-type]
    try:
        assert threads.accept(an_order("A"), None).result == "opened"
        assert entered.acquire(timeout=30)
        assert threads.accept(an_order("A"), None).result == "known"
        assert threads.accept(an_order("B"), None).result == "opened"
    finally:
        gate.set()
        threads._pool.shutdown()
    assert {name: order.state for name, order in recount(ledger).items()} == {
        "A": "confirmed",
        "B": "accepted",
    }
    assert not threads.start("relograde", "B"), "the pool has ended"


def test_a_share_comes_back_whatever_accepting_comes_to(hanging):
    """An order that takes no step, and a ledger out of reach."""
    threads, _, _ = hanging
    threads.executor.open = lambda order, details: (Opened("known"), None)
    assert [threads.accept(an_order(), None).result for _ in range(3)] == ["known"] * 3

    def away(order, details):
        raise redis.ConnectionError("away")

    threads.executor.open = away
    for _ in range(3):
        with pytest.raises(redis.ConnectionError):
            threads.accept(an_order(), None)
    assert threads.start("relograde", "R1")
