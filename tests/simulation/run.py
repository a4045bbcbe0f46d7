"""One plan from beginning to end, with its verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.clock import START, Clock, Time
from tests.simulation.plan import Plan
from tests.simulation.scheduler import Actor, Scheduler
from tests.simulation.workers import Site
from tests.simulation.world import World
from worker import boundaries
from worker.suppliers import connections
from worker.turns import executor


@dataclass
class Result:
    """What came of a run."""

    plan: Plan
    orders: int = 0
    violations: list[tuple[str, str]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    given: dict[int, list[str]] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    days: float = 0.0
    history: list[str] = field(default_factory=list)


class Runner:
    """Runs plans one after the other on one server. Use as a context manager."""

    def __init__(self) -> None:
        self.site = Site()
        self.clock = Clock()
        self.scheduler = Scheduler(self.clock)
        self.world: World | None = None

    def __enter__(self) -> Runner:
        virtual: Any = Time(self.clock, self._sleep)
        self._times = (executor.time, connections.time)
        executor.time = connections.time = virtual
        boundaries.install(self._point)
        return self

    def __exit__(self, *error: Any) -> None:
        boundaries.install(None)
        executor.time, connections.time = self._times
        self.scheduler.close()
        self.site.close()

    def run(self, plan: Plan, tell: bool = False) -> Result:
        """The whole of `plan`; `tell` keeps its history."""
        self.site.client.call("FLUSHDB", "SYNC")
        world = self.world = World(plan, self.site, self.scheduler, tell)
        self.scheduler.run(lambda: self._begin(world), world.loops.idle, self._crashed)
        orders = 0 if world.violations else world.oracle.judge()
        result = Result(plan, orders, world.violations, world.faults, history=world.history)
        result.days = (self.clock.now - START) / 86400.0
        result.ends.update(f"{state} {reason or ''}".strip() for state, reason in world.oracle.ends)
        for books in world.books.values():
            for entry in books.orders.values():
                result.given[entry.plan.number] = [
                    *entry.given,
                    *(visit.behaviour for visit in entry.visits),
                ]
        return result

    def _begin(self, world: World) -> None:
        """The workers have been up for a moment: their first turns are on disk."""
        for room in world.suppliers:
            world.workers[0].ledger.tend(room)
        world.sync_disk()
        world.shop.open()
        world.people.begin()

    def _crashed(self, actor: Actor, error: Exception) -> None:
        if self.world is not None:
            self.world.violate("crash", f"{actor.name}: {type(error).__name__}: {error}")

    def _point(self, name: str) -> None:
        if self.world is not None:
            self.world.point(name)

    def _sleep(self, seconds: float) -> None:
        if self.world is not None:
            self.world.pause(seconds)
