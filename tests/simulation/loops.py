"""The loops that every worker runs, turned when there may be something to do instead of four times a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import redis

from tests.simulation.clock import START
from tests.simulation.scheduler import Actor

if TYPE_CHECKING:
    from tests.simulation.world import World

DAY = 86400.0
LONGEST = 900.0
SHORTEST = 0.05
LEAD = str(7200 - 30)
"""Seconds before the last safe moment at which the web app is warned: two hours, less the margin."""
NEAR = 0.25
"""Seconds within which something else comes anyway; the loops look after it."""


class Loops:
    """Offers the scheduler the next turn of a dispatcher or a teller, at the time at which it can matter."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.turns = 0
        self._not_before = {"dispatch": 0.0, "tell": 0.0, "tend": 0.0}
        self._in_vain = 0
        self._seen: list[str] = []
        self._seen_at, self._seen_until = -1, 0.0
        self._channels = json.dumps(world.plan.channels)

    def idle(self, soonest: float | None) -> tuple[float, Callable[[], Any]] | None:
        """(when, what) comes next, given that everything else sleeps until `soonest`; None: the run is over."""
        now = self.world.clock.now
        if soonest is not None and soonest - now < NEAR:
            return soonest, lambda: None
        wishes = sorted(self._wishes(now), key=lambda wish: wish[0])
        if wishes and (soonest is None or wishes[0][0] < soonest):
            when, what = wishes[0]
            self.world.passes(when)
            return (when, what) if when < START + self.world.plan.days * DAY else None
        if soonest is None or soonest >= START + self.world.plan.days * DAY:
            return None
        self.world.passes(soonest)
        return soonest, lambda: None

    def _wishes(self, now: float) -> list[tuple[float, Callable[[], Any]]]:
        found = self._peek(now)
        due, ready, free, outbox, warning = [float(text) if text else None for text in found]
        wishes: list[tuple[float, Callable[[], Any]]] = []
        if ready and self._in_vain:
            soon = min(now + LONGEST, max(free or now + LONGEST, now + SHORTEST))
            wishes.append((max(soon, self._not_before["dispatch"]), self._dispatch))
        elif ready:
            wishes.append((max(now, self._not_before["dispatch"]), self._dispatch))
        if due is not None:
            wishes.append((max(due + 0.002, self._not_before["dispatch"]), self._dispatch))
        if outbox is not None:
            wishes.append((max(outbox + 0.002, self._not_before["tell"]), self._tell))
        if warning is not None:
            wishes.append((max(warning + 0.002, self._not_before["tend"]), self._tend))
        return wishes

    def _peek(self, now: float) -> list[str]:
        """What the ledger waits for; asked again only when something was written, or a wait for it is over."""
        if self._seen_at != self.world.changes or now >= self._seen_until:
            self._seen = self.world.site.peek(keys=["sim"], args=[f"{now:.6f}", self._channels, LEAD])
            self._seen_at = self.world.changes
            self._seen_until = float(self._seen[2] or "inf")
        return self._seen

    def _dispatch(self) -> Actor | None:
        return self._turn("dispatch", "dispatcher", self._dispatch_turn)

    def _tell(self) -> Actor | None:
        return self._turn("tell", "teller", lambda worker: worker.teller.round())

    def _tend(self) -> Actor | None:
        return self._turn("tend", "tend", lambda worker: [worker.ledger.tend(room) for room in self.world.suppliers])

    def _turn(self, kind: str, name: str, what: Callable[[Any], Any]) -> Actor | None:
        self.turns += 1
        self._not_before[kind] = self.world.clock.now + (self.world.plan.pace if kind == "tell" else SHORTEST)
        worker = self.world.worker(self.turns)
        if worker.frozen_until > self.world.clock.now:
            self._not_before[kind] = worker.frozen_until
            return None

        def run() -> None:
            try:
                what(worker)
            except redis.ConnectionError:
                self._not_before[kind] = self.world.clock.now + 1.0
                self.world.note("no ledger")

        return Actor(name, worker, None, run)

    def _dispatch_turn(self, worker: Any) -> None:
        before = self.world.broker.bells
        worker.dispatcher.turn()
        self._in_vain = 0 if self.world.broker.bells > before else self._in_vain + 1
