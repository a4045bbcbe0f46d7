"""The faults, each with a name that the final table counts."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

import redis

from sandbox.embedded_redis import EmbeddedRedis
from sandbox.server import Sandbox
from tests.fleet import Fleet

KILL_EVERY = 2.0
FREEZE = 16.0
"""Seconds of SIGSTOP: longer than the lease (call budget 3 s + 10 s)."""
OUTAGE = 3.0


class Storm(threading.Thread):
    """Injects faults for `seconds`; every worker that it ends is started anew, as a supervisor
    would.
    """

    def __init__(
        self, fleet: Fleet, server: EmbeddedRedis, sandbox: Sandbox, seed: int, seconds: float
    ) -> None:
        super().__init__(daemon=True)
        self.fleet = fleet
        self.server = server
        self.sandbox = sandbox
        self.random = random.Random(seed)
        self.seconds = seconds
        self.faults: Counter[str] = Counter()
        self._frozen: set[int] = set()
        self.problem: BaseException | None = None

    def run(self) -> None:
        try:
            self._storm()
        except BaseException as problem:
            self.problem = problem
        finally:
            for number in list(self._frozen):
                self._thaw(number)

    def _storm(self) -> None:
        began = time.monotonic()
        planned = self._plan()
        next_kill = began + KILL_EVERY
        while time.monotonic() - began < self.seconds or planned:
            now = time.monotonic()
            while planned and now - began >= planned[0][0]:
                planned.pop(0)[1]()
            if now >= next_kill and now - began < self.seconds:
                next_kill = now + KILL_EVERY
                self._kill()
            time.sleep(0.1)

    def _plan(self) -> list[tuple[float, Callable[[], None]]]:
        s = self.seconds
        frozen = self.random.randrange(len(self.fleet.workers))
        plan: list[tuple[float, Callable[[], None]]] = [
            (0.10 * s, lambda: self._freeze(frozen)),
            (0.10 * s + FREEZE, lambda: self._thaw(frozen)),
            (0.20 * s, self._cut_connections),
            (0.25 * s, self._restart_redis),
            (0.35 * s, lambda: self._switch("relograde", "outage", "503")),
            (0.35 * s + OUTAGE, lambda: self._switch("relograde", "outage", None)),
            (0.45 * s, self._deploy),
            (0.50 * s, lambda: self._switch("relograde", "rate_limit", 1)),
            (0.50 * s + OUTAGE, lambda: self._switch("relograde", "rate_limit", 0)),
            (0.55 * s, self._cut_connections),
            (0.60 * s, lambda: self._switch("logitrail", "host_1_down", True)),
            (0.60 * s + OUTAGE, lambda: self._switch("logitrail", "host_1_down", False)),
            (0.70 * s, self._restart_redis),
            (0.80 * s, lambda: self._switch("logitrail", "outage", "refuse")),
            (0.80 * s + OUTAGE, lambda: self._switch("logitrail", "outage", None)),
        ]
        return sorted(plan, key=lambda item: item[0])

    def _kill(self) -> None:
        running = [
            n
            for n, worker in enumerate(self.fleet.workers)
            if worker.poll() is None and n not in self._frozen
        ]
        if running:
            self.fleet.kill(self.random.choice(running))
            self.faults["kill -9 of a worker"] += 1
            self.fleet.start()

    def _freeze(self, number: int) -> None:
        if self.fleet.workers[number].poll() is not None:
            number = len(self.fleet.workers) - 1
        self.fleet.workers[number].send_signal(signal.SIGSTOP)
        self._frozen.add(number)
        self.faults["SIGSTOP beyond the lease"] += 1

    def _thaw(self, number: int) -> None:
        for frozen in list(self._frozen):
            self.fleet.workers[frozen].send_signal(signal.SIGCONT)
            self._frozen.discard(frozen)

    def _deploy(self) -> None:
        running = [
            worker
            for n, worker in enumerate(self.fleet.workers)
            if worker.poll() is None and n not in self._frozen
        ]
        for worker in running[:1]:
            worker.send_signal(signal.SIGTERM)
            self.faults["SIGTERM (deploy)"] += 1
        self.fleet.start()

    def _restart_redis(self) -> None:
        self.server.kill()
        time.sleep(1)
        self.server.start()
        self.faults["kill -9 of Redis"] += 1

    def _cut_connections(self) -> None:
        with redis.Redis.from_url(self.server.url, socket_timeout=5) as client:
            cut = sum(
                client.client_kill_filter(_type=kind, skipme=True) for kind in ("normal", "pubsub")
            )
        self.faults["connections cut"] += int(cut)

    def _switch(self, supplier: str, name: str, value: object) -> None:
        self.sandbox.settings({supplier: {name: value}})
        if value not in (None, False, 0):
            self.faults[f"{supplier} {name} {value}"] += 1
