"""A million waiting orders in one Redis: what each costs in memory, and what they cost a dispatch,
a list, a drain.

Everything goes through the ledger's own scripts on a real server with its append-only file on. The
orders lie in three lanes and wait with their acceptance told, which is how an order waits; their
`details` are not counted. `SCALE_ORDERS` changes their number. Times are medians over several
rounds on the one crowd, since filling takes minutes.
"""

import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.rig import UNLIMITED, Rig
from benchmarks.rows import Row
from sandbox.embedded_redis import EmbeddedRedis
from schemas.lane import Lane
from schemas.order import Order
from worker.ledger import Ledger
from worker.ledger.limits import PROMOTE, LaneLimits
from worker.ledger.reads.views import Views
from worker.ledger.script_runner import Scripts
from worker.ledger.shelf import Shelf
from worker.rules.answers import Confirmed, Line
from worker.rules.policy import Policy
from worker.rules.words import Rules
from worker.servers import connect
from worker.turns.dispatcher import BATCH
from worker.turns.executor import Executor

RUNS = 1
ORDERS = int(os.environ.get("SCALE_ORDERS", "1000000"))
ROUNDS = 200
SAMPLE = 1000
SMALL, DRAINED = 10_000, 6000
"""Orders of the small crowd, and how many each is drained of."""
NEAR = 100
WATCHED = 20.0
"""Seconds for which a worker is left to itself before its memory is read."""
LANES: tuple[Lane, ...] = (
    Lane("relograde", "a"),
    Lane("relograde", "b"),
    Lane("logitrail"),
)
POLICIES = {
    "relograde": Policy(Rules(reads=True, settle=40.0, confirm_within=86400.0, margin=30.0)),
    "logitrail": Policy(Rules(reads=False, settle=60.0, give_up=259200.0, hosts=2)),
}
FALL_DUE = """
-- Sends `count` ready orders of one lane back to wait until the same moment, as a retry would.
local ids = redis.call('ZRANGE', KEYS[1] .. 'ready:' .. ARGV[1] .. ':confirm', 0, ARGV[3] - 1)
for _, id in ipairs(ids) do
  redis.call('HSET', KEYS[1] .. 'order:' .. id, 'due_at', ARGV[2])
  redis.call('ZADD', KEYS[1] .. 'due:' .. ARGV[1], ARGV[2], id)
end
if #ids > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[1] .. 'ready:' .. ARGV[1] .. ':confirm', 0, #ids - 1)
end
return #ids
"""


def make_ledger(url: str, per_minute: int = 50) -> Ledger:
    limits = {"relograde": LaneLimits(per_minute, 60, 50.0), "logitrail": LaneLimits(0, 60, 35.0)}
    return Ledger(Shelf(Scripts(connect(url), "countersign"), POLICIES, limits))


def an_order(number: int, now: float, created_ago: float) -> Order:
    """References as long as a UUID; the suppliers show whole seconds."""
    supplier, account = LANES[number % len(LANES)]
    relograde = supplier == "relograde"
    created = float(int(now - created_ago))
    return Order(
        supplier=supplier,
        order_id=f"T{number:013d}" if relograde else f"{number:024x}",
        account=account,
        reference=str(uuid.UUID(int=number)),
        created_at=created if relograde else None,
        paid_at=created + 40,
        amount="25.00" if relograde else None,
        currency="EUR" if relograde else None,
        accepted_at=now,
        deadline_at=created + 86400 if relograde else None,
    )


def fill(url: str, numbers: range) -> None:
    """Opens orders between half an hour and ten hours old."""
    ledger = make_ledger(url)
    for number in numbers:
        ledger.open(an_order(number, ledger.time(), 1800 + number * 7919 % 34200))


def crowd(url: str) -> None:
    """All of them, from two processes."""
    parts = [range(start, min(start + 10_000, ORDERS)) for start in range(0, ORDERS, 10_000)]
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(fill, [url] * len(parts), parts))


def memory(client: Any, used: int) -> list[Row]:
    """Bytes per order by INFO, and where they are by MEMORY USAGE."""
    found: dict[str, float] = {}
    records = list(islice(client.scan_iter("*:order:*", count=1000), SAMPLE))
    found["record"] = statistics.mean(client.memory_usage(key, samples=0) for key in records)
    for key in client.scan_iter("*", count=10_000):
        name = key.split(":")[2]
        if name in ("state", "ready", "due", "deadlines"):
            found[name] = found.get(name, 0.0) + client.memory_usage(key, samples=1000) / ORDERS
        elif name in ("timeline", "outcomes", "outbox", "warned"):
            raise AssertionError(f"{key}: an order that only waits has none")
    rows = [
        Row(name=f"  of these: {name}", value=value, unit="bytes")
        for name, value in sorted(found.items())
    ]
    rest = used / ORDERS - sum(found.values())
    rows.append(Row(name="  of these: the server's table of keys", value=rest, unit="bytes"))
    return [
        Row(name="memory of a waiting order", value=used / ORDERS, unit="bytes", at_most=700),
        *rows,
    ]


def worker_memory(url: str) -> float:
    """MB of a worker that dispatches there for a while; all lanes are held meanwhile, so that it
    calls nobody.
    """
    accounts = {
        "RELOGRADE_ACCOUNTS": "a,b",
        "RELOGRADE_API_KEY_A": "key-a",
        "RELOGRADE_API_KEY_B": "key-b",
    }
    ledger = make_ledger(url)
    for lane in LANES:
        ledger.hold(lane, "benchmark")
    with Rig() as rig:
        pid = rig.worker({**UNLIMITED, **accounts, "REDIS_URL": url})
        time.sleep(WATCHED)
        found = processes.memory(pid)
    for lane in LANES:
        ledger.release(lane)
    return found


