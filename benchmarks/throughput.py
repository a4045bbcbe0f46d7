"""Orders per second and CPU seconds per order, message in to outcome out, beside a bare Celery
task.

The supplier answers at once, and every message is on the queue before the first is taken. The two
seconds that an outcome waits for the disk are taken off the time, not off the CPU.
"""

import time
from functools import partial

from benchmarks import processes
from benchmarks.rig import STAGED, Rig, at, wait_for
from benchmarks.rows import Row
from worker.web_app.teller import SYNC_AGE

RUNS = 5
ORDERS = 2000
BATCHES = (("W", 200), ("B", ORDERS))
"""The first one warms up and does not count."""
AT_MOST = 2.0


class Cost:
    """Seconds and CPU seconds between its making and `per_order`."""

    def __init__(self, rig: Rig, worker: int) -> None:
        self.rig, self.worker = rig, worker
        self.began, self.cpu, self.redis = (
            time.monotonic(),
            processes.cpu_seconds(worker),
            rig.redis_cpu(),
        )

    def per_order(self, waited: float = 0.0) -> tuple[float, float, float]:
        """(orders per second, the worker's ms of CPU per order, the server's)."""
        took = time.monotonic() - self.began - waited
        cpu, redis = (
            processes.cpu_seconds(self.worker) - self.cpu,
            self.rig.redis_cpu() - self.redis,
        )
        return ORDERS / took, cpu / ORDERS * 1000, redis / ORDERS * 1000


def bare() -> tuple[float, float, float]:
    """The same call from a task that does nothing else."""
    with Rig() as rig:
        worker = rig.worker(at(rig.supplier()), app="benchmarks.bare")
        for prefix, orders in BATCHES:
            for number in range(orders):
                rig.send(
                    "bare.confirm",
                    STAGED,
                    supplier="relograde",
                    order_id=f"{prefix}{number}",
                    reference="r",
                )
            cost = Cost(rig, worker)
            rig.release()
            wait_for(rig.idle, "every task is done")
        return cost.per_order()


def whole(receipts: bool) -> tuple[float, float, float]:
    """Doors, ledger, call, outcomes; `receipts`: with the web app's `outcomes.acknowledge` for
    each.
    """
    with Rig() as rig:
        worker = rig.worker(at(rig.supplier()))
        for prefix, orders in BATCHES:
            for number in range(orders):
                rig.confirm(f"{prefix}{number}", STAGED)
            cost = Cost(rig, worker)
            rig.release()
            left = {f"{prefix}{number}" for number in range(orders)}
            wait_for(partial(_all_told, rig, left, receipts), "every order is told as confirmed")
            wait_for(rig.idle, "every message is acknowledged")
        return cost.per_order(SYNC_AGE)


def _all_told(rig: Rig, left: set[str], receipts: bool) -> bool:
    """Takes out of `left` what is told as confirmed by now; True when that is all."""
    for outcome in rig.outcomes():
        if receipts:
            rig.send("outcomes.acknowledge", id=outcome["id"])
        if outcome["type"] == "order.confirmed":
            left.discard(outcome["data"]["order_id"])
    return not left


def measure() -> list[Row]:
    """One run: bare and whole one after the other, so that a busy machine disturbs both."""
    rate, cpu, redis = bare()
    our_rate, our_cpu, our_redis = whole(receipts=False)
    acknowledged_rate, acknowledged_cpu, _ = whole(receipts=True)
    return [
        Row(name="bare Celery task: orders per second", value=rate, unit="1/s"),
        Row(name="bare Celery task: CPU per order", value=cpu, unit="ms"),
        Row(name="bare Celery task: Redis' CPU per order", value=redis, unit="ms"),
        Row(name="whole path: orders per second", value=our_rate, unit="1/s"),
        Row(name="whole path: CPU per order", value=our_cpu, unit="ms"),
        Row(name="whole path: Redis' CPU per order", value=our_redis, unit="ms"),
        Row(
            name="whole path with receipts: orders per second", value=acknowledged_rate, unit="1/s"
        ),
        Row(name="whole path with receipts: CPU per order", value=acknowledged_cpu, unit="ms"),
        Row(
            name="CPU per order, whole path over bare",
            value=our_cpu / cpu,
            unit="times",
            at_most=AT_MOST,
        ),
    ]
