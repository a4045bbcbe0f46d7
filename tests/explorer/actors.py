"""Workers and people, stopped before each script and each call.

An actor is what it has heard so far. To go on, the real code runs again from its beginning, hears
the same, and stops at the next thing that it asks for. So an actor can be kept in a state, and
taken up from there as often as there are ways to go on.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from schemas.lane import Lane
from schemas.order import Order
from worker.ledger import Ledger
from worker.ledger.keys import base, key
from worker.ledger.limits import LaneLimits
from worker.ledger.script_runner import Server
from worker.ledger.shelf import Shelf
from worker.rules import interventions
from worker.rules.answers import Answer
from worker.rules.policy import Policy
from worker.suppliers.http import Gate
from worker.turns.executor import Executor

PREFIX = "x"


class Paused(BaseException):
    """The actor asks for what nobody has answered yet; not an Exception, so nothing catches it."""

    def __init__(self, request: "Request") -> None:
        super().__init__(request)
        self.request = request


@dataclass(frozen=True, slots=True)
class Request:
    """A script with its arguments, or a call (`confirm`, `read`) with its gate."""

    name: str
    arguments: dict[str, Any]


DONE = Request("done", {})


@dataclass(frozen=True, slots=True)
class Actor:
    """One action under way: `act` is step, open, or a person's word."""

    act: str
    order_id: str
    token: str
    log: tuple[tuple[Any, float], ...] = ()
    request: Request = DONE
    sent_at: float | None = None
    """When its confirm left; None while none is under way."""


class Replay:
    """Stands for the scripts' runner, both clients and the clock of one actor."""

    def __init__(self, actor: Actor, now: float) -> None:
        self.actor = actor
        self.now = now
        self.heard = 0
        self.server = Server()
        self._answered_at: float | None = None
        self.client = self

    # --- the runner -------------------------------------------------------------------------------

    def run(self, name: str, room: str, **arguments: Any) -> Any:
        given = {word: value for word, value in arguments.items() if value is not None}
        if "claim" in given:
            given["claim"] = self.actor.token
        return self._next(Request(name, given))

    def run_together(self, room: str, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        return [self.run(name, room, **words) for name, words in calls]

    def key(self, room: str, name: str, *parts: str) -> str:
        return key(base(PREFIX, room), name, *parts)

    # --- a client ---------------------------------------------------------------------------------

    def find(self, order_id: str, gate: Gate) -> Answer:
        return self._call("read", gate, 0)

    def confirm(self, order_id: str, gate: Gate, *, host: int, details: object) -> Answer:
        return self._call("confirm", gate, host)

    def _call(self, kind: str, gate: Gate, host: int) -> Answer:
        window = {"opened": gate.opened_at, "within": gate.send_within, "host": host}
        (answer, sent_at), self._answered_at = self._next(Request(kind, window)), None
        gate.sent_at = sent_at
        self._answered_at = self.actor.log[self.heard - 1][1]
        found: Answer = answer
        return found

    # --- the clock --------------------------------------------------------------------------------

    def monotonic(self) -> float:
        """The moment of the last answer, or of the next thing that is asked for."""
        if self._answered_at is not None:
            return self._answered_at
        if self.heard < len(self.actor.log):
            return self.actor.log[self.heard][1]
        return self.now

    def _next(self, request: Request) -> Any:
        if self.heard == len(self.actor.log):
            raise Paused(request)
        self.heard += 1
        return self.actor.log[self.heard - 1][0]


class Cast:
    """Takes actors up again."""

    def __init__(
        self, supplier: str, policy: Policy, limits: LaneLimits, order: Callable[[str], Order]
    ) -> None:
        self.supplier = supplier
        self.policies = {supplier: policy}
        self.limits = {supplier: limits}
        self.order = order

    def ledger(self, replay: Any) -> Ledger:
        """The real ledger over an actor's replay."""
        shelf = Shelf(replay, self.policies, self.limits, channels=("task",), retry=(2.0, 10.0))
        return Ledger(shelf)

    def go_on(self, actor: Actor, now: float) -> Actor:
        """The actor with its next request."""
        replay = Replay(actor, now)
        try:
            self._act(actor, replay)
        except Paused as pause:
            return replace(actor, request=pause.request)
        return replace(actor, request=DONE)

    def _act(self, actor: Actor, replay: Replay) -> None:
        ledger = self.ledger(replay)
        if actor.act in ("requeue", "withdraw"):
            decide = getattr(interventions, actor.act)
            ledger.change(self.supplier, actor.order_id, decide)
            return
        clients: Any = {Lane(self.supplier): replay}
        executor = Executor(
            ledger, self.policies, clients, monotonic=replay.monotonic, jitter=lambda: 0.0
        )
        if actor.act == "open":
            _, step = executor.open(self.order(actor.order_id), None)
            if step:
                step()
        else:
            executor.step(self.supplier, actor.order_id)
