"""An order's way through the ledger: open, claim, permit, write.

`worker.rules` decides what is written.
"""

import secrets
from collections.abc import Callable
from typing import Any

from schemas.identity import ANY_CASE, canonical, spellings
from schemas.lane import Lane
from schemas.order import STATES, Order, dump_order, seconds
from worker.ledger import replies
from worker.ledger.limits import (
    GRACE,
    HARDLY_IN_TIME,
    LOOK_EVERY,
    PAGES,
    POSTPONE,
    PROMOTE,
    RESERVATION,
    SUSPICION,
    slot_free_at,
)
from worker.ledger.replies import Claim, Dispatched, Opened, Permit, ScriptReply
from worker.ledger.shelf import Shelf
from worker.rules.words import CONFIRM, Call, Step

LEARNT = ":all"
"""The field of `spelling` that says that every order was read."""
BY_SCRIPTS = {"supplier", "order_id", "sequence", "version", "fence", "due_at", "accepted_at"}
"""Fields of the record that the scripts alone write, and those that its key says."""


class Ledger:
    """The orders of both suppliers. Raises `redis.RedisError` when the server cannot be reached.

    `warning`: seconds before the last safe moment at which the web app is warned. `retention`:
    seconds for which an ended order is kept.
    """

    def __init__(
        self, shelf: Shelf, *, warning: float = 7200.0, retention: float = 30 * 86400.0
    ) -> None:
        self.shelf = shelf
        self.scripts = shelf.scripts
        self.policies = shelf.policies
        self.limits = shelf.limits
        self.channels = list(shelf.channels)
        self.retry = list(shelf.retry)
        self.warning = warning
        self.retention = retention

    def time(self) -> float:
        """The ledger's clock, seconds since the epoch."""
        return self.scripts.time()

    def recent_time(self) -> float:
        """The same without asking: it may be a little behind."""
        return self.scripts.recent_time()

    # --- acceptance -------------------------------------------------------------------------------

    def open(self, order: Order, details: str | None = None) -> Opened:
        """Accepts an order, once.

        A repeat makes its acceptance and its latest outcome go out again.
        """
        arguments = self._opening(order, details)
        return replies.as_opened(self.scripts.run("order_open", order.supplier, **arguments))

    def open_and_claim(self, order: Order, details: str | None = None) -> tuple[Opened, Claim]:
        """Accepts an order, and claims it at once when its lane has room for all that wait."""
        claim = secrets.token_hex(8)
        opening = ("order_open", self._opening(order, details))
        calls = self._claim_and_permit(order.supplier, order.order_id, claim, direct=True)
        opened, *others = self.scripts.run_together(order.supplier, opening, *calls)
        return replies.as_opened(opened), _claim(order.supplier, order.order_id, claim, *others)

    def mark_withdrawn(self, supplier: str, order_id: str) -> bool:
        """Remembers a withdraw that came before its confirm; False when the order is there."""
        keep = int(max(self.retention, 1))
        reply = self.scripts.run("order_mark_withdrawn", supplier, id=order_id, keep=keep)
        return bool(reply["result"] == "marked")

    def _opening(self, order: Order, details: str | None) -> dict[str, Any]:
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

    # --- reads ------------------------------------------------------------------------------------

    def known_id(self, supplier: str, order_id: str) -> str:
        """The id under which an order is kept: the canonical one, or that of an older record."""
        forms = spellings(supplier, order_id)
        if len(forms) == 1:
            return order_id
        pipe = self.scripts.client.pipeline(transaction=False)
        for form in forms:
            pipe.exists(self.scripts.key(supplier, "order", form))
        pipe.hget(self.scripts.key(supplier, "spelling"), forms[0])
        *exist, kept = pipe.execute()
        found = [form for form, there in zip(forms, exist, strict=True) if there]
        return next(iter(found), kept or forms[0])

    def learn_spellings(self, supplier: str) -> int:
        """Notes each order that an older version kept in another spelling; returns how many.

        Orders are read once; later starts find the note that says so.
        """
        name = self.scripts.key(supplier, "spelling")
        if supplier not in ANY_CASE or self.scripts.client.hexists(name, LEARNT):
            return 0
        others: dict[str, str] = {}
        for state in STATES:
            index = self.scripts.key(supplier, "state", state)
            for order_id, _ in self.scripts.client.zscan_iter(index, count=1000):
                if order_id != canonical(supplier, order_id):
                    others[canonical(supplier, order_id)] = order_id
        self.scripts.run("order_spellings", supplier, spellings={**others, LEARNT: "1"})
        return len(others)

    def load(self, supplier: str, order_id: str) -> ScriptReply:
        """The record as it stands (result `ok` or `gone`)."""
        reply = self.scripts.run("order_load", supplier, id=order_id)
        return replies.as_reply(supplier, order_id, reply)

    def details(self, order: Order) -> str | None:
        """The Order JSON kept beside the record, as text."""
        text = self.scripts.client.get(self.scripts.key(order.supplier, "details", order.order_id))
        if text is None:
            return None
        return str(text)

    # --- one step ---------------------------------------------------------------------------------

    def claim(self, supplier: str, order_id: str, *, direct: bool = False) -> ScriptReply:
        """Takes the lease of a due order: result `claimed`, or why not.

        `direct`: the order was just opened, and never dispatched.
        """
        claim = secrets.token_hex(8)
        arguments = self._claiming(supplier, order_id, claim, direct)
        reply = self.scripts.run("order_claim", supplier, **arguments)
        return replies.as_reply(supplier, order_id, reply, claim)

    def permit(self, claimed: ScriptReply, call: Call) -> Permit:
        """Writes the intent and spends one call of the budget.

        When the answer is no, the order goes back.
        """
        order = claimed.order
        if order is None:
            raise ValueError("only a claimed order can be permitted a call")
        arguments = self._permitting(order.supplier, order.order_id, claimed.claim)
        seen = order.suspect_at or 0
        arguments |= {"kind": call.kind, "host": call.host, "suspect_at": seen}
        if call.kind == CONFIRM:
            times = self.policies[order.supplier].times
            arguments["last_safe"] = times.last_safe_moment(order)
        reply = self.scripts.run("order_permit", order.supplier, **arguments)
        return replies.as_permit(order, call, reply)

    def claim_and_permit(self, supplier: str, order_id: str) -> Claim:
        """Claims an order, and permits a confirm that needs no decision in the same round trip."""
        claim = secrets.token_hex(8)
        calls = self._claim_and_permit(supplier, order_id, claim, direct=False)
        return _claim(supplier, order_id, claim, *self.scripts.run_together(supplier, *calls))

    def _claim_and_permit(
        self, supplier: str, order_id: str, claim: str, *, direct: bool
    ) -> list[tuple[str, dict[str, Any]]]:
        unseen = {
            "kind": CONFIRM,
            "unseen": True,
            "has_deadline": self._has_deadline(supplier),
        }
        return [
            ("order_claim", self._claiming(supplier, order_id, claim, direct)),
            ("order_permit", self._permitting(supplier, order_id, claim) | unseen),
        ]

    def _claiming(self, supplier: str, order_id: str, claim: str, direct: bool) -> dict[str, Any]:
        limits = self.limits[supplier]
        return {
            "id": order_id,
            "claim": claim,
            "lease": limits.lease,
            "direct": direct,
            "has_deadline": self._has_deadline(supplier),
            **limits.rate(),
        }

    def _permitting(self, supplier: str, order_id: str, claim: str) -> dict[str, Any]:
        limits = self.limits[supplier]
        return {
            "id": order_id,
            "claim": claim,
            "look_every": LOOK_EVERY if limits.may_look else None,
            "hosts": self.policies[supplier].rules.hosts,
            **limits.spending(),
        }

    def write(
        self, before: Order, step: Step, *, claim: str | None = None, sent_at: float | None = None
    ) -> ScriptReply:
        """Applies a step by its claim, or else by the version that it was decided on.

        The result is `written` or `stale`. Safe to repeat with the same claim: the second time it
        changes nothing. `sent_at` is when the first byte left.
        """
        reply = self.scripts.run(
            "order_write",
            before.supplier,
            id=before.order_id,
            claim=claim,
            version=before.version,
            untouched=claim is None and step.order == before,
            call_free_at=slot_free_at(sent_at),
            **_changes(before, step.order, whole=claim is not None),
            **self._next_look(step.order),
            **self._told(step),
            **self._of_lane(step),
        )
        return replies.as_written(reply)

    def _next_look(self, order: Order) -> dict[str, Any]:
        times = self.policies[order.supplier].times
        kind, rank = times.waits_for(order)
        return {
            "due": order.due_at,
            "kind": kind,
            "rank": seconds(rank),
            "last_safe": times.last_safe_moment(order),
            "forget_after": self.retention,
        }

    def _told(self, step: Step) -> dict[str, Any]:
        tells = [{"type": kind, "reason": reason} for kind, reason in step.tells]
        return {
            "event": step.event,
            "extra": _extra(step),
            "tells": [_given(tell) for tell in tells],
            "channels": self.channels,
        }

    def _of_lane(self, step: Step) -> dict[str, Any]:
        return {
            "signal": step.signal,
            "cause": step.cause,
            "retry_after": step.retry_after,
            "retry": self.retry,
            "hosts": self.policies[step.order.supplier].rules.hosts,
            "page": step.page,
        }

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

    def hint(self, supplier: str, order_id: str) -> str:
        """Makes an order due at once: due, remembered, ended or gone."""
        reads = self.policies[supplier].rules.reads
        return str(self.scripts.run("order_hint", supplier, id=order_id, reads=reads)["result"])

    # --- lanes ------------------------------------------------------------------------------------

    def dispatch(self, lane: Lane, limit: int) -> Dispatched:
        """Reserves up to `limit` orders that may be looked at now."""
        limits = self.limits[lane.supplier]
        reply = self.scripts.run(
            "lane_dispatch",
            lane.supplier,
            lane=lane.key,
            limit=limit,
            reserve=RESERVATION,
            has_deadline=self._has_deadline(lane.supplier),
            tight=HARDLY_IN_TIME,
            promote=PROMOTE,
            accounts=limits.accounts,
            pages=PAGES if limits.pages else None,
            **limits.rate(),
        )
        return replies.as_dispatched(reply)

    def known_order(self, lane: Lane) -> str | None:
        """An order that the lane has found before, while it is held because others are not."""
        name = self.scripts.key(lane.supplier, "lane", lane.key)
        held, known = self.scripts.client.hmget(name, "held", "known")
        if held == "not_found" and known:
            return str(known)
        return None

    def hold(self, lane: Lane, note: str) -> None:
        """A person's hold: nothing but deadlines moves until a person releases it."""
        self.scripts.run("lane_switch", lane.supplier, lane=lane.key, action="hold", note=note)

    def release(self, lane: Lane) -> None:
        """Ends any hold."""
        self.scripts.run("lane_switch", lane.supplier, lane=lane.key, action="release")

    def tend(self, room: str) -> None:
        """Warns of deadlines that come near, and forgets orders that ended long ago."""
        margin = 0.0
        if room in self.policies:
            margin = self.policies[room].rules.margin
        self.scripts.run(
            "orders_tend",
            room,
            limit=100,
            channels=self.channels,
            lead=self.warning - margin,
            grace=GRACE,
            postpone=POSTPONE,
        )

    def _has_deadline(self, supplier: str) -> bool:
        return self.policies[supplier].rules.confirm_within is not None


def _claim(
    supplier: str, order_id: str, claim: str, claimed: dict[str, Any], permit: dict[str, Any]
) -> Claim:
    return replies.as_claim(replies.as_reply(supplier, order_id, claimed, claim), permit)


def _stored(order: Order) -> dict[str, str]:
    """What a step writes of the record; the state always."""
    written = {name: text for name, text in dump_order(order).items() if name not in BY_SCRIPTS}
    return {**written, "state": order.state}


def _changes(before: Order, after: Order, *, whole: bool) -> dict[str, Any]:
    """The fields to set and to unset: the `whole` record, or what differs.

    A process that made a call writes the whole record: what it knows of its own intent outlives a
    server that forgot it.
    """
    old, new = _stored(before), _stored(after)
    known = {} if whole else old
    return {
        "set": {name: value for name, value in new.items() if known.get(name) != value},
        "unset": [name for name in old if name not in new],
    }


def _extra(step: Step) -> dict[str, Any]:
    """What the timeline says beside the event."""
    order = step.order
    said = {"reason": order.reason, "detail": order.detail, "cause": step.cause}
    return {"state": order.state, **_given({name: text or None for name, text in said.items()})}


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
