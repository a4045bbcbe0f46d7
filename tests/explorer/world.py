"""A small world: its state, every way to go on from it, and the rules that no state may break."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from schemas.lane import Lane
from schemas.order import ENDED, OPEN, STATES, Order
from tests.explorer.actors import PREFIX, Actor, Cast, Request
from tests.explorer.lua import Interpreter
from tests.explorer.store import Store
from worker.ledger.keys import base
from worker.ledger.limits import LaneLimits
from worker.ledger.script_runner import text as script_text
from worker.rules import answers as say
from worker.rules.policy import Policy
from worker.rules.words import Rules

START = 1_700_000_000.0
CALL_BUDGET = 50.0
TICK = 0.001
"""So much later a moment has surely passed."""
DISK_LAG = 1.0
"""Seconds after which a write is on disk by itself."""
UNSEEN = ("timeline:", "outcomes:", "outbox:", "expiring", "state:", "counter")
"""Keys that no script decides a call by: they tell no two states apart."""
RESULT_ONLY = (
    "fence",
    "sequence",
    "accepted_at",
    "last_sent_at",
    "ended_at",
    "passed_at",
    "found_at",
    "known",
    "picks",
    "turn",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a world holds, and how often each thing may happen in one path."""

    name: str
    supplier: str = "relograde"
    orders: tuple[str, ...] = ("a",)
    workers: int = 2
    per_minute: int = 100
    max_in_flight: int = 10
    within: float = 3600.0
    horizon: float = 200.0
    answers: tuple[str, ...] = ("pending",)
    """What a confirm that took effect makes of the order: pending, finished."""
    troubles: tuple[str, ...] = ("lost", "late")
    trouble: int = 1
    crash: int = 0
    restart: int = 0
    hint: int = 0
    requeue: int = 0
    withdraw: int = 0
    hold: int = 0
    open: int = 1


@dataclass(frozen=True, slots=True)
class State:
    """Everything at one moment."""

    db: dict[str, Any]
    disk: dict[str, Any]
    budget: dict[str, int]
    supplier: dict[str, str]
    now: float = START
    run: int = 1
    actors: tuple[Actor, ...] = ()
    bells: tuple[str, ...] = ()
    flights: tuple[tuple[str, float], ...] = ()
    """Confirms whose caller has stopped listening: each may take effect until then."""
    sent: tuple[float, ...] = ()
    tokens: int = 0


class BrokenRuleError(Exception):
    """A rule is broken."""


Move = tuple[str, Callable[[], State]]


