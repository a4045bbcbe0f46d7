"""From `send_task` to the first byte at the supplier, one message at a time, while nothing else
happens.
"""

import random
import statistics
import time

from benchmarks.rig import Rig, at, wait_for
from benchmarks.rows import Row

RUNS = 5
MESSAGES = 300
MEDIAN, P99 = 15.0, 100.0
PAUSE = (0.01, 0.06)
"""Seconds between two messages, at random, so that they meet the worker's timers at any moment."""


def latencies(send: list[float], came: list[float]) -> tuple[float, float]:
    """(median, 99th percentile) in milliseconds."""
    took = [(end - begin) * 1000 for begin, end in zip(send, came, strict=True)]
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


def measure() -> list[Row]:
    """One run."""
    with Rig() as rig:
        supplier = rig.supplier()
        rig.worker(at(supplier))
        sent: dict[str, float] = {}
        for number in range(-20, MESSAGES):
            order_id = f"I{number + 20}"
            sent[order_id] = time.monotonic()
            rig.confirm(order_id)
            time.sleep(random.uniform(*PAUSE))
        wait_for(lambda: len(supplier.books()["first_bytes"]) == len(sent), "every call has come")
        came = supplier.books()["first_bytes"]
        measured = list(sent)[20:]
        median, p99 = latencies(
            [sent[name] for name in measured], [came[name] for name in measured]
        )
    return [
        Row(name="idle, message to first byte: p50", value=median, unit="ms", at_most=MEDIAN),
        Row(name="idle, message to first byte: p99", value=p99, unit="ms", at_most=P99),
    ]
