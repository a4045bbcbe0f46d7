"""The judge at the end of a run: the suppliers' books against what the ledger says and what the web
app was told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.simulation.books import Entry
from tests.simulation.clock import START
from tests.simulation.plan import OrderPlan
from tests.simulation.reasons import unjustified
from worker.rules import answers as say

if TYPE_CHECKING:
    from tests.simulation.world import World

Key = tuple[str, str]
END_TYPES = {
    "confirmed": "order.confirmed",
    "cancelled": "order.cancelled",
    "withdrawn": "order.withdrawn",
    "resolved": "order.resolved",
    "dead": "order.dead_lettered",
}
NOT_PASSIVE = say.Rejected("order_not_passive", "order_not_passive")
LETTER_AFTER = 3.5 * 86400.0
"""Seconds after an inference by which a missing tracking code is a letter."""
SUPERSEDED = ("order.pending", "order.deadline_warning")


class Oracle:
    """Collects what is sent to the web app while the run goes on; `judge` looks at everything when
    it has ended.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._first: dict[tuple[str, Key], list[int]] = {}
        self._types: dict[tuple[Key, int], str] = {}
        self._bodies: dict[str, dict[str, Any]] = {}
        self.ends: list[tuple[str | None, str | None]] = []
        """(state, reason) of every order that was judged, as the ledger has them."""

    def sends(self, channel: str, key: Key, sequence: int, body: dict[str, Any]) -> None:
        """An outcome leaves: it is on disk, its id never meant anything else, and those before it
        have left.
        """
        kept = (
            ("order", "accepted_at")
            if body["type"] == "order.accepted"
            else ("outcomes", str(sequence))
        )
        if not self.world.on_disk(f"sim:{{{key[0]}}}:{kept[0]}:{key[1]}", kept[1]):
            self.world.violate(
                "disk", f"{body['type']} {body['id']} was told before it was on disk"
            )
        if self._bodies.setdefault(body["id"], body) != body:
            self.world.violate("id", f"{body['id']} was told with two meanings")
        self._borne_out(key, body)
        sent = self._first.setdefault((channel, key), [])
        self._types[key, sequence] = body["type"]
        if sequence in sent:
            return
        # A frozen teller may still say what a later outcome has superseded: nothing can call a POST
        # back.
        if sent and sequence < max(sent) and body["type"] not in SUPERSEDED:
            self.world.violate("order", f"{body['id']} was told after {max(sent)} by {channel}")
        sent.append(sequence)
        if channel == "post":
            self._taken_before(key, sequence)

    def _borne_out(self, key: Key, body: dict[str, Any]) -> None:
        """No end is told that the supplier does not know of at that moment."""
        if body["data"].get("key") or body["type"] not in ("order.confirmed", "order.cancelled"):
            return
        entry = self.world.books[key[0]].orders[key[1]]
        if body["type"] == "order.cancelled":
            true = entry.status == "cancelled"
        else:
            true = entry.status == "finished" or (key[0] == "logitrail" and entry.shipped)
        if not true:
            self.world.violate(
                "wrong_end", f"{body['type']} was told while the supplier says {entry.status}"
            )

    def _taken_before(self, key: Key, sequence: int) -> None:
        for earlier in self._first["post", key]:
            name = f"{key[0]}.{key[1]}.{earlier}"
            if (
                earlier < sequence
                and name not in self.world.shop.bodies
                and self._types[key, earlier] not in SUPERSEDED
            ):
                self.world.violate("order", f"{name} was not taken when {sequence} was posted")

    def was_told(self, key: Key, kind: str, reason: str | None = None) -> bool:
        """True when an outcome of this type, and for this reason when one is given, was sent for
        the order.
        """
        sent = [self._bodies[f"{key[0]}.{key[1]}.{at}"] for name, at in self._types if name == key]
        return any(
            body["type"] == kind and reason in (None, body["data"]["reason"]) for body in sent
        )

    def judge(self) -> int:
        """Every order; returns how many were judged."""
        self.world.watch.audit()
        for supplier in self.world.suppliers:
            self.world.watch.rate(
                supplier, self.world.plan.per_minute if supplier == "relograde" else 0
            )
        for plan in self.world.plan.orders:
            entry = self.world.books[plan.supplier].orders[plan.order_id]
            for rule, text in self._faults(plan, entry):
                self.world.violate(rule, f"{plan.number}: {text}")
        for text in self.world.people.unkept():
            self.world.violate("message", text)
        for text in self.world.people.unanswered():
            self.world.violate("withdraw", text)
        return len(self.world.plan.orders)

    def _faults(self, plan: OrderPlan, entry: Entry) -> Iterator[tuple[str, str]]:
        record = self.world.record(plan.supplier, plan.order_id)
        state = record.get("state")
        self.ends.append((state, record.get("reason")))
        if state is None:
            yield "lost", "its message was sent, and the ledger has no order"
            return
        if (plan.supplier, plan.order_id) not in self.world.shop.heard:
            yield "told", "its acceptance was never told"
        wrong = self._wrong_end(plan, entry, record)
        if wrong:
            yield wrong
        yield from self._broken(plan, entry, record)
        yield from self._untold(plan, record)

    def _broken(
        self, plan: OrderPlan, entry: Entry, record: dict[str, str]
    ) -> Iterator[tuple[str, str]]:
        """Promises that show only at the end."""
        yield from self._mark_forgotten(plan, record)
        yield from self._tracking_lost(entry, record)
        yield from self._inferred_alone(entry, record)
        if plan.supplier == "logitrail" and record["state"] == "confirmed":
            yield from self._inferred(entry, record)
        yield from self._lines_lost(plan, entry, record)
        yield from self._resolved_unseen(plan, record)
        yield from self._dead_without_a_call(entry, record)

    def _mark_forgotten(self, plan: OrderPlan, record: dict[str, str]) -> Iterator[tuple[str, str]]:
        state = record["state"]
        marked = (plan.supplier, plan.order_id) in self.world.marked
        if marked and state != "withdrawn" and not self.world.doubted:
            yield "withdraw", f"withdrawn before its confirm came, and now {state}"

    def _tracking_lost(self, entry: Entry, record: dict[str, str]) -> Iterator[tuple[str, str]]:
        answers = [visit.answer for visit in entry.visits if visit.finished]
        shown = [answer for answer in answers if isinstance(answer, say.Confirmed)]
        came = any(answer.tracking_code for answer in shown)
        came = came or any(webhook.done for webhook in entry.codes)
        owed = came and record["state"] == "confirmed" and not self.world.forgot
        if owed and not record.get("tracking_code"):
            yield "proof", "an answer or a webhook had the tracking code, and it is gone"

    def _inferred_alone(self, entry: Entry, record: dict[str, str]) -> Iterator[tuple[str, str]]:
        """Nothing was unresolved before an order's first call when its own intent was the first."""
        if record.get("inferred") != "1" or not entry.visits:
            return
        first = entry.visits[0]
        refused_first = first.applied and first.answer == NOT_PASSIVE
        forgotten = any(visit.forgotten for visit in entry.visits)
        if refused_first and entry.intents[0][1] == first.claim and not forgotten:
            yield "inference", "its first confirm was refused: it was confirmed by somebody else"

    def _lines_lost(
        self, plan: OrderPlan, entry: Entry, record: dict[str, str]
    ) -> Iterator[tuple[str, str]]:
        kept = _finished(json.loads(record.get("lines", "[]")))
        lost = self._delivered(plan, entry, record["state"]) - kept
        if lost:
            yield "lines", f"{sorted(lost)} were delivered, and the ledger has lost it"

    def _resolved_unseen(
        self, plan: OrderPlan, record: dict[str, str]
    ) -> Iterator[tuple[str, str]]:
        order = (plan.supplier, plan.order_id)
        if record["state"] == "resolved" and not self.was_told(order, "order.dead_lettered"):
            yield "resolve", "a person closed what had not been put before one"

    def _dead_without_a_call(
        self, entry: Entry, record: dict[str, str]
    ) -> Iterator[tuple[str, str]]:
        """A requeue makes at least one call that the deadline allows."""
        since = float(record.get("requeued_at", "inf"))
        if record["state"] != "dead" or float(record["letter_at"]) < since:
            return
        if not any(at >= since for at in entry.called):
            yield "requeue", f"requeued, and dead again of {record.get('reason')} before any call"

    def _delivered(self, plan: OrderPlan, entry: Entry, state: str) -> set[str]:
        """The lines that were shown with something to deliver; some come after a cancelled end."""
        if self.world.forgot:
            return set()
        if state == "cancelled" and plan.ending == "half_cancelled":
            return {"TAG-1", "TAG-2"}
        shown = [getattr(visit.answer, "lines", ()) for visit in entry.visits if visit.applied]
        return {line.tag for lines in shown for line in lines if line.deliverable}

    def _inferred(self, entry: Entry, record: dict[str, str]) -> Iterator[tuple[str, str]]:
        """What is inferred says so, and a tracking code that never comes is put before a human."""
        if record.get("inferred") != "1":
            proved = any(
                visit.delivered and isinstance(visit.answer, say.Confirmed)
                for visit in entry.visits
            )
            if not (proved or entry.noticed):
                yield (
                    "inference",
                    "confirmed without a word of the supplier, and not said to be inferred",
                )
            return
        put_before_one = record.get("letter") == "tracking_missing" or record.get("note")
        had = START + self.world.plan.days * 86400.0 - float(record["ended_at"])
        if not record.get("tracking_code") and not put_before_one and had > LETTER_AFTER:
            yield "letter", "inferred long ago, without a tracking code, and nobody was told"

    def _wrong_end(
        self, plan: OrderPlan, entry: Entry, record: dict[str, str]
    ) -> tuple[str, str] | None:
        state, reason = record["state"], record.get("reason")
        if state in ("accepted", "submitted", "pending"):
            return "stuck", f"still {state} after {self.world.clock.now - START:.0f} s"
        delivered = entry.status == "finished" and plan.ending != "incomplete"
        if state == "confirmed" and not (
            delivered or (plan.supplier == "logitrail" and entry.shipped)
        ):
            return "wrong_end", f"confirmed, and at the supplier it is {entry.status}"
        if state == "cancelled" and entry.status != "cancelled":
            return "wrong_end", f"cancelled, and at the supplier it is {entry.status}"
        if state in ("withdrawn", "resolved") and entry.effects and not self._allowed(plan, state):
            return "wrong_end", f"{state}, and it was confirmed with the supplier"
        if state == "dead":
            why = unjustified(self.world, plan, entry, record, str(reason))
            return ("wrong_end", f"dead, {reason}: {why}") if why else None
        return None

    def _allowed(self, plan: OrderPlan, state: str) -> bool:
        """A person may close what the machine could not decide."""
        return state == "resolved"

    def _untold(self, plan: OrderPlan, record: dict[str, str]) -> Iterator[tuple[str, str]]:
        key = (plan.supplier, plan.order_id)
        last = int(record.get("sequence", 0))
        told = [self.world.shop.bodies.get(f"{key[0]}.{key[1]}.{at}") for at in range(1, last + 1)]
        bodies = [body for body in told if body]
        yield from self._never_taken(
            plan, [at for at, body in enumerate(told, 1) if not body], last
        )
        yield from _lines_untold(record, bodies)
        yield from self._end_untold(record, bodies)

    def _never_taken(
        self, plan: OrderPlan, missing: list[int], last: int
    ) -> Iterator[tuple[str, str]]:
        """Only what a later outcome supersedes may stay untaken."""
        if not missing:
            return
        name = f"sim:{{{plan.supplier}}}:outcomes:{plan.order_id}"
        kept = self.world.site.client.hgetall(name)
        for sequence in missing:
            text = kept.get(str(sequence), "")
            passing = any(f'"{kind}"' in text for kind in SUPERSEDED)
            if sequence == last or not passing:
                yield "told", f"outcome {sequence} of {last} was never taken"

    def _end_untold(
        self, record: dict[str, str], bodies: list[dict[str, Any]]
    ) -> Iterator[tuple[str, str]]:
        wanted = END_TYPES.get(record["state"])
        if not wanted:
            return
        reasons = [body["data"]["reason"] for body in bodies if body["type"] == wanted]
        if not any(self._means(record, reason) for reason in reasons):
            yield "told", f"it is {record['state']}, and {wanted} was never told"

    def _means(self, record: dict[str, str], reason: str | None) -> bool:
        return record["state"] != "dead" or reason == record.get("reason")


def _finished(lines: list[dict[str, Any]]) -> set[str]:
    return {line["tag"] for line in lines if line["status"] == "finished"}


def _lines_untold(
    record: dict[str, str], bodies: list[dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    if record["state"] not in ("confirmed", "cancelled"):
        return
    latest = bodies[-1]["data"]["lines"] if bodies else []
    untold = _finished(json.loads(record.get("lines", "[]"))) - _finished(latest or [])
    if untold:
        yield "lines", f"{sorted(untold)} were delivered, and the last outcome does not say so"
