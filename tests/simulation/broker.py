"""The broker: messages at least once, doorbells at most once, either late; a dead worker's messages
come again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import redis

from tests.simulation.scheduler import Actor
from worker import boundaries

if TYPE_CHECKING:
    from tests.simulation.workers import Worker
    from tests.simulation.world import World

VISIBILITY = 180.0
BACK = 1.0
HOP = 0.0


@dataclass(eq=False)
class Message:
    """One message for a door."""

    number: int
    door: str
    kwargs: dict[str, Any]
    order: str | None
    done: bool = False


class Broker:
    """Delivers to whichever worker's turn it is; what to lose, double or delay is in the plan, by
    number.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.messages = 0
        self.bells = self.started = 0
        self._planned = {
            (event.kind, event.nth): event
            for event in world.plan.events
            if event.kind.endswith("_message") or event.kind.endswith("_bell")
        }

    def send(
        self, door: str, kwargs: dict[str, Any], order: str | None = None, delay: float = 0.0
    ) -> Message:
        """Puts one message for a door into the queue."""
        self.messages += 1
        message = Message(self.messages, door, kwargs, order)
        when = self.world.clock.now + HOP + delay
        for extra in self._copies("message", self.messages):
            self.world.scheduler.at(when + extra, lambda: self._deliver(message))
        return message

    def ring(self, supplier: str, order_ids: list[str]) -> None:
        """Rings doorbells."""
        for order_id in order_ids:
            self.bells += 1
            for extra in self._copies("bell", self.bells):
                step = partial(self._step, self.bells, supplier, order_id)
                self.world.scheduler.at(self.world.clock.now + HOP + extra, step)

    def _copies(self, what: str, number: int) -> list[float]:
        """The delays of the deliveries: none when it is lost, two when it is doubled."""
        delays = [0.0]
        for kind in ("drop", "double", "delay"):
            event = self._planned.get((f"{kind}_{what}", number))
            if event is None:
                continue
            self.world.injected(event.kind)
            delays = (
                []
                if kind == "drop"
                else [event.seconds]
                if kind == "delay"
                else [0.0, event.seconds]
            )
        return delays

    def _deliver(self, message: Message) -> Actor | None:
        worker = self.world.worker(message.number)
        actor = Actor(message.door, worker, message.order, lambda: self._receive(actor, message))
        return self.world.begin(actor)

    def _receive(self, actor: Actor, message: Message) -> None:
        actor.message = message
        try:
            actor.worker.doors.receive(message.door, (), message.kwargs)
        except redis.RedisError:
            actor.message = None
            self.world.scheduler.at(self.world.clock.now + BACK, lambda: self._deliver(message))
            return
        actor.message = None
        message.done = True
        boundaries.reach(boundaries.MESSAGE_ACKNOWLEDGED)

    def worker_gone(self, actors: list[Actor], seconds: float) -> None:
        """What these actions had not acknowledged is delivered again, `seconds` later."""
        for actor in actors:
            message = actor.message
            if message is not None:
                again = lambda message=message: None if message.done else self._deliver(message)  # noqa: E731
                self.world.scheduler.at(self.world.clock.now + seconds, again)

    def start(self, worker: Worker, order_id: str, step: Callable[[], object]) -> None:
        """A step that a worker starts beside its door or its dispatcher; what its door has claimed
        goes with it.
        """
        self.started += 1
        self.beside(worker, "step", order_id, step)

    def beside(
        self, worker: Worker, name: str, order_id: str | None, what: Callable[[], object]
    ) -> None:
        """An action of its own that ends with its process."""
        incarnation, current = worker.incarnation, self.world.scheduler.current

        def run() -> None:
            try:
                what()
            except redis.RedisError:
                self.world.note(f"the {name} comes to nothing: no ledger")

        def begin() -> Actor | None:
            alive = worker.incarnation == incarnation
            actor = Actor(name, worker, order_id, run)
            actor.claim = current.claim if current else None
            return self.world.begin(actor) if alive else None

        self.world.scheduler.at(self.world.clock.now, begin)

    def _step(self, number: int, supplier: str, order_id: str) -> Actor | None:
        worker = self.world.worker(number)

        def step() -> None:
            try:
                worker.executor.step(supplier, order_id)
            except redis.RedisError:
                self.world.note("the bell comes to nothing: no ledger")
            boundaries.reach(boundaries.MESSAGE_ACKNOWLEDGED)

        return self.world.begin(Actor("bell", worker, order_id, step))