class World:
    """The ways on from a state. One interpreter serves all states."""

    def __init__(self, setup: Setup, sources: Callable[[str], str] = script_text) -> None:
        self.setup = setup
        self.store = Store()
        self.lua = Interpreter(self.store, sources)
        self.base = base(PREFIX, setup.supplier)
        self.policy = Policy(self._rules())
        limits = LaneLimits(setup.per_minute, setup.max_in_flight, CALL_BUDGET)
        self.cast = Cast(setup.supplier, self.policy, limits, self.order)
        self.reads = self.policy.rules.reads
        self.tight = setup.per_minute < 50
        self.unseen = UNSEEN if self.tight else (*UNSEEN, "calls:")

    def _rules(self) -> Rules:
        if self.setup.supplier == "relograde":
            return Rules(
                reads=True,
                settle=60.0,
                confirm_within=self.setup.within,
                margin=10.0,
                recheck=(15.0, 600.0),
                retry=(2.0, 600.0),
            )
        return Rules(reads=False, settle=60.0, give_up=3600.0, retry=(2.0, 600.0), hosts=2)

    def order(self, order_id: str) -> Order:
        deadline = START + self.setup.within if self.reads else None
        created = START if self.reads else None
        return Order(
            supplier=self.setup.supplier,
            order_id=order_id,
            reference=order_id,
            created_at=created,
            deadline_at=deadline,
        )

    def first(self) -> State:
        names = ("trouble", "crash", "restart", "hint", "requeue", "withdraw", "hold")
        budget = {name: getattr(self.setup, name) for name in names}
        budget |= {f"open {order}": self.setup.open for order in self.setup.orders}
        state = State({}, {}, budget, dict.fromkeys(self.setup.orders, "created"))
        # A worker tends its rooms before its first order.
        tend = {"limit": 100, "channels": ["task"], "lead": 0, "grace": 30, "postpone": 3600}
        state = self._script(state, Request("orders_tend", tend))[0]
        return replace(state, disk=state.db)

    # --- scripts ----------------------------------------------------------------------------------

    def _script(self, state: State, request: Request) -> tuple[State, Any]:
        self.store.restore(state.db)
        context = {"synced": False, "now": f"{state.now:.6f}", "run": f"run{state.run}"}
        reply = self.lua.run(request.name, self.base, context, request.arguments)
        return replace(state, db=self.store.snapshot()), reply

    def record(self, state: State, order_id: str) -> dict[str, str]:
        found: dict[str, str] = state.db.get(f"{self.base}order:{order_id}", {})
        return found

    # --- ways on ----------------------------------------------------------------------------------

    def moves(self, state: State) -> Iterator[Move]:
        """Every way on, each with its words."""
        for number, actor in enumerate(state.actors):
            yield from self._of_actor(state, number, actor)
        yield from self._of_supplier(state)
        yield from self._of_workers(state)
        yield from self._of_people(state)
        yield from self._of_server(state)
        at = self._next_moment(state)
        if at is not None:
            yield f"time passes to {at - START:.3f}", lambda: self._tick(state, at)

    def _of_actor(self, state: State, number: int, actor: Actor) -> Iterator[Move]:
        request, words = actor.request, f"{actor.act} {actor.order_id} ({actor.token})"
        if request.name == "confirm":
            yield from self._confirming(state, number, actor, words)
        elif request.name == "read":
            for answer in self._read_answers(state, actor):
                yield (
                    f"{words} reads: {answer[0]}",
                    lambda answer=answer: self._answered(state, number, *answer[1:]),
                )
        else:
            yield f"{words}: {request.name}", lambda: self._run(state, number)
        if state.budget["crash"] and actor.act in ("step", "open"):
            yield f"{words} crashes", lambda: self._crash(state, number)

    def _run(self, state: State, number: int) -> State:
        actor = state.actors[number]
        later, reply = self._script(state, actor.request)
        if actor.request.name == "order_permit" and reply["result"] == "permitted":
            self._may_permit(state, actor)
        return self._heard(later, number, reply)

    def _may_permit(self, state: State, actor: Actor) -> None:
        """The rules for an intent, by the record from before it."""
        record, lane = self.record(state, actor.order_id), state.db.get(f"{self.base}lane:-", {})
        if lane.get("held") == "person":
            raise BrokenRuleError("a call is permitted while a person holds the lane")
        if record.get("claim") != actor.token or float(record["lease_until"]) <= state.now:
            raise BrokenRuleError("a call is permitted without a lease")
        if actor.request.arguments["kind"] == "confirm":
            self._may_intend(state, record)

    def _may_intend(self, state: State, record: dict[str, str]) -> None:
        unsure = max(float(record.get("send_by", 0)), float(record.get("suspect_at", 0)))
        if unsure and self.reads:
            raise BrokenRuleError("a confirm is permitted of what is unresolved")
        if unsure and state.now <= unsure + self.policy.rules.settle:
            raise BrokenRuleError("a question is permitted before the settle time")

    def _heard(self, state: State, number: int, word: Any) -> State:
        actor = state.actors[number]
        actor = replace(actor, log=(*actor.log, (word, state.now)), sent_at=None)
        actor = self.cast.go_on(actor, state.now)
        actors = list(state.actors)
        if actor.request.name == "done":
            del actors[number]
        else:
            actors[number] = actor
        return replace(state, actors=tuple(actors))

    def _answered(
        self, state: State, number: int, answer: say.Answer, sent_at: float | None, spent: str = ""
    ) -> State:
        if spent:
            state = self._spend(state, spent)
        actor = state.actors[number]
        if actor.request.name == "read" and sent_at is not None:
            state = self._count(state)
        return self._heard(state, number, (answer, sent_at))

    def _spend(self, state: State, name: str) -> State:
        return replace(state, budget={**state.budget, name: state.budget[name] - 1})

    def _crash(self, state: State, number: int) -> State:
        actor = state.actors[number]
        flights = state.flights
        if actor.sent_at is not None:
            flights += ((actor.order_id, actor.sent_at + self.policy.rules.settle),)
        actors = state.actors[:number] + state.actors[number + 1 :]
        return replace(self._spend(state, "crash"), actors=actors, flights=flights)

    # --- calls ------------------------------------------------------------------------------------

    def _too_late(self, state: State, actor: Actor) -> bool:
        gate = actor.request.arguments
        return bool(state.now > gate["opened"] + gate["within"])

    def _confirming(self, state: State, number: int, actor: Actor, words: str) -> Iterator[Move]:
        if actor.sent_at is None:
            if self._too_late(state, actor):
                late = say.Unavailable("too late", late=True)
                yield f"{words} is too late", lambda: self._answered(state, number, late, None)
                return
            yield f"{words} sends its confirm", lambda: self._send(state, number)
            if state.budget["trouble"] and "refused" in self.setup.troubles:
                refused = say.Unavailable("refused")
                yield (
                    f"{words} cannot connect",
                    lambda: self._answered(state, number, refused, None, "trouble"),
                )
            return
        for name, later, answer in self._confirm_answers(state, actor):
            yield (
                f"{words} hears {name}",
                lambda later=later, answer=answer: self._answered(
                    later, number, answer, actor.sent_at
                ),
            )

    def _send(self, state: State, number: int) -> State:
        actor = state.actors[number]
        self._may_send(state, actor)
        actors = list(state.actors)
        actors[number] = replace(actor, sent_at=state.now)
        return replace(self._count(state), actors=tuple(actors))

    def _count(self, state: State) -> State:
        sent = (*(at for at in state.sent if at > state.now - 60.0), state.now)
        if len(sent) > self.setup.per_minute:
            raise BrokenRuleError(f"budget: {len(sent)} calls in a window of 60 s")
        return replace(state, sent=sent)

    def _may_send(self, state: State, actor: Actor) -> None:
        order_id, record = actor.order_id, self.record(state, actor.order_id)
        under_way = [one for one in state.flights if one[0] == order_id and one[1] >= state.now]
        others = [one for one in state.actors if one.order_id == order_id and one.sent_at]
        if under_way or others:
            raise BrokenRuleError("a confirm is sent while another may still take effect")
        if self.reads and state.supplier[order_id] != "created":
            raise BrokenRuleError(f"a confirm is sent of what is {state.supplier[order_id]}")
        if self.reads and state.now > START + self.setup.within - self.policy.rules.margin:
            raise BrokenRuleError("a confirm is sent after the last safe moment")
        if record.get("state") in (*ENDED, "dead", None) and state.run == 1:
            raise BrokenRuleError(f"a confirm is sent of a record that is {record.get('state')}")

    def _effects(self, state: State, order_id: str) -> list[tuple[State, str]]:
        """The supplier takes a confirm: each state that may follow, and what it says."""
        if state.supplier[order_id] != "created":
            return [(state, "refused")]
        return [
            (replace(state, supplier={**state.supplier, order_id: word}), word)
            for word in self.setup.answers
        ]

    def _confirm_answers(
        self, state: State, actor: Actor
    ) -> Iterator[tuple[str, State, say.Answer]]:
        troubles = self.setup.troubles if state.budget["trouble"] else ()
        for later, word in self._effects(state, actor.order_id):
            yield word, later, self._says(word)
            if "lost" in troubles:
                lost = self._spend(later, "trouble")
                yield f"nothing; it is {word}", lost, say.Unknown("timeout", outage=True)
        spent = self._spend(state, "trouble") if troubles else state
        if "late" in troubles and actor.sent_at is not None:
            flight = (actor.order_id, actor.sent_at + self.policy.rules.settle)
            flying = replace(spent, flights=(*state.flights, flight))
            yield "nothing, yet", flying, say.Unknown("timeout", outage=True)
        if "blocked" in troubles:
            yield "401", spent, say.Blocked("unauthorized")
        if "limited" in troubles:
            yield "429", spent, say.Blocked("rate_limited", 5.0)
        if "rejected" in troubles:
            yield "no money", spent, say.Rejected("insufficient_balance")

    def _says(self, word: str) -> say.Answer:
        if word == "refused":
            if self.reads:
                return say.Unknown("can not be confirmed", refused=True)
            return say.Rejected("order_not_passive")
        if word == "pending":
            return say.Pending(lines=(say.Line("l", "pending"),))
        if word == "created":
            return say.Created()
        line = say.Line("l", "finished", deliverable=True)
        return say.Confirmed(lines=(line,) if self.reads else (), tracking_code="t")

    def _read_answers(self, state: State, actor: Actor) -> Iterator[tuple[Any, ...]]:
        if self._too_late(state, actor):
            yield "too late", say.Unavailable("too late", late=True), None
            return
        word = state.supplier[actor.order_id]
        yield word, self._says(word), state.now
        if state.budget["trouble"] and "read" in self.setup.troubles:
            yield "nothing", say.Unknown("timeout", outage=True), state.now, "trouble"
        if state.budget["trouble"] and "missing" in self.setup.troubles:
            yield "not found", say.NotFound(), state.now, "trouble"

    def _of_supplier(self, state: State) -> Iterator[Move]:
        for number, (order_id, _) in enumerate(state.flights):
            for later, word in self._effects(state, order_id):
                rest = state.flights[:number] + state.flights[number + 1 :]
                yield (
                    f"a late confirm of {order_id} takes effect: {word}",
                    lambda later=later, rest=rest: replace(later, flights=rest),
                )

    # --- workers, people, server, time ------------------------------------------------------------

    def _of_workers(self, state: State) -> Iterator[Move]:
        busy = sum(actor.act in ("step", "open") for actor in state.actors)
        if busy >= self.setup.workers:
            return
        for order_id in self.setup.orders:
            if state.budget[f"open {order_id}"]:
                yield (
                    f"open {order_id}",
                    lambda order_id=order_id: self._begin(
                        state, "open", order_id, f"open {order_id}"
                    ),
                )
        for order_id in state.bells:
            yield (
                f"a bell for {order_id}",
                lambda order_id=order_id: self._begin(
                    replace(state, bells=tuple(b for b in state.bells if b != order_id)),
                    "step",
                    order_id,
                ),
            )
        if self._something_waits(state):
            yield "dispatch", lambda: self._dispatch(state)

    def _something_waits(self, state: State) -> bool:
        ready = any(name.startswith(f"{self.base}ready:") for name in state.db)
        return ready or any(at <= state.now for at in self._members(state, "due:-").values())

    def _begin(self, state: State, act: str, order_id: str, spent: str = "") -> State:
        if spent:
            state = self._spend(state, spent)
        token = f"tok{state.tokens + 1}"
        actor = self.cast.go_on(Actor(act, order_id, token), state.now)
        return replace(state, actors=(*state.actors, actor), tokens=state.tokens + 1)

    def _dispatch(self, state: State) -> State:
        asked: list[Request] = []

        class Once:
            def run(self, name: str, room: str, **arguments: Any) -> Any:
                given = {word: value for word, value in arguments.items() if value is not None}
                asked.append(Request(name, given))
                return {"picked": [], "page": False}

        self.cast.ledger(Once()).dispatch(Lane(self.setup.supplier), 100)
        later, reply = self._script(state, asked[0])
        return replace(later, bells=tuple(sorted({*state.bells, *reply["picked"]})))

    def _of_people(self, state: State) -> Iterator[Move]:
        for act in ("requeue", "withdraw"):
            for order_id in self.setup.orders if state.budget[act] else ():
                if self.record(state, order_id):
                    yield (
                        f"{act} {order_id}",
                        lambda act=act, order_id=order_id: self._begin(state, act, order_id, act),
                    )
        for order_id in self.setup.orders if state.budget["hint"] else ():
            if self.record(state, order_id):
                hint = Request("order_hint", {"id": order_id, "reads": self.reads})
                yield (
                    f"hint {order_id}",
                    lambda hint=hint: self._script(self._spend(state, "hint"), hint)[0],
                )
        if state.budget["hold"]:
            held = f"{self.base}lane:-" in state.db and "held" in state.db[f"{self.base}lane:-"]
            action = "release" if held else "hold"
            switch = Request("lane_switch", {"lane": "-", "action": action, "note": "n"})
            yield action, lambda: self._script(self._spend(state, "hold"), switch)[0]

    def _of_server(self, state: State) -> Iterator[Move]:
        if not state.budget["restart"]:
            return
        if state.disk is not state.db and state.disk != state.db:
            yield "sync", lambda: replace(state, disk=state.db)
        yield (
            "restart",
            lambda: replace(self._spend(state, "restart"), db=state.disk, run=state.run + 1),
        )

    def _next_moment(self, state: State) -> float | None:
        found = set(self._moments(state))
        ahead = [at for at in found if at > state.now + 1e-6]
        at = min(ahead, default=None)
        listening = [actor.sent_at + CALL_BUDGET for actor in state.actors if actor.sent_at]
        if at is None or at > START + self.setup.horizon or any(at > by for by in listening):
            return None
        return at

    def _moments(self, state: State) -> Iterator[float]:
        for name, value in state.db.items():
            room = name[len(self.base) :].partition(":")[0]
            if room in ("due", "leases", "reserved") or (room == "calls" and self.tight):
                yield from value.values()
                if room in ("leases", "calls"):
                    yield from (at + TICK for at in value.values())
            elif room == "order":
                yield from self._of_record(value)
            elif room == "lane":
                yield from (float(value[word]) for word in ("probe_at",) if word in value)
        for actor in state.actors:
            if actor.request.name in ("confirm", "read"):
                gate = actor.request.arguments
                yield gate["opened"] + gate["within"] + TICK
        yield from (until + TICK for _, until in state.flights)
        if state.disk is not state.db and self.setup.restart:
            yield state.now + DISK_LAG

    def _of_record(self, record: dict[str, str]) -> Iterator[float]:
        settle = self.policy.rules.settle
        for word in ("send_by", "suspect_at"):
            if word in record:
                yield float(record[word]) + settle
        if self.reads and self.setup.within < self.setup.horizon:
            last = START + self.setup.within - self.policy.rules.margin
            yield from (last - 1.0, last, last + TICK)

    def _tick(self, state: State, at: float) -> State:
        flights = tuple(one for one in state.flights if one[1] >= at)
        disk = state.db if at - state.now >= DISK_LAG else state.disk
        return replace(state, now=at, flights=flights, disk=disk)

    # --- what two equal states share --------------------------------------------------------------

    def canonical(self, state: State) -> str:
        """Its words: times relative to now, tokens by their order, budgets included."""
        parts: list[Any] = [self._db(state.db), sorted(state.bells), state.supplier, state.flights]
        if state.budget["restart"]:
            parts.append(self._db(state.disk))
        sent = [at for at in state.sent if at > state.now - 60.0] if self.tight else ()
        parts += [state.budget, sent, state.run]
        acting = [(a.act, a.order_id, a.sent_at, a.request, _log(a)) for a in state.actors]
        parts += sorted(map(repr, acting))
        return _relative(repr(parts), state.now)

    def _db(self, data: dict[str, Any]) -> list[Any]:
        cut = len(self.base)
        return [
            (name[cut:], _shown(value))
            for name, value in sorted(data.items())
            if not name[cut:].startswith(self.unseen)
        ]

    # --- the rules --------------------------------------------------------------------------------

    def check(self, state: State) -> None:
        """Raises BrokenRuleError for a state that breaks a rule."""
        for order_id in self.setup.orders:
            record = self.record(state, order_id)
            if record:
                self._check_order(state, order_id, record)
        self._in_flight(state)

    def _in_flight(self, state: State) -> None:
        records = [self.record(state, order_id) for order_id in self.setup.orders]
        leases = sum(float(one.get("lease_until", 0)) > state.now for one in records)
        if leases > self.setup.max_in_flight:
            raise BrokenRuleError(f"{leases} calls are in flight")
        for kind in ("confirm", "ask", "recheck"):
            for member in self._members(state, f"ready:-:{kind}"):
                if self.record(state, member).get("kind") != kind:
                    raise BrokenRuleError(f"an order waits among {kind} that is of another kind")

    def _check_order(self, state: State, order_id: str, record: dict[str, str]) -> None:
        self._in_one_place(state, order_id, record)
        self._indexed(state, order_id, record)
        self._true(state, order_id, record)

    def _members(self, state: State, name: str) -> dict[str, float]:
        found: dict[str, float] = state.db.get(self.base + name, {})
        return found

    def _in_one_place(self, state: State, order_id: str, record: dict[str, str]) -> None:
        places = ("due:-", "ready:-:confirm", "ready:-:ask", "ready:-:recheck")
        stands = [name for name in places if order_id in self._members(state, name)]
        due = "due_at" in record or "claim" in record
        if record["state"] in OPEN and "due_at" not in record:
            raise BrokenRuleError("an open order is due at no time")
        if len(stands) != int(due):
            raise BrokenRuleError(
                f"an order that is {'due' if due else 'not due'} stands in {stands}"
            )
        if "claim" in record and float(record["lease_until"]) > state.now:
            if order_id not in self._members(state, "leases:-"):
                raise BrokenRuleError("a lease is not counted")
        elif self._members(state, "leases:-").get(order_id, 0.0) > state.now:
            raise BrokenRuleError("a lease is counted that nobody has")

    def _indexed(self, state: State, order_id: str, record: dict[str, str]) -> None:
        for name in STATES:
            if (order_id in self._members(state, f"state:{name}")) != (name == record["state"]):
                raise BrokenRuleError(
                    f"the index of {name} differs from the record, {record['state']}"
                )
        letter = record.get("letter")
        for name in state.db:
            if name.startswith(f"{self.base}letters:"):
                reason = name[len(self.base) + 8 :]
                if (order_id in state.db[name]) != (reason == letter):
                    raise BrokenRuleError(f"the index of letters {reason} differs from the record")
        if letter and order_id not in self._members(state, f"letters:{letter}"):
            raise BrokenRuleError("a letter stands in no index")
        warned = order_id in self._members(state, "warned") or order_id in self._members(
            state, "deadlines"
        )
        if self.reads and warned != (record["state"] in ("accepted", "submitted")):
            raise BrokenRuleError("the index of deadlines differs from the record")
        if (order_id in self._members(state, "expiring")) != (
            record["state"] in ENDED and not letter
        ):
            raise BrokenRuleError("the index of what is forgotten differs from the record")
        told = f"{order_id}|{record.get('sequence', 0)}"
        if told not in self._members(state, "outbox:task"):
            raise BrokenRuleError("the latest outcome is not owed")

    def _true(self, state: State, order_id: str, record: dict[str, str]) -> None:
        supplier, word = state.supplier[order_id], record["state"]
        flying = any(one[0] == order_id for one in state.flights) or any(
            actor.order_id == order_id and actor.sent_at for actor in state.actors
        )
        effect = supplier != "created" or flying
        if word == "withdrawn" and effect:
            raise BrokenRuleError(f"an order is withdrawn that is {supplier}")
        if word == "confirmed" and supplier == "created":
            raise BrokenRuleError("an order is confirmed that the supplier has not confirmed")
        known = {"send_by", "suspect_at", "pending_since"} & record.keys()
        if self.reads and word == "dead" and effect and not known:
            raise BrokenRuleError(f"an order is dead and resolved that is {supplier}")
        attempt = any(actor.order_id == order_id and actor.sent_at for actor in state.actors)
        if (
            attempt
            and state.run == 1
            and "send_by" not in record
            and word in ("accepted", "submitted")
        ):
            raise BrokenRuleError("a confirm is under way that the record does not know")
        if flying and state.run == 1 and word == "accepted":
            raise BrokenRuleError("an order is accepted again while a confirm may take effect")


_TIME = re.compile(r"1[67]\d{8}(?:\.\d+)?")
_TOKEN = re.compile(r"tok\d+")


def _relative(words: str, now: float) -> str:
    tokens: dict[str, str] = {}
    words = _TOKEN.sub(lambda m: tokens.setdefault(m[0], f"t{len(tokens)}"), words)
    return _TIME.sub(lambda m: f"{float(m[0]) - now:.3f}", words)


def _shown(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return [pair for pair in sorted(value.items()) if pair[0] not in RESULT_ONLY]


def _log(actor: Actor) -> str:
    """What it has heard, without what only results are made of."""
    heard = []
    for word, at in actor.log:
        if isinstance(word, dict):
            order = word.get("order")
            heard.append((word["result"], _shown(order) if order else None, word.get("window"), at))
        else:
            heard.append((repr(word), at))
    return repr(heard)
