"""What hangs without a word: brokers, ledgers and workers whose sockets stay open.

Each case has servers of its own.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.embedded_redis import EmbeddedRedis
from sandbox.server import Sandbox
from tests.chaos.oracle import Stranger, judge
from tests.chaos.proxy import Proxy
from tests.chaos.settle import settle
from tests.chaos.shop import Shop
from tests.fleet import ROOT, Fleet, supplier_environment, wait_for

ASKED_AFTER = 50.0
"""Seconds after which `celery -A worker health` is asked; it may take some itself."""
NOTICED = 60.0
"""Seconds within which a worker that cannot recover must be noticed, and must have ended itself."""
HUNG = 70
"""The exit code of a worker that ended itself, as its supervisor sees it."""
HOLD = 1.5
ORDERS = {"relograde": ("slow", "pending"), "logitrail": ("slow", "confirmed")}
WAYS = {
    "rate_limit": 0,
    "defaults": {"hold": HOLD, "finish_after": 2.0, "interval": 0.002, "for_seconds": 2.0},
}


class Site:
    """One worker's world: broker and ledger, each behind a proxy, one server or two."""

    def __init__(
        self, folder: Path, sandbox: Sandbox, stack: ExitStack, *, apart: bool, proxied: bool
    ) -> None:
        self.sandbox = sandbox
        self.broker = stack.enter_context(EmbeddedRedis(folder / "broker", own=True))
        self.ledger = (
            stack.enter_context(EmbeddedRedis(folder / "ledger", own=True))
            if apart
            else self.broker
        )
        self.to_broker, self.to_ledger = Proxy(_port(self.broker)), Proxy(_port(self.ledger))
        stack.callback(self.to_broker.close)
        stack.callback(self.to_ledger.close)
        self.fleet = Fleet(folder, self.broker.url, supplier_environment(sandbox))
        stack.callback(self.fleet.stop)
        self.fleet.environment |= {"TMPDIR": str(folder)}
        if proxied:
            self.fleet.environment["REDIS_URL"] = self.to_broker.url
        if apart:
            self.fleet.environment["LEDGER_URL"] = self.to_ledger.url
        self.shop = stack.enter_context(Shop(self.broker.url, "shop"))
        self.stranger = Stranger(self.ledger.url)
        stack.callback(self.stranger.client.close)

    def send(self) -> None:
        """Orders whose calls take a while, and orders that end soon, at both suppliers."""
        for supplier, kinds in ORDERS.items():
            for kind in kinds:
                self.shop.send(self.sandbox.create(supplier, kind))

    def called(self) -> bool:
        """Every order's call has reached its supplier."""
        orders = self.shop.orders.values()
        return all(
            self.sandbox.order(order["supplier"], order["order_id"])["calls"] for order in orders
        )

    def well(self) -> bool:
        """What a process manager asks."""
        line = [sys.executable, "-m", "celery", "-A", "worker", "health"]
        return (
            subprocess.run(
                line, cwd=ROOT, env=self.fleet.environment, capture_output=True, check=False
            ).returncode
            == 0
        )

    def violations(self) -> list[str]:
        """After everything has recovered, by the supplier's books."""
        wrong = settle(self.shop, self.stranger)
        books = [
            entry
            for entry in self.sandbox.books()["orders"]
            if entry["order_id"] in self.shop.orders
        ]
        return wrong + judge({"orders": books}, self.stranger, self.shop.told)


@dataclass(frozen=True)
class Case:
    """What hangs, what `celery -A worker health` may say of it, and how the worker may end (None:
    not at all).
    """

    name: str
    strike: Callable[[Site], object]
    heal: Callable[[Site], object]
    well: tuple[bool, ...]
    ends: tuple[int | None, ...]
    apart: bool = True
    proxied: bool = True


def _signal_broker(number: signal.Signals) -> Callable[[Site], object]:
    return lambda site: site.broker.process.send_signal(number) if site.broker.process else None


