"""Which worker pool: the bare task (`benchmarks.bare`) at a supplier that takes two seconds, in
each pool there is.

gevent and eventlet are no dependencies; they are measured where they are installed.
"""

import time
from collections.abc import Iterator
from importlib.util import find_spec

from benchmarks import processes
from benchmarks.rig import STAGED, Rig, at, wait_for
from benchmarks.rows import Row

RUNS = 5
DELAY = 2.0
SLOTS = 50
TASKS = 200
# `-P prefork` would mean the pool of our options: Celery takes it for the default that nobody
# chose.
MODULES = {
    "threads": "concurrent.futures",
    "processes": "billiard",
    "gevent": "gevent",
    "eventlet": "eventlet",
}


def measure() -> list[Row]:
    """One run of each pool that is installed."""
    return [row for pool, module in MODULES.items() if find_spec(module) for row in rows(pool)]


def rows(pool: str) -> Iterator[Row]:
    """Its wall time, its CPU, and its memory while every slot is taken."""
    with Rig() as rig:
        supplier = rig.supplier(DELAY)
        worker = rig.worker(
            at(supplier), app="benchmarks.bare", options=("-P", pool, "-c", str(SLOTS))
        )
        for number in range(TASKS):
            rig.send("bare.confirm", STAGED, order_id=f"P{number}")
        began, cpu = time.monotonic(), processes.cpu_seconds(worker)
        rig.release()
        wait_for(lambda: supplier.books()["most_in_flight"] == SLOTS, "every slot is taken")
        memory = processes.memory(worker)
        wait_for(rig.idle, "every task is done")
        took, cpu = time.monotonic() - began, processes.cpu_seconds(worker) - cpu
    at_best = TASKS / SLOTS * DELAY
    yield Row(
        name=f"{pool}, {SLOTS} slots: time over the least possible",
        value=took / at_best,
        unit="times",
    )
    yield Row(name=f"{pool}, {SLOTS} slots: CPU per task", value=cpu / TASKS * 1000, unit="ms")
    yield Row(name=f"{pool}, {SLOTS} slots: memory", value=memory, unit="MB")
