"""Calls in flight in one worker process, and its memory, at a supplier that takes 25 seconds for
each.

Three times 400 orders: the first make the threads, their connections and the allocator's arenas,
the second fill them, and the third must find room in what these left behind.
"""

import time

from benchmarks import processes
from benchmarks.rig import Rig, Supplier, at, wait_for
from benchmarks.rows import Row

RUNS = 5
DELAY = 25.0
FEW, MANY = 50, 400
SETTINGS = {"COUNTERSIGN_CONCURRENCY": str(MANY * 5 // 2), "RELOGRADE_MAX_IN_FLIGHT": str(MANY)}
"""A supplier has two fifths of a process' threads."""
GROWTH = 1.05


def measure() -> list[Row]:
    """One run, some 100 seconds."""
    with Rig() as rig:
        supplier = rig.supplier(DELAY)
        worker = rig.worker(at(supplier, **SETTINGS))
        memory = [processes.memory(worker)]
        rounds = (
            (FEW, "F", FEW),
            (MANY - FEW, "M", MANY),
            (MANY, "S", 2 * MANY),
            (MANY, "T", 3 * MANY),
        )
        for orders, prefix, came in rounds:
            for number in range(orders):
                rig.confirm(f"{prefix}{number}")
            wait_for(lambda: _came(supplier) >= came, f"{came} calls have come")  # noqa: B023 - called before the next
            time.sleep(1)
            memory.append(processes.memory(worker))
        most = supplier.books()["most_in_flight"]
    idle, few, many, second, third = memory
    return [
        Row(name="calls in flight in one process", value=most, unit="calls", at_least=MANY),
        Row(name="memory of an idle worker", value=idle, unit="MB"),
        Row(name=f"memory at {FEW} calls in flight", value=few, unit="MB"),
        Row(name=f"memory at {MANY} calls in flight", value=many, unit="MB"),
        Row(name="memory at the second 400 over the first", value=second / many, unit="times"),
        Row(
            name="memory at the third 400 over the second",
            value=third / second,
            unit="times",
            at_most=GROWTH,
        ),
    ]


def _came(supplier: Supplier) -> int:
    return len(supplier.books()["first_bytes"])
