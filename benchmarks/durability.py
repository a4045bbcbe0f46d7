"""What each way of syncing costs, and what a crash of the ledger's server loses.

A killed process loses nothing that it had written, because the kernel still has it. A power cut
loses what was not synced yet; it is imitated by cutting the append-only file back to what it was
one second before the kill.
"""

import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.rows import Row
from sandbox.embedded_redis import EmbeddedRedis
from schemas.order import Order
from worker.ledger import Ledger
from worker.ledger.limits import LaneLimits
from worker.ledger.script_runner import Scripts
from worker.ledger.shelf import Shelf
from worker.rules.policy import Policy
from worker.rules.words import Rules
from worker.servers import connect

RUNS = 5
SECONDS = 4.0
POLICIES = {
    "relograde": Policy(Rules(reads=True, settle=40.0, confirm_within=86400.0, margin=30.0)),
    "logitrail": Policy(Rules(reads=False, settle=60.0, give_up=259200.0, hosts=2)),
}


def make_ledger(url: str) -> Ledger:
    limits = {name: LaneLimits(0, 1000, 50.0) for name in POLICIES}
    shelf = Shelf(Scripts(connect(url), "bench"), POLICIES, limits, channels=("task",))
    return Ledger(shelf)


def accept(ledger: Ledger, seconds: float) -> tuple[list[str], list[float]]:
    """Opens orders one after the other; returns their ids and how long each took, in
    milliseconds.
    """
    names: list[str] = []
    took: list[float] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        name, now = f"B{len(names):08d}", ledger.time()
        began = time.perf_counter()
        ledger.open(
            Order(
                supplier="relograde",
                order_id=name,
                reference="r",
                created_at=now,
                accepted_at=now,
                deadline_at=now + 86400,
            )
        )
        took.append((time.perf_counter() - began) * 1000)
        names.append(name)
    return names, took


def append_only_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.aof"))


def cut(folder: Path, size: int) -> None:
    """Cuts the newest incremental file back so that all files together have `size` bytes."""
    newest = max(folder.rglob("*.incr.aof"), key=lambda file: file.stat().st_mtime)
    os.truncate(newest, max(newest.stat().st_size - (append_only_size(folder) - size), 0))


def crash(mode: str, power_cut: bool) -> list[Row]:
    """Accepts orders until the server dies; what was lost, and what an acceptance costs."""
    with (
        tempfile.TemporaryDirectory() as name,
        EmbeddedRedis(Path(name), appendfsync=mode, own=True) as server,
    ):
        ledger, sizes = make_ledger(server.url), list[tuple[float, int]]()
        watching = threading.Event()

        def watch() -> None:
            while not watching.wait(0.05):
                sizes.append((time.monotonic(), append_only_size(Path(name))))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        names, took = accept(ledger, SECONDS)
        killed = time.monotonic()
        server.kill()
        watching.set()
        watcher.join()
        if power_cut and mode != "always":
            cut(Path(name), max(size for at, size in sizes if at <= killed - 1.0))
        server.start()
        lost = sum(ledger.load("relograde", order).order is None for order in names)
    if power_cut:
        at_most = 0 if mode == "always" else None
        return [
            Row(
                name=f"orders lost by a power cut, {mode}",
                value=lost,
                unit="orders",
                at_most=at_most,
            )
        ]
    return [
        Row(name=f"acceptance, {mode}, median", value=statistics.median(took), unit="ms"),
        Row(name=f"orders lost by kill -9, {mode}", value=lost, unit="orders", at_most=0),
    ]


def measure() -> list[Row]:
    """One run: both ways of syncing, both ways of dying."""
    return [
        row
        for mode in ("everysec", "always")
        for power_cut in (False, True)
        for row in crash(mode, power_cut)
    ]
