"""An order's way through the ledger: open, claim, permit, write.

What is written is decided in `worker.rules.policy`.
"""

import dataclasses
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.order import Order, dump_order, load_order, seconds
from worker.ledger import keys
from worker.ledger.script_runner import Scripts
from worker.rules.page_search import ENOUGH
from worker.rules.policy import Policy
from worker.rules.words import CONFIRM, SEND_WINDOW, Call, Step

WAY = 2.0
"""Seconds that a call may be under way to the supplier; its slot is freed that much later (60 in 62
s are 97 %). One second was too little on a machine with far more work than cores.
"""
WINDOW = 60.0 + WAY
"""Seconds after its first byte for which a call keeps its slot of the budget."""
SUSPICION = 600.0
"""Seconds after a restart with possible loss in which a new order may be one whose acceptance was
forgotten.
"""
TIGHT = 1.0
"""Seconds before its last safe moment in which an order yields to others: its call could hardly
leave in time.
"""
LEASE_MARGIN = 10.0
LOOK_EVERY = 60.0
"""Seconds between two looks at a lane's accounts, at least."""
RESERVATION = 5.0
GRACE = 30.0
"""Seconds after its acceptance or requeue in which an order is not warned of."""
PROMOTE = 100
"""Orders that one dispatch moves from due to ready, so that it stays short however many fall due at
once: as many as a worker picks, since what is moved beside that makes each order dearer.
"""
PAGES = {"enough": ENOUGH, "every": 2.0, "slow": 10.0, "overdue": 900.0}
"""From how many due re-checks on a page is tried; seconds between two, until one is slow, until
nobody waits.
"""
_COMPUTED = {"supplier", "order_id", "sequence", "version", "fence", "due_at", "accepted_at"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one supplier's lanes may do: calls in any 60 seconds (0: no limit), calls at once,
    seconds per call.

    `accounts`: its balances can be asked for, and there is somebody who does
    (`worker.turns.balance_look`). `pages`: one page of the supplier's list may answer for several
    pending orders.
    """

    calls_per_minute: int
    max_in_flight: int
    call_budget: float
    accounts: bool = False
    pages: bool = False

    @property
    def lease(self) -> float:
        """Seconds after which whoever makes a call is taken for dead."""
        return self.call_budget + LEASE_MARGIN


@dataclass(frozen=True, slots=True)
class Reply:
    """A script's word, the ledger's time, and the order where there is one."""

    result: str
    now: float
    order: Order | None = None
    claim: str = ""
    lane: str | None = None
    pages_off: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """opened, known, withdrawn or conflict; `differs` is the field that conflicts."""

    result: str
    differs: str = ""


@dataclass(frozen=True, slots=True)
class Permit:
    """`result` is permitted, or why not; `window` is how many seconds the first byte has.

    `unpayable`: the order is still claimed, and a step should say so.
    """

    result: str
    now: float
    order: Order
    call: Call
    window: float = 0.0


class Taken(NamedTuple):
    """A claim, and the permit that came with it; without one, the policy has to say what comes
    next.
    """

    claimed: Reply
    permit: Permit | None = None


class Dispatched(NamedTuple):
    """The orders to ring for, when the next one falls due, and whether it is the turn of a page."""

    picked: list[str]
    soonest: float | None
    page: bool = False


class Ledger:
    """The orders of both suppliers. Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(
        self,
        scripts: Scripts,
        policies: Mapping[str, Policy],
        limits: Mapping[str, Limits],
        *,
        channels: tuple[str, ...] = (),
        retry: tuple[float, ...] = (2.0,),
        warning: float = 7200.0,
        retention: float = 30 * 86400.0,
    ) -> None:
        self.scripts = scripts
        self.policies = policies
        self.limits = limits
        self.channels = list(channels)
        self.retry = list(retry)
        self.warning = warning
        self.retention = retention

    def time(self) -> float:
        """The ledger's clock, seconds since the epoch."""
        return self.scripts.time()

    def recent_time(self) -> float:
        """The same without asking: it may be a little behind."""
        return self.scripts.recent_time()

    def open(self, order: Order, details: str | None = None) -> Opened:
        """Accepts an order, once; a repeat makes its acceptance and its latest outcome go out
        again.
        """
        return _opened(self.scripts.run("order_open", order.supplier, **self._open(order, details)))

    def load(self, supplier: str, order_id: str) -> Reply:
        """The record as it stands (result `ok` or `gone`)."""
        return _reply(supplier, order_id, self.scripts.run("order_load", supplier, id=order_id))

    def details(self, order: Order) -> str | None:
        """The Order JSON kept beside the record, as text."""
        text = self.scripts.client.get(self.scripts.key(order.supplier, "details", order.order_id))
        return None if text is None else str(text)

    def claim(self, supplier: str, order_id: str, *, direct: bool = False) -> Reply:
        """Takes the lease of a due order: result `claimed`, or why not.

        `direct`: of one that was just opened, without having been dispatched.
        """
        claim = secrets.token_hex(8)
        answer = self.scripts.run(
            "order_claim", supplier, **self._claim(supplier, order_id, claim, direct)
        )
        return dataclasses.replace(_reply(supplier, order_id, answer), claim=claim)

    def permit(self, claimed: Reply, call: Call) -> Permit:
        """Writes the intent and spends one call of the budget; the order goes back when the answer
        is no.
        """
        order = claimed.order
        if order is None:
            raise ValueError("only a claimed order can be permitted a call")
        last_safe = (
            self.policies[order.supplier].times.last_safe_moment(order)
            if call.kind == CONFIRM
            else None
        )
        words = self._permit(order.supplier, order.order_id, claimed.claim)
        words |= {"kind": call.kind, "host": call.host, "last_safe": last_safe}
        return _permit(order, call, self.scripts.run("order_permit", order.supplier, **words))

    def take(self, supplier: str, order_id: str) -> Taken:
        """Claims an order, and permits it a confirm that needs no decision in the same round
        trip.
        """
        words, claim = self._take(supplier, order_id, direct=False)
        return _taken(supplier, order_id, claim, *self.scripts.run_together(supplier, *words))

    def open_and_take(self, order: Order, details: str | None = None) -> tuple[Opened, Taken]:
        """Accepts an order, and takes it at once when its lane has room for all that wait."""
        words, claim = self._take(order.supplier, order.order_id, direct=True)
        opening = ("order_open", self._open(order, details))
        opened, *answers = self.scripts.run_together(order.supplier, opening, *words)
        return _opened(opened), _taken(order.supplier, order.order_id, claim, *answers)

    def _open(self, order: Order, details: str | None) -> dict[str, Any]:
        policy = self.policies[order.supplier]
        kind, rank = policy.times.waits_for(order)
        return {
            "id": order.order_id,
            "fields": {name: value for name, value in _stored(order).items() if name != "state"},
            "details": details,
            "kind": kind,
            "rank": seconds(rank),
            "last_safe": policy.times.last_safe_moment(order),
            "channels": self.channels,
            "suspicion": SUSPICION,
            "forget_after": self.retention,
        }

    def _claim(self, supplier: str, order_id: str, claim: str, direct: bool) -> dict[str, Any]:
        limits = self.limits[supplier]
        return {
            "id": order_id,
            "claim": claim,
            "lease": limits.lease,
            "direct": direct,
            "per_minute": limits.calls_per_minute,
            "max_in_flight": limits.max_in_flight,
            "has_deadline": self._has_deadline(supplier),
        }

    def _permit(self, supplier: str, order_id: str, claim: str) -> dict[str, Any]:
        limits = self.limits[supplier]
        return {
            "id": order_id,
            "claim": claim,
            "per_minute": limits.calls_per_minute,
            "window": SEND_WINDOW,
            "way": WAY,
            "look_every": LOOK_EVERY if limits.accounts else None,
            "lease": limits.lease,
        }

    def _take(
        self, supplier: str, order_id: str, *, direct: bool
    ) -> tuple[list[tuple[str, dict[str, Any]]], str]:
        claim = secrets.token_hex(8)
        unseen = {"kind": CONFIRM, "unseen": True, "has_deadline": self._has_deadline(supplier)}
        permit = self._permit(supplier, order_id, claim) | unseen
        return [
            ("order_claim", self._claim(supplier, order_id, claim, direct)),
            ("order_permit", permit),
        ], claim

    def write(
        self, before: Order, step: Step, *, claim: str | None = None, sent_at: float | None = None
    ) -> Reply:
        """Applies a step by its claim, or else by the version it was decided on: result `written`
        or `stale`.

        Safe to repeat with the same claim: the second time it changes nothing. `sent_at` is when
        the first byte left.
        """
        policy, after = self.policies[before.supplier], step.order
        kind, rank = policy.times.waits_for(after)
        old, new = _stored(before), _stored(after)
        if claim is not None:
            # The whole record: what this process knows of its own intent outlives a server that
            # forgot it.
            old = dict.fromkeys(old, "")
        answer = self.scripts.run(
            "order_write",
            before.supplier,
            id=before.order_id,
            claim=claim,
            version=before.version,
            untouched=claim is None and after == before,
            set={name: value for name, value in new.items() if old.get(name) != value},
            unset=[name for name in old if name not in new],
            due=after.due_at,
            kind=kind,
            rank=seconds(rank),
            event=step.event,
            extra=_extra(step),
            tells=[{"type": kind, **({"reason": why} if why else {})} for kind, why in step.tells],
            channels=self.channels,
            signal=step.signal,
            cause=step.cause,
            retry_after=step.retry_after,
            page=step.page,
            retry=self.retry,
            call_free_at=None if sent_at is None else sent_at + WINDOW,
            last_safe=policy.times.last_safe_moment(after),
            forget_after=self.retention,
        )
        return Reply(
            answer["result"],
            float(answer["now"]),
            lane=answer.get("lane"),
            pages_off=answer.get("pages_off"),
        )

    def change(
        self, supplier: str, order_id: str, decide: Callable[[Order, float], Step | None]
    ) -> Step | None:
        """Loads, decides and writes until nobody came between; ends any claim.

        None: no such order, or no step.
        """
        while True:
            found = self.load(supplier, order_id)
            if found.order is None:
                return None
            step = decide(found.order, found.now)
            if step is None or self.write(found.order, step).result != "stale":
                return step

    def dispatch(self, supplier: str, account: str | None, limit: int) -> Dispatched:
        """Reserves what may be looked at now."""
        limits = self.limits[supplier]
        answer = self.scripts.run(
            "lane_dispatch",
            supplier,
            lane=keys.lane(account),
            limit=limit,
            per_minute=limits.calls_per_minute,
            max_in_flight=limits.max_in_flight,
            reserve=RESERVATION,
            has_deadline=self._has_deadline(supplier),
            tight=TIGHT,
            promote=PROMOTE,
            accounts=limits.accounts,
            pages=PAGES if limits.pages else None,
        )
        return Dispatched(list(answer["picked"]), _float(answer.get("soonest")), answer["page"])

    def hint(self, supplier: str, order_id: str) -> str:
        """Makes an order due at once: due, remembered, ended or gone."""
        reads = self.policies[supplier].rules.reads
        return str(self.scripts.run("order_hint", supplier, id=order_id, reads=reads)["result"])

    def mark_withdrawn(self, supplier: str, order_id: str) -> bool:
        """Remembers a withdraw that came before its confirm; False when the order is there
        already.
        """
        answer = self.scripts.run(
            "order_mark_withdrawn", supplier, id=order_id, keep=int(max(self.retention, 1))
        )
        return bool(answer["result"] == "marked")

    def hold(self, supplier: str, account: str | None, note: str) -> None:
        """A person's hold: nothing but deadlines moves until a person releases it."""
        self.scripts.run("lane_switch", supplier, lane=keys.lane(account), action="hold", note=note)

    def release(self, supplier: str, account: str | None) -> None:
        """Ends any hold."""
        self.scripts.run("lane_switch", supplier, lane=keys.lane(account), action="release")

    def tend(self, room: str) -> None:
        """Warns of deadlines that come near and forgets what ended long ago."""
        margin = self.policies[room].rules.margin if room in self.policies else 0.0
        lead = self.warning - margin
        self.scripts.run(
            "orders_tend",
            room,
            limit=100,
            channels=self.channels,
            lead=lead,
            grace=GRACE,
            postpone=3600.0,
        )

    def _has_deadline(self, supplier: str) -> bool:
        return self.policies[supplier].rules.confirm_within is not None


def _stored(order: Order) -> dict[str, str]:
    """What a step writes of the record; the state always."""
    written = {name: text for name, text in dump_order(order).items() if name not in _COMPUTED}
    return {**written, "state": order.state}


def _reply(supplier: str, order_id: str, answer: dict[str, Any]) -> Reply:
    order = load_order(supplier, order_id, answer["order"]) if "order" in answer else None
    return Reply(answer["result"], float(answer["now"]), order)


def _opened(answer: dict[str, Any]) -> Opened:
    return Opened(answer["result"], answer.get("differs", ""))


def _permit(order: Order, call: Call, answer: dict[str, Any]) -> Permit:
    if answer["result"] != "permitted":
        return Permit(answer["result"], float(answer["now"]), order, call)
    permitted = dataclasses.replace(
        call,
        at=float(answer["now"]),
        passed_at=_float(answer.get("passed_at")),
        found_at=_float(answer.get("found_at")),
        probing=answer["probing"],
    )
    record = load_order(order.supplier, order.order_id, answer["order"])
    return Permit("permitted", permitted.at, record, permitted, float(answer["window"]))


def _taken(
    supplier: str, order_id: str, claim: str, claimed: dict[str, Any], permit: dict[str, Any]
) -> Taken:
    reply = dataclasses.replace(_reply(supplier, order_id, claimed), claim=claim)
    if reply.order is None or permit["result"] == "undecided":
        return Taken(reply)
    return Taken(reply, _permit(reply.order, Call(kind=CONFIRM, host=reply.order.host), permit))


def _extra(step: Step) -> dict[str, Any]:
    order = step.order
    extra: dict[str, Any] = {"state": order.state}
    if order.reason:
        extra["reason"] = order.reason
    if order.detail:
        extra["detail"] = order.detail
    if step.cause:
        extra["cause"] = step.cause
    return extra


def _float(value: str | None) -> float | None:
    return None if value is None else float(value)
