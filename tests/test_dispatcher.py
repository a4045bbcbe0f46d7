"""What is due is started by this worker, or rung for so that another may take it."""

from conftest import an_order

from schemas.lane import Lane
from worker.turns.dispatcher import Dispatcher


def test_what_finds_no_thread_here_is_rung_for(ledger):
    """Earliest deadline first; a doorbell costs a message, so it is rung only for what this worker
    cannot take.
    """
    for number in range(5):
        ledger.open(an_order(f"R{number}", deadline_at=ledger.time() + 3600 + number))
    started, rung = [], []

    def start(supplier: str, order_id: str) -> bool:
        if len(started) < 3:
            started.append((supplier, order_id))
            return True
        return False

    dispatcher = Dispatcher(
        ledger,
        [Lane("relograde")],
        lambda supplier, ids: rung.append((supplier, ids)),
        start=start,
    )
    dispatcher.turn()
    assert started == [("relograde", "R0"), ("relograde", "R1"), ("relograde", "R2")]
    assert rung == [("relograde", ["R3", "R4"])]


def test_nothing_is_rung_while_there_are_threads(ledger):
    """No message at all."""
    ledger.open(an_order())
    rung = []
    dispatcher = Dispatcher(
        ledger, [Lane("relograde")], lambda *words: rung.append(words), start=lambda *words: True
    )
    dispatcher.turn()
    assert rung == []
