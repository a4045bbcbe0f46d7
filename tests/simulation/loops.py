"""The loops that every worker runs, turned when there may be something to do instead of four times
a second.

A turn asks those rooms and lanes alone in which there is something: a script that finds nothing
costs as much as one that does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import redis

from schemas.lane import Lane
from tests.simulation.clock import START
from tests.simulation.scheduler import Actor

if TYPE_CHECKING:
    from tests.simulation.world import World

DAY = 86400.0
LONGEST = 900.0
SHORTEST = 0.05
LEAD = str(7200 - 30)
"""Seconds before the last safe moment at which the web app is warned: two hours, less the margin.
"""
NEAR = 0.25
"""Seconds within which something else comes anyway; the loops look after it."""
LATE = 0.002
"""Seconds by which a turn comes after what it is for."""
TEND = 1.0
LOOK = 3.0
"""Seconds between two tries to look at the accounts."""
NEVER = float("inf")

Wish = tuple[float, Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class Waits:
    """What one room waits for, as times.

    `free`: when something may next change that keeps what is ready from going.
    """

    room: str
    due: float
    ready: float
    free: float
    warning: float
    outbox: float
    look: float


class Loops:
    """Offers the scheduler the next turn of a dispatcher or a teller, at the time at which it can
    matter.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.turns = 0
        self._not_before = {"dispatch": 0.0, "tell": 0.0, "tend": 0.0, "look": 0.0}
        self._pace = {"tell": world.plan.pace, "look": LOOK}
        self._in_vain = 0
        self._seen: dict[str, Waits] = {}
        self._tend_at = NEVER

    def idle(self, soonest: float | None) -> Wish | None:
        """(when, what) comes next, given that everything else sleeps until `soonest`; None: the run
        is over.
        """
        now = self.world.clock.now
        if soonest is not None and soonest - now < NEAR:
            return soonest, _nothing
        when, what = min(self._wishes(now), key=itemgetter(0))
        if soonest is not None and soonest <= when:
            when, what = soonest, _nothing
        if when < NEVER:
            self.world.passes(when)
        return (when, what) if when < START + self.world.plan.days * DAY else None

    def server_is_back(self, when: float) -> None:
        """Within a second every worker tends its rooms, and so learns that the server is
        another.
        """
        self._tend_at = when + TEND

    def _wishes(self, now: float) -> Iterator[Wish]:
        self._peek(now)
        seen = self._seen.values()
        for waits in seen:
            if waits.ready:
                soon = min(now + LONGEST, max(waits.free, now + SHORTEST)) if self._in_vain else now
                yield max(soon, self._not_before["dispatch"]), self._dispatch
        yield (
            max(min(waits.due for waits in seen) + LATE, self._not_before["dispatch"]),
            self._dispatch,
        )
        yield max(min(waits.outbox for waits in seen) + LATE, self._not_before["tell"]), self._tell
        relograde = self._seen.get("relograde")
        if self.world.plan.balance and relograde:
            yield (
                max(relograde.look + LATE, self._not_before["look"]),
                lambda: self._turn("look", "look", _look),
            )
        warning = min(waits.warning for waits in seen) + LATE
        yield min(self._tend_at, max(warning, self._not_before["tend"])), self._tend

    def _peek(self, now: float) -> None:
        """What the rooms wait for; asked again only where something was written, or a wait for it
        is over.
        """
        written, self.world.written = self.world.written, set()
        rooms = [
            room for room in self.world.rooms if room in written or now >= self._seen[room].free
        ]
        if not rooms:
            return
        found = self.world.site.peek(
            keys=[f"sim:{{{room}}}:" for room in rooms],
            args=[f"{now:.6f}", LEAD, *self.world.plan.channels],
        )
        times = iter(map(float, found.split()))
        for room in rooms:
            self._seen[room] = Waits(room, *islice(times, 6))

    def _dispatch(self) -> Actor | None:
        now = self.world.clock.now
        lanes = [
            Lane(waits.room) for waits in self._seen.values() if waits.ready or waits.due <= now
        ]

        def turn(worker: Any) -> None:
            broker = self.world.broker
            before = broker.bells + broker.started
            worker.dispatcher.lanes = lanes
            worker.dispatcher.turn()
            self._in_vain = 0 if broker.bells + broker.started > before else self._in_vain + 1

        return self._turn("dispatch", "dispatcher", turn)

    def _tell(self) -> Actor | None:
        rooms = [
            waits.room for waits in self._seen.values() if waits.outbox <= self.world.clock.now
        ]

        def turn(worker: Any) -> None:
            worker.outbox.rooms = rooms
            worker.teller.round()

        return self._turn("tell", "teller", turn)

    def _tend(self) -> Actor | None:
        now, everywhere = self.world.clock.now, self._tend_at <= self.world.clock.now
        rooms = [waits.room for waits in self._seen.values() if everywhere or waits.warning <= now]
        self._tend_at = NEVER if everywhere else self._tend_at
        return self._turn(
            "tend", "tend", lambda worker: [worker.ledger.tend(room) for room in rooms]
        )

    def _turn(self, kind: str, name: str, what: Callable[[Any], Any]) -> Actor | None:
        self.turns += 1
        self._not_before[kind] = self.world.clock.now + self._pace.get(kind, SHORTEST)
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


def _look(worker: Any) -> None:
    worker.account.turn()


def _nothing() -> None:
    """Time passes."""