CASES = (
    Case(
        "the broker's connections hang, the ledger's pass",
        lambda site: site.to_broker.hang(),
        lambda site: site.to_broker.recover(),
        well=(False,),
        ends=(HUNG,),
    ),
    Case(
        "the one server of broker and ledger is frozen",
        _signal_broker(signal.SIGSTOP),
        _signal_broker(signal.SIGCONT),
        well=(False,),
        ends=(HUNG,),
        apart=False,
    ),
    Case(
        "the connections that there are hang, new ones pass",
        lambda site: site.to_broker.lose(),
        lambda site: site.to_broker.recover(),
        well=(False, True),
        ends=(HUNG, None),
        apart=False,
    ),
    Case(
        "the worker is frozen, and killed in the end",
        lambda site: site.fleet.workers[0].send_signal(signal.SIGSTOP),
        lambda site: site.fleet.kill(0),
        well=(False,),
        ends=(None,),
    ),
    Case(
        "the ledger hangs, the broker passes",
        lambda site: site.to_ledger.hang(),
        lambda site: site.to_ledger.recover(),
        well=(True,),
        ends=(None,),
    ),
    Case(
        "the broker is down and refuses",
        lambda site: site.broker.kill(),
        lambda site: site.broker.start(),
        well=(False,),
        ends=(None,),
        proxied=False,
    ),
)


def hang(seed: int, folder: Path) -> int:
    """All cases at once, since each takes a minute of waiting; returns the number of violations."""
    with Sandbox(seed=seed, initial={"relograde": WAYS, "logitrail": WAYS}) as sandbox:
        with ThreadPoolExecutor(len(CASES)) as threads:
            found = list(
                threads.map(
                    lambda number: _play(CASES[number], sandbox, folder / str(number)),
                    range(len(CASES)),
                )
            )
        judged = len(sandbox.books()["orders"])
    wrong = [line for lines in found for line in lines]
    for line in wrong:
        print(f"  VIOLATION {line}")
    print(f"chaos: hangs {len(CASES)}, orders judged {judged}, violations {len(wrong)}", flush=True)
    return len(wrong)


def _play(case: Case, sandbox: Sandbox, folder: Path) -> list[str]:
    folder.mkdir()
    with _site(case, sandbox, folder) as site:
        worker = site.fleet.workers[0]
        wrong = [] if site.well() else ["not well at the start"]
        site.send()
        wait_for(site.called, "the calls are under way")
        case.strike(site)
        began = time.monotonic()
        well, code, seconds = _watch(site, worker, began)
        case.heal(site)
        if worker.poll() is not None:
            site.fleet.start()
        site.send()
        wait_for(site.called, "it works again", 120)
        wrong += site.violations()
        health = f"{'well' if well else 'not well'} by the health command"
        fate = (
            "the worker went on"
            if code is None
            else f"the worker ended itself with {code} after {seconds:.0f} s"
        )
        wrong += [] if well in case.well else [health]
        wrong += [] if code in case.ends and seconds <= NOTICED else [fate]
        print(f"  {case.name}: {health}, {fate}", flush=True)
        return [f"{case.name}: {why}" for why in wrong]


def _watch(
    site: Site, worker: subprocess.Popen[bytes], began: float
) -> tuple[bool, int | None, float]:
    """(what health says, how the worker ended, after how many seconds): a bit longer than a hang
    may go unnoticed.
    """
    well, code, seconds = None, None, 0.0
    while (now := time.monotonic() - began) < NOTICED + 5:
        if code is None and worker.poll() is not None:
            code, seconds = worker.returncode, now
        if well is None and now > ASKED_AFTER:
            well = site.well()
        time.sleep(0.1)
    return bool(well), code, seconds


@contextmanager
def _site(case: Case, sandbox: Sandbox, folder: Path) -> Iterator[Site]:
    """With a worker that has proved itself."""
    with ExitStack() as stack:
        site = Site(folder, sandbox, stack, apart=case.apart, proxied=case.proxied)
        site.fleet.start()
        site.send()
        wait_for(site.called, "the worker is at work")
        yield site


def _port(server: EmbeddedRedis) -> int:
    return int(urlsplit(server.url).port or 0)
