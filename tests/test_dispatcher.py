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


def test_a_damaged_lane_does_not_stop_the_others(ledger, caplog):
    """Its trouble is said once, and the other lanes are dispatched."""
    ledger.open(an_order("L1", "logitrail"))
    scripts = ledger.scripts
    scripts.client.set(scripts.key("relograde", "due", "-"), "not a sorted set")
    rung = []
    lanes = [Lane("relograde"), Lane("logitrail")]
    dispatcher = Dispatcher(ledger, lanes, lambda *words: rung.append(words))
    dispatcher.turn()
    dispatcher.turn()
    assert rung == [("logitrail", ["L1"])]
    assert [record.getMessage() for record in caplog.records] == ["lane_not_dispatched"]
    scripts.client.delete(scripts.key("relograde", "due", "-"))
    ledger.open(an_order("R1"))
    dispatcher.turn()
    assert ("relograde", ["R1"]) in rung