def milliseconds(what: Callable[[], Any], rounds: int) -> float:
    """The median of several rounds, each with its trip to the server."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        what()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


class Supplier:
    """Answers at once, in this process: what is measured is the ledger."""

    def __init__(self) -> None:
        self.confirmed: list[str] = []

    def confirm(self, order_id: str, gate: Any, host: int = 0, details: Any = None) -> Confirmed:
        gate.check()
        self.confirmed.append(order_id)
        return Confirmed(lines=(Line("1", "finished", True),))


class Drain:
    """One server's orders, of which `many` fell due in the same second, and what the steps have
    cost so far.
    """

    def __init__(self, url: str, many: int) -> None:
        self.ledger, self.supplier = make_ledger(url, per_minute=0), Supplier()
        self.executor = Executor(self.ledger, POLICIES, dict.fromkeys(LANES, self.supplier))
        self.client = self.ledger.scripts.client
        self.seconds = 0.0
        self.at = f"{self.ledger.time() - 1:.6f}"
        for room, account in LANES:
            self.fall(room, account, many // len(LANES))

    def fall(self, room: str, account: str | None, many: int) -> None:
        """So many of the ready orders of a lane, the nearest deadlines first, fell due in that
        second instead.
        """
        fall_due = self.client.register_script(FALL_DUE)
        while many > 0:
            keys, words = (
                [self.ledger.scripts.base(room)],
                [account or "-", self.at, min(many, 5000)],
            )
            many -= fall_due(keys=keys, args=words) or many

    def round(self) -> None:
        """Dispatches all lanes once and makes the steps."""
        began = cpu(self.client)
        for supplier, account in LANES:
            for order_id in self.ledger.dispatch(Lane(supplier, account), BATCH).picked:
                self.executor.step(supplier, order_id)
        self.seconds += cpu(self.client) - began

    @property
    def cost(self) -> float:
        """CPU ms per order, ours and the server's."""
        return self.seconds * 1000 / len(self.supplier.confirmed)


def drain(*drains: Drain) -> None:
    """In turns, a round each: a busy machine makes all of them dearer alike."""
    while any(len(each.supplier.confirmed) < DRAINED for each in drains):
        for each in drains:
            each.round()


def cpu(client: Any) -> float:
    """Seconds of this process and of the server: a busy machine does not change them much."""
    server = client.info("cpu")
    return time.process_time() + float(server["used_cpu_user"]) + float(server["used_cpu_sys"])


def measure() -> list[Row]:
    """One crowd, and everything that is asked of it; a small one on another server, to compare
    with.
    """
    with ExitStack() as stack:
        server, other = (
            stack.enter_context(
                EmbeddedRedis(Path(stack.enter_context(tempfile.TemporaryDirectory())), own=True)
            )
            for _ in range(2)
        )
        client = connect(server.url)
        alone = worker_memory(server.url)
        client.flushall()
        make_ledger(server.url).tend("relograde")
        before = int(client.info("memory")["used_memory"])
        crowd(server.url)
        rows = memory(client, int(client.info("memory")["used_memory"]) - before)
        ledger = make_ledger(server.url)
        views = Views(ledger.shelf, LANES)
        one = milliseconds(lambda: ledger.dispatch(Lane("logitrail"), 1), 50)
        idle = milliseconds(lambda: ledger.dispatch(Lane("relograde", "a"), 0), ROUNDS)
        listed = milliseconds(lambda: views.orders(None, None, 100), 5)
        rows += [
            Row(name="a dispatch that picks one of the crowd", value=one, unit="ms", at_most=2),
            Row(name="a dispatch that finds the budget spent", value=idle, unit="ms", at_most=2),
            Row(
                name="orders stats", value=milliseconds(views.stats, 5) / 1000, unit="s", at_most=1
            ),
            Row(name="orders list", value=listed / 1000, unit="s", at_most=1),
        ]
        beside = worker_memory(server.url)
        rows += [
            Row(name="memory of a worker while none wait", value=alone, unit="MB"),
            Row(
                name="memory of a worker while all wait, over that",
                value=beside / alone,
                unit="times",
                at_most=1.05,
            ),
        ]
        fill(other.url, range(SMALL))
        many, few = Drain(server.url, ORDERS), Drain(other.url, SMALL)
        now, first = ledger.time(), ORDERS - ORDERS % len(LANES) + len(LANES)
        near = [an_order(first + number * len(LANES), now, 86400 - 60) for number in range(NEAR)]
        for order in near:
            ledger.open(order)
        many.fall(*LANES[0], NEAR)
        fallen = milliseconds(lambda: ledger.dispatch(Lane("relograde", "b"), 1), 50)
        drain(many, few)
        late = {order.order_id for order in near} - set(many.supplier.confirmed)
        return [
            *rows,
            Row(
                name=f"a dispatch that moves {PROMOTE} of the crowd that fell due",
                value=fallen,
                unit="ms",
            ),
            Row(name="drain of ten thousand due at once", value=few.cost, unit="CPU ms/order"),
            Row(name="drain of the whole crowd due at once", value=many.cost, unit="CPU ms/order"),
            Row(
                name="  its ratio to that of ten thousand",
                value=many.cost / few.cost,
                unit="",
                at_most=1.1,
            ),
            Row(
                name="orders near their deadline left behind",
                value=len(late),
                unit="orders",
                at_most=0,
            ),
        ]
