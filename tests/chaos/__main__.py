"""`python -m tests.chaos [--seed N] [--orders N] [--seconds S] [--doors KILLS | --hang]`; exit 0:
no violation.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sandbox.embedded_redis import EmbeddedRedis
from sandbox.server import Sandbox
from tests.chaos.hang import hang
from tests.chaos.oracle import Stranger, judge
from tests.chaos.settle import settle
from tests.chaos.shop import Shop
from tests.chaos.storm import Storm
from tests.fleet import ROOT, Fleet, supplier_environment

DEFAULTS = {"hold": 2.5, "finish_after": 2.0, "interval": 0.002, "for_seconds": 2.0}
SWITCHES = {"rate_limit": 0, "defaults": DEFAULTS}
QUEUE = "shop"


def environment(sandbox: Sandbox) -> dict[str, str]:
    return {
        **supplier_environment(sandbox),
        "COUNTERSIGN_CONCURRENCY": "60",
        "RETRY_SECONDS": "0.5,1,2,4,8",
    }


def storm(seed: int, number: int, seconds: float, folder: Path) -> int:
    """Orders of every kind while everything fails; afterwards all must end by themselves, and
    rightly.
    """
    initial = {"relograde": SWITCHES, "logitrail": SWITCHES}
    with (
        EmbeddedRedis(folder / "redis", own=True) as server,
        Sandbox(seed=seed, doors=True, initial=initial) as sandbox,
        Shop(server.url, QUEUE) as shop,
    ):
        fleet = Fleet(folder, server.url, environment(sandbox))
        try:
            fleet.start(3)
            faults = Storm(fleet, server, sandbox, seed, seconds)
            faults.start()
            send_all(shop, make(sandbox, number), seconds * 0.8)
            faults.join()
            if faults.problem:
                raise faults.problem
            stranger = Stranger(server.url)
            calm = time.monotonic()
            stuck = settle(shop, stranger)
            print(f"all orders at their end {time.monotonic() - calm:.0f} s after the last fault")
            violations = judge(sandbox.books(), stranger, shop.told) + stuck
            report(faults.faults, len(shop.orders), shop.sends, violations)
            return len(violations)
        finally:
            fleet.stop()


def make(sandbox: Sandbox, number: int) -> list[dict[str, Any]]:
    """Mixed orders of both suppliers, from the sandbox's seed."""
    return sandbox.create_many(
        [
            {"supplier": "relograde" if n % 3 else "logitrail", "behaviour": "mix"}
            for n in range(number)
        ]
    )


def send_all(shop: Shop, orders: list[dict[str, Any]], seconds: float) -> None:
    """Spread over the storm, each repeated until it is heard of."""
    began = time.monotonic()
    for n, order in enumerate(orders):
        while time.monotonic() - began < seconds * n / len(orders):
            time.sleep(0.005)
        shop.send(order)
        if n % 50 == 49:
            shop.repeat()


def doors(seed: int, kills: int, folder: Path) -> int:
    """kill -9 of a worker that is accepting 200 messages a second, again and again; the sender
    repeats.
    """
    with (
        EmbeddedRedis(folder / "redis", own=True) as server,
        Sandbox(seed=seed) as sandbox,
        Shop(server.url, QUEUE) as shop,
    ):
        fleet = Fleet(folder, server.url, environment(sandbox))
        try:
            hold = [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "worker",
                "lanes",
                "hold",
                "logitrail",
                "--note",
                "doors only",
            ]
            subprocess.run(hold, cwd=ROOT, env=fleet.environment, check=True, capture_output=True)
            fleet.start()
            stranger, total = Stranger(server.url), 0
            for _ in range(kills):
                wait_until_accepting(shop, stranger, total)
                batch = [
                    {"supplier": "logitrail", "order_id": f"{seed:08x}{total + n:016x}"}
                    for n in range(200)
                ]
                send_all(shop, batch[:100], 0.5)
                fleet.kill()
                fleet.start()
                send_all(shop, batch[100:], 0.5)
                total += len(batch)
            until = time.monotonic() + 120
            while shop.repeat() and time.monotonic() < until:
                time.sleep(0.5)
            violations = [
                f"{name}: accepted at {sorted(shop.accepted_at.get(name, ()))}"
                for name in shop.orders
                if len(shop.accepted_at.get(name, ())) != 1 or not stranger.order("logitrail", name)
            ]
            report(
                {"kill -9 of an accepting worker": kills}, len(shop.orders), shop.sends, violations
            )
            return len(violations)
        finally:
            fleet.stop()


def wait_until_accepting(shop: Shop, stranger: Stranger, total: int) -> None:
    """The new worker must be at work before it is killed, or the kill proves nothing."""
    probe = {"supplier": "logitrail", "order_id": f"ffffffff{total:016x}"}
    shop.send(probe)
    until = time.monotonic() + 60
    while not stranger.order("logitrail", probe["order_id"]) and time.monotonic() < until:
        shop.repeat()
        time.sleep(0.05)


def report(faults: dict[str, int], orders: int, sends: int, violations: list[str]) -> None:
    """The table of faults and the verdict."""
    for name, number in sorted(faults.items()):
        print(f"  {number:6d}  {name}")
    for line in violations[:40]:
        print(f"  VIOLATION {line}")
    print(
        f"chaos: orders judged {orders}, messages sent {sends}, violations {len(violations)}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long faults are injected")
    parser.add_argument(
        "--doors", type=int, default=0, metavar="KILLS", help="put the kills on the doors instead"
    )
    parser.add_argument(
        "--hang", action="store_true", help="let brokers, ledgers and workers hang instead"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        print(f"chaos: seed {given.seed}", flush=True)
        if given.hang:
            return min(hang(given.seed, Path(folder)), 1)
        if given.doors:
            return min(doors(given.seed, given.doors, Path(folder)), 1)
        return min(storm(given.seed, given.orders, given.seconds, Path(folder)), 1)


if __name__ == "__main__":
    sys.exit(main())
