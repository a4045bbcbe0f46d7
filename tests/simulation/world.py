"""One run: everything that takes part, and the points at which its faults strike."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import redis

from tests.simulation.books import Books
from tests.simulation.broker import Broker
from tests.simulation.clock import START, Clock
from tests.simulation.logitrail import Logitrail
from tests.simulation.loops import Loops
from tests.simulation.oracle import Oracle
from tests.simulation.people import People
from tests.simulation.plan import Fault, Plan
from tests.simulation.relograde import Relograde
from tests.simulation.scheduler import Actor, Killed, Scheduler
from tests.simulation.shop import Shop
from tests.simulation.watch import Watch
from tests.simulation.workers import Site, Worker
from worker import boundaries

WRITES = {
    "order_open",
    "order_claim",
    "order_permit",
    "order_write",
    "order_hint",
    "order_mark_withdrawn",
    "lane_dispatch",
    "message_refuse",
    "outbox_settle",
    "outbox_take",
    "lane_switch",
    "orders_tend",
    "lane_call_permit",
    "lane_call_settle",
    "page_learn",
}
BIG_STEP = 1.0
ENDLESS = 2500
"""Ten times what the longest run needs."""
FEW = 16
"""Scripts between two recounts, at least: each costs as much as one."""
DISK_LAG = 1.0
"""Seconds after which a written key is on disk by itself."""


class World:
    """The state of one run. `history` is kept only when asked for."""

    def __init__(self, plan: Plan, site: Site, scheduler: Scheduler, tell: bool = False) -> None:
        self.plan = plan
        self.site = site
        self.scheduler = scheduler
        self.clock: Clock = scheduler.clock
        self.clock.now = START
        self.tell = tell
        self.history: list[str] = []
        self.violations: list[tuple[str, str]] = []
        self.faults: Counter[str] = Counter()
        self.run_id, self.down_until = "run-1", 0.0
        self.forgot = self.doubted = False
        self.changes = self._audited = 0
        self.marked: set[tuple[str, str]] = set()
        self._dirty_since: float | None = None
        self._disk_at = START
        self._random = random.Random(plan.seed * 7919 + 1)
        self._armed: dict[str, list[list[Any]]] = {}
        for fault in plan.faults:
            self._armed.setdefault(fault.point, []).append([fault, fault.nth])
        self.suppliers = sorted({order.supplier for order in plan.orders})
        self.rooms = list(self.suppliers)
        self.written = set(self.rooms)
        """The rooms in which something was written since the loops looked."""
        self._assemble()

    def _assemble(self) -> None:
        self.watch = Watch(self)
        self.oracle = Oracle(self)
        self.broker = Broker(self)
        self.shop = Shop(self)
        relograde = Relograde(self)
        self.books: dict[str, Books] = {"relograde": relograde, "logitrail": Logitrail(self)}
        self.bank = relograde.bank
        self.workers = [Worker(self, number) for number in range(self.plan.workers)]
        self.people = People(self)
        self.loops = Loops(self)

    def jitter(self) -> float:
        return self._random.uniform(-1, 1)

    # --- what the parts use -----------------------------------------------------------------------

    def note(self, text: str) -> None:
        """One line of the history."""
        if self.tell:
            actor = self.scheduler.current
            who = f"worker {actor.worker.number} {actor.name}" if actor and actor.worker else "-"
            self.history.append(f"{self.clock.now - START:10.3f}  {who:32}  {text}")

    def violate(self, rule: str, text: str) -> None:
        """A rule is broken; the run ends."""
        self.note(f"VIOLATION {rule}: {text}")
        self.violations.append((rule, text))
        self.scheduler.stopping = True

    def injected(self, kind: str) -> None:
        """One fault has struck."""
        self.faults[kind] += 1
        self.note(f"FAULT {kind}")

    def worker(self, number: int) -> Worker:
        """The worker whose turn it is: the first from `number` on that is not frozen."""
        choice = [
            self.workers[(number + step) % len(self.workers)] for step in range(len(self.workers))
        ]
        awake = [worker for worker in choice if worker.frozen_until <= self.clock.now]
        return (awake or choice)[0]

    def begin(self, actor: Actor) -> Actor | None:
        """A new action starts now, or when its worker wakes."""
        if actor.worker is not None and actor.worker.frozen_until > self.clock.now:
            self.scheduler.at(actor.worker.frozen_until, lambda: self.begin(actor))
            return None
        return actor

    def pause(self, seconds: float) -> None:
        """The running action waits; a frozen worker's action waits longer."""
        self.scheduler.pause(self.clock.now + max(seconds, 0.0))
        actor = self.scheduler.current
        while actor and actor.worker and actor.worker.frozen_until > self.clock.now:
            self.scheduler.pause(actor.worker.frozen_until)

    def window(self, supplier: str) -> str | None:
        """What a supplier does to every call just now, when it is in trouble as a whole."""
        since = self.clock.now - START
        for event in self.plan.events:
            if (
                event.kind == "trouble"
                and supplier in event.word
                and event.at <= since < event.at + event.seconds
            ):
                self.faults["trouble"] += 1
                return event.word.partition(" ")[2]
        return None

    def record(self, supplier: str, order_id: str) -> dict[str, str]:
        """The order's hash, read past the worker."""
        found: dict[str, str] = self.site.client.hgetall(f"sim:{{{supplier}}}:order:{order_id}")
        return found

    def fields(self, supplier: str, order_id: str, *names: str) -> list[str | None]:
        """Some of it; None for what is not there."""
        found: list[str | None] = self.site.client.call(
            "HMGET", f"sim:{{{supplier}}}:order:{order_id}", *names
        )
        return found

    # --- the ledger's server and its disk ---------------------------------------------------------

    def ran(self, name: str, room: str, arguments: dict[str, Any], answer: dict[str, Any]) -> None:
        """A ledger script has run."""
        actor = self.scheduler.current
        if name == "order_mark_withdrawn" and answer["result"] == "marked":
            self.marked.add((room, arguments["id"]))
        if name == "order_claim" and answer["result"] == "claimed" and actor:
            actor.claim = arguments["claim"]
            self.watch.claimed(answer["order"])
        elif name == "order_permit" and answer["result"] == "permitted":
            self.watch.permitted(room, arguments, probing=answer.get("probing", False))
        elif name == "order_write" and answer["result"] == "written":
            self.watch.wrote(room, arguments)
        elif name.startswith("lane_call_"):
            self.bank.ran(name, arguments, answer["result"])
        elif name == "message_refuse" and room not in self.rooms:
            self.rooms.append(room)
        self.changes += 1
        if self.changes == ENDLESS:
            self.violate("spin", f"{ENDLESS} ledger scripts, and no end")
        if name in WRITES:
            self.written.add(room)
            self._dirty_since = self._dirty_since or self.clock.now
        if self.tell:
            words = {
                key: arguments[key]
                for key in ("event", "kind", "due", "signal", "sequence")
                if arguments.get(key)
            }
            self.note(
                f"{name} {arguments.get('id', '')} {words} -> {answer.get('result')} "
                f"{answer.get('picked', '')}"
            )

    def sync_disk(self) -> None:
        """All that was written is on disk now."""
        self._dirty_since, self._disk_at = None, self.clock.now
        if self.plan.lossy:
            self.site.disk(keys=["sim"], args=["sync"])

    def passes(self, until: float) -> None:
        """Time is about to pass: what is old enough reaches the disk by itself; a long pause is
        used for a recount.
        """
        if self._dirty_since is not None and until - self._dirty_since >= DISK_LAG:
            self.sync_disk()
        if until - self.clock.now >= BIG_STEP and self.changes - self._audited >= FEW:
            self._audited = self.changes
            self.watch.audit()

    def on_disk(self, key: str, field: str) -> bool:
        """True when a restart at this moment would not forget this."""
        return not self.plan.lossy or self.site.client.hexists(f"disk:{key}", field)

    def restart_server(self, seconds: float) -> None:
        """The ledger's server dies and is back after `seconds`, without what was not on disk."""
        self.run_id = f"run-{int(self.run_id[4:]) + 1}"
        self.down_until = self.clock.now + seconds
        self.loops.server_is_back(self.down_until)
        self.doubted = self.doubted or self.plan.sync != "always"
        if self.plan.lossy:
            self.forgot = True
            self.note(f"what was written after {self._disk_at - START:.3f} is lost")
            self.watch.forget(self._disk_at)
            self.site.disk(keys=["sim"], args=["restore"])
            self.written.update(self.rooms)
            self._dirty_since = None

    # --- where faults strike ----------------------------------------------------------------------

    def point(self, name: str) -> None:
        """The running action has come to a named point: a boundary, or a moment before or after a
        ledger script.
        """
        actor = self.scheduler.current
        if actor is None:
            return
        if actor.killed:
            raise Killed
        if name == boundaries.APPLIED:
            self.watch.step_ended(actor.claim)
        for armed in self._armed.get(name, ()):
            fault = armed[0]
            if armed[1] > 0 and self._meets(fault, actor):
                armed[1] -= 1
                if armed[1] == 0:
                    self._strike(fault, actor)

    def _meets(self, fault: Fault, actor: Actor) -> bool:
        if fault.order is None:
            return True
        plan = self.plan.orders[fault.order]
        if fault.after is not None:
            return fault.after in self.books[plan.supplier].orders[plan.order_id].given
        return actor.order == plan.order_id

    def _strike(self, fault: Fault, actor: Actor) -> None:
        self.faults[fault.kind] += 1
        self.note(f"FAULT {fault.kind} at {fault.point} for {fault.seconds} s")
        if fault.kind == "kill":
            self._kill(actor, fault.seconds)
        elif fault.kind == "freeze":
            self._freeze(actor, fault.seconds)
        elif fault.kind == "pause":
            self.pause(fault.seconds)
        elif fault.kind == "restart":
            self.restart_server(fault.seconds)
        elif fault.point[-1] in "?!":
            raise redis.ConnectionError("the answer is lost")

    def _of(self, worker: Any) -> list[Actor]:
        return [actor for actor in self.scheduler.suspended if actor.worker is worker]

    def _kill(self, actor: Actor, seconds: float) -> None:
        """The whole process: every action of this worker ends here, and a new process takes its
        place.
        """
        worker = actor.worker
        if worker is None:
            return
        worker.incarnation += 1
        ending = [*self._of(worker), actor]
        for one in ending:
            self.scheduler.kill(one)
        self.broker.worker_gone(ending, seconds)
        raise Killed

    def _freeze(self, actor: Actor, seconds: float) -> None:
        worker = actor.worker
        if worker is None:
            return
        worker.frozen_until = self.clock.now + seconds
        if seconds > 180.0:
            self.broker.worker_gone([*self._of(worker), actor], 180.0)
        self.pause(0.0)
