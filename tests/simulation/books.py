"""The suppliers' books: every call that was sent, every effect, and what each order is at its
supplier.

Nothing here is the worker's: what a confirm does, when, and what is answered is decided from the
plan alone. The one thing of the worker's that is used is its gate, which the real connections ask
right before the first byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation import behaviours as do
from tests.simulation.clock import START
from tests.simulation.plan import OrderPlan
from worker import boundaries
from worker.rules import answers as say
from worker.suppliers.connections import TooLate

if TYPE_CHECKING:
    from tests.simulation.broker import Message
    from tests.simulation.world import World

TIMEOUTS = {"relograde": 45.0, "logitrail": 30.0}
NETWORK_DELAY = 0.05


@dataclass(eq=False)
class Visit:
    """One call that was sent.

    Permitted after `opened_at`; `send_by` is the latest moment at which it could leave.
    """

    kind: str
    behaviour: str
    opened_at: float
    sent_at: float
    send_by: float
    host: int
    body: bool
    claim: str | None
    effect: bool = False
    answer: say.Answer | None = None
    answers_at: float = 0.0
    delivered: bool = False
    finished: bool = False
    """Its step went on to its end: what it proved must not be lost."""
    applied: bool = False
    applied_at: float = 0.0
    unwritten_at: float = float("inf")
    """When a restart of the ledger's server lost what had been applied."""
    forgotten: bool = False
    """A restart of the ledger's server took its intent, or its answer, with it."""


@dataclass(eq=False)
class Entry:
    """One order as the supplier knows it."""

    plan: OrderPlan
    created_at: float
    status: str = "created"
    effects: int = 0
    ended_at: float | None = None
    visits: list[Visit] = field(default_factory=list)
    intents: list[tuple[float, str | None]] = field(default_factory=list)
    noticed: bool = False
    """A webhook has told what became of it."""
    codes: list[Message] = field(default_factory=list)
    """Webhooks that carried its tracking code."""
    called: list[float] = field(default_factory=list)
    """When calls began, whether they were sent or not."""
    given: list[str] = field(default_factory=list)
    """The behaviours whose answers were delivered, in order."""

    @property
    def shipped(self) -> bool:
        """At Logitrail: it was confirmed, by us or by somebody else."""
        return self.ended_at is not None or self.plan.ending == "elsewhere"

    def confirms(self) -> list[Visit]:
        return [visit for visit in self.visits if visit.kind == "confirm"]


class Books:
    """One supplier, as the clients of every worker reach it."""

    supplier = ""

    def __init__(self, world: World) -> None:
        self.world = world
        self.orders: dict[str, Entry] = {}
        for plan in world.plan.orders:
            if plan.supplier == self.supplier:
                created = START + plan.arrives - (86400.0 - plan.life) - plan.earlier
                self.orders[plan.order_id] = Entry(plan, created, status=self.first_status(plan))
        self._used: dict[tuple[str, str], int] = {}
        self.sent: list[float] = []

    def first_status(self, plan: OrderPlan) -> str:
        return "created"

    def find(self, order_id: str, gate: Any) -> say.Answer:
        return self.call("read", order_id, gate, 0, None)

    def confirm(self, order_id: str, gate: Any, host: int = 0, details: Any = None) -> say.Answer:
        return self.call("confirm", order_id, gate, host, details)

    def call(self, kind: str, order_id: str, gate: Any, host: int, details: Any) -> say.Answer:
        """One call, from its connection to its answer."""
        world, entry = self.world, self.orders[order_id]
        entry.called.append(world.clock.now)
        world.point("connect")
        behaviour = self._behaviour(kind, entry)
        if behaviour == "unavailable":
            world.pause(1.0)
            self._delivered(entry, behaviour)
            return do.UNSENT
        try:
            gate.check()
        except TooLate:
            world.point("too_late")
            return do.TOO_LATE
        actor = world.scheduler.current
        opened, send_by = gate.opened_at, gate.opened_at + gate.send_within
        claim = actor.claim if actor else None
        visit = Visit(
            kind, behaviour, opened, world.clock.now, send_by, host, details is not None, claim
        )
        world.watch.sent(self.supplier, entry, visit)
        entry.visits.append(visit)
        self.sent.append(visit.sent_at)
        self._arrive(entry, visit)
        boundaries.reach(boundaries.BYTES_SENT)
        return self._wait(entry, visit)

    def _behaviour(self, kind: str, entry: Entry) -> str:
        forced = self.world.window(self.supplier)
        if forced is not None:
            return forced
        script = entry.plan.confirms if kind == "confirm" else entry.plan.reads
        used = self._used.get((kind, entry.plan.order_id), 0)
        self._used[kind, entry.plan.order_id] = used + 1
        wanted = script[used] if used < len(script) else "ok"
        if wanted == "not_found" and any(visit.behaviour == wanted for visit in entry.visits):
            return "ok"
        if wanted == "says_created" and not self._may_say_created(entry):
            return "ok"
        return wanted

    def _may_say_created(self, entry: Entry) -> bool:
        """A lie that the worker can see through: only for an order that it knows to be pending."""
        return self.world.fields(self.supplier, entry.plan.order_id, "state") == ["pending"]

    def _arrive(self, entry: Entry, visit: Visit) -> None:
        """The request is at the supplier: fixes what it will do, and when."""
        now, limit = self.world.clock.now, self.world.clock.now + TIMEOUTS[self.supplier]
        takes = {"slow": 29.0, "slow_reset": do.HELD, "slow_read": 20.0}.get(
            visit.behaviour, entry.plan.takes
        )
        visit.answers_at = now + takes + NETWORK_DELAY
        self.judge(entry, visit)
        if visit.behaviour in ("lost_answer", "lost_request"):
            visit.answers_at = limit
        elif visit.behaviour == "slow_reset":
            visit.answers_at = now + 1.0
            visit.answer = do.RESET
        if visit.behaviour != "lost_request":
            self.world.scheduler.at(now + takes, lambda: self._act(entry, visit))

    def judge(self, entry: Entry, visit: Visit) -> None:
        """What is decided when a request arrives: above all whether it will have its effect."""
        raise NotImplementedError

    def take_effect(self, entry: Entry, visit: Visit) -> None:
        """The effect, at its moment."""
        raise NotImplementedError

    def answer(self, entry: Entry, visit: Visit) -> say.Answer:
        """What is answered at that moment."""
        raise NotImplementedError

    def _act(self, entry: Entry, visit: Visit) -> None:
        if visit.effect:
            entry.effects += 1
            self.world.note(f"{self.supplier}: effect {entry.effects} of {entry.plan.number}")
            if entry.effects > 1:
                self.world.violate(
                    "effects", f"{entry.plan.number}: confirmed {entry.effects} times"
                )
            self.take_effect(entry, visit)
        if visit.answer is None:
            visit.answer = do.AFTER.get(visit.behaviour) or self.answer(entry, visit)

    def _wait(self, entry: Entry, visit: Visit) -> say.Answer:
        self.world.pause(visit.answers_at - self.world.clock.now)
        answer = visit.answer
        if answer is None or visit.behaviour in ("lost_answer", "lost_request"):
            answer = visit.answer = do.LOST
        visit.delivered = True
        self._delivered(entry, visit.behaviour)
        self.world.note(f"{self.supplier}: answers {visit.kind} of {entry.plan.number}: {answer}")
        return answer

    def _delivered(self, entry: Entry, behaviour: str) -> None:
        entry.given.append(behaviour)
