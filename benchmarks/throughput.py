"""Orders per second and CPU seconds per order, message in to outcome out, beside a bare Celery task.

The supplier answers at once, and every message is on the queue before the first is taken. The two seconds that an
outcome waits for the disk are taken off the time, not off the CPU.
"""

import time

from benchmarks import processes
from benchmarks.rig import STAGED, Rig, at, wait_for
from benchmarks.rows import Row
from worker.outcomes import SYNC_AGE

RUNS = 5
ORDERS = 2000
WARM = 200
AT_MOST = 2.0


class Cost:
    """Seconds and CPU seconds between its making and `per_order`."""

    def __init__(self, rig: Rig, worker: int) -> None:
        self.rig, self.worker = rig, worker
        self.began, self.cpu, self.redis = time.monotonic(), processes.cpu_seconds(worker), rig.redis_cpu()

    def per_order(self, waited: float = 0.0) -> tuple[float, float, float]:
        """(orders per second, the worker's ms of CPU per order, the server's)."""
        took = time.monotonic() - self.began - waited
        cpu, redis = processes.cpu_seconds(self.worker) - self.cpu, self.rig.redis_cpu() - self.redis
        return ORDERS / took, cpu / ORDERS * 1000, redis / ORDERS * 1000


def bare() -> tuple[float, float, float]:
    """The same call from a task that does nothing else."""
    with Rig() as rig:
        supplier = rig.supplier()
        worker = rig.worker(at(supplier), app="benchmarks.bare")
        for orders, prefix in ((WARM, "W"), (ORDERS, "B")):
            for number in range(orders):
                rig.send("bare.confirm", STAGED, supplier="relograde", order_id=f"{prefix}{number}", reference="r")
            cost = Cost(rig, worker)
            rig.release()
            wait_for(rig.idle, "every task is done")
        return cost.per_order()


def whole(receipts: bool) -> tuple[float, float, float]:
    """Doors, ledger, call, outcomes; `receipts`: with the web app's `outcomes.acknowledge` for each."""
    with Rig() as rig:
        worker = rig.worker(at(rig.supplier()))
        for orders, prefix in ((WARM, "W"), (ORDERS, "B")):
            for number in range(orders):
                rig.confirm(f"{prefix}{number}", STAGED)
            cost = Cost(rig, worker)
            rig.release()
            told: set[str] = set()
            wait_for(lambda: _told(rig, prefix, told, receipts) == orders, "every order is told as confirmed")
            wait_for(rig.idle, "every message is acknowledged")
        return cost.per_order(SYNC_AGE)


def _told(rig: Rig, prefix: str, told: set[str], receipts: bool) -> int:
    """How many of the batch are told as confirmed by now."""
    for outcome in rig.outcomes():
        if receipts:
            rig.send("outcomes.acknowledge", id=outcome["id"])
        if outcome["type"] == "order.confirmed" and outcome["data"]["order_id"].startswith(prefix):
            told.add(outcome["id"])
    return len(told)


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
        Row(name="whole path with receipts: orders per second", value=acknowledged_rate, unit="1/s"),
        Row(name="whole path with receipts: CPU per order", value=acknowledged_cpu, unit="ms"),
        Row(name="CPU per order, whole path over bare", value=our_cpu / cpu, unit="times", at_most=AT_MOST),
    ]
