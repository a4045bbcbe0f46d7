"""What is checked while a run goes on: at every confirm that leaves, every write, every outcome
that is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulation import behaviours as do
from tests.simulation.books import Entry, Visit
from tests.simulation.clock import START
from tests.simulation.reasons import unjustified
from worker.rules import answers as say

if TYPE_CHECKING:
    from tests.simulation.world import World

SETTLE = {"relograde": 40.0, "logitrail": 60.0}
WITHIN, MARGIN = 86400.0, 30.0
HOST_STAYS = 600.0
BLINK = 0.01
"""Seconds by which two of the run's clocks may differ: what a few scripts take."""


class Watch:
    """Judges each step by the suppliers' books and the public rules, never by the policy."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._lost: list[tuple[float, float]] = []

    def sent(self, supplier: str, entry: Entry, visit: Visit) -> None:
        """A call passes its gate: may it?"""
        self.world.note(
            f"{supplier}: {visit.kind} of {entry.plan.number} is sent ({visit.behaviour})"
        )
        if visit.sent_at > visit.send_by + BLINK:
            self.world.violate(
                "late_send", f"{entry.plan.number}: sent {visit.sent_at - visit.send_by:.1f} s late"
            )
        visit.forgotten = any(
            since - BLINK < visit.opened_at <= until for since, until in self._lost
        )
        if visit.kind != "confirm":
            return
        self._deadline(supplier, entry, visit)
        self._intent(supplier, entry, visit)
        unresolved = [earlier for earlier in entry.confirms() if not _did_nothing(earlier, visit)]
        for earlier in unresolved:
            if supplier == "relograde":
                self._asked(entry, earlier, visit)
            else:
                self._inferred(entry, earlier, visit)
        if supplier == "logitrail" and unresolved:
            self._same_host(entry, unresolved, visit)
        elif (
            entry.plan.details
            and not visit.body
            and not self.world.doubted
            and self._alone(entry, visit)
        ):
            self.world.violate("details", f"{entry.plan.number}: confirmed without its details")

    def _deadline(self, supplier: str, entry: Entry, visit: Visit) -> None:
        if supplier != "relograde":
            return
        plan = entry.plan
        last = START + plan.arrives - (WITHIN - plan.life) + WITHIN - MARGIN
        if any(self._showed_earlier(seen, visit) for seen in entry.visits):
            last -= plan.earlier
        if visit.sent_at > last + BLINK:
            self.world.violate(
                "deadline", f"{plan.number}: confirmed {visit.sent_at - last:.2f} s too late"
            )

    def _showed_earlier(self, seen: Visit, visit: Visit) -> bool:
        """An answer with the date of creation was written before this confirm was permitted."""
        known = seen.applied and not seen.forgotten and seen.applied_at <= visit.opened_at
        return known and getattr(seen.answer, "created_at", None) is not None

    def _intent(self, supplier: str, entry: Entry, visit: Visit) -> None:
        """The ledger knows of this very attempt before its first byte leaves, and the order is not
        taken back.
        """
        names = ("state", "requeued_at", "attempts")
        state, requeued_at, attempts = self.world.fields(supplier, entry.plan.order_id, *names)
        if state == "withdrawn":
            self.world.violate(
                "withdrawn", f"{entry.plan.number}: confirmed after it was withdrawn"
            )
        if self.world.oracle.was_told((supplier, entry.plan.order_id), "order.withdrawn"):
            self.world.violate(
                "withdrawn", f"{entry.plan.number}: confirmed after order.withdrawn was told"
            )
        since = float(requeued_at or 0)
        asked = any(read.kind == "read" and read.sent_at >= since for read in entry.visits)
        if supplier == "relograde" and requeued_at and not asked and not self.world.forgot:
            self.world.violate(
                "requeue", f"{entry.plan.number}: requeued, and confirmed without a question"
            )
        known = int(attempts or 0)
        if not self.world.forgot and known < len(entry.confirms()) + 1:
            self.world.violate(
                "intent", f"{entry.plan.number}: confirm sent, {known} attempts written"
            )

    def _asked(self, entry: Entry, earlier: Visit, visit: Visit) -> None:
        """Relograde: a read that was sent after the settle time said `created`, or that confirm
        surely did nothing.
        """
        settled = earlier.send_by + SETTLE["relograde"]
        if earlier.forgotten:
            settled = earlier.sent_at + do.HELD
        asked = any(
            read.kind == "read"
            and read.delivered
            and read.sent_at > settled
            and isinstance(read.answer, say.Created)
            for read in entry.visits
        )
        if not asked:
            since = visit.sent_at - earlier.sent_at
            self.world.violate(
                "repeat", f"{entry.plan.number}: confirmed again after {since:.1f} s without asking"
            )

    def _inferred(self, entry: Entry, earlier: Visit, visit: Visit) -> None:
        """Logitrail: the repeat is the question: after the settle time, without a body."""
        since, number = visit.sent_at - earlier.sent_at, entry.plan.number
        if (
            visit.sent_at <= earlier.send_by + SETTLE["logitrail"] and not earlier.forgotten
        ) or since <= do.HELD:
            self.world.violate("repeat", f"{number}: asked again after {since:.1f} s")
        if visit.body:
            self.world.violate("question", f"{number}: a question with a body")

    def _alone(self, entry: Entry, visit: Visit) -> bool:
        """Every intent before this one surely did nothing, as far as its visit tells."""
        nothing = {seen.claim for seen in entry.confirms() if _did_nothing(seen, visit)}
        return all(claim in nothing or claim == visit.claim for _, claim in entry.intents)

    def _same_host(self, entry: Entry, unresolved: list[Visit], visit: Visit) -> None:
        """For ten minutes from the first intent whose confirm may have had its effect."""
        first = unresolved[0]
        nothing = {seen.claim for seen in entry.confirms() if _did_nothing(seen, visit)}
        since = min(
            (when for when, claim in entry.intents if claim not in nothing), default=first.sent_at
        )
        if visit.sent_at - since < HOST_STAYS and visit.host != first.host and not first.forgotten:
            self.world.violate(
                "host", f"{entry.plan.number}: asked host {visit.host}, sent to {first.host}"
            )

    def claimed(self, before: dict[str, str]) -> None:
        """A step begins: no other step of this order may be under way."""
        if "claim" in before and float(before["lease_until"]) > self.world.clock.now + BLINK:
            self.world.violate(
                "lease", f"{before.get('reference')}: claimed while another step has it"
            )

    def permitted(self, supplier: str, arguments: dict[str, Any], *, probing: bool) -> None:
        """A call is permitted: a held lane has one probe only.

        A confirm's intent has been written.
        """
        order_id = arguments["id"]
        if supplier in self.world.people.held and not self.world.forgot:
            self.world.violate("hold", f"{order_id}: called although a person holds its lane")
        if (
            probing
            and self.world.site.client.call("HGET", f"sim:{{{supplier}}}:lane:-", "probe")
            != order_id
        ):
            self.world.violate("hold", f"{order_id}: called although its lane is held")
        if arguments["kind"] == "confirm":
            intent = (self.world.clock.now, arguments["claim"])
            self.world.books[supplier].orders[order_id].intents.append(intent)

    def wrote(self, supplier: str, arguments: dict[str, Any]) -> None:
        """A step was written; under a claim, the ledger knows now what that call's answer was."""
        if any(told["type"] == "order.dead_lettered" for told in arguments["tells"]):
            self._died(supplier, arguments["id"])
        claim = arguments.get("claim")
        if claim is None:
            return
        for books in self.world.books.values():
            for entry in books.orders.values():
                for visit in entry.visits:
                    if visit.claim == claim:
                        visit.applied, visit.applied_at = True, self.world.clock.now

    def _died(self, supplier: str, order_id: str) -> None:
        """A dead letter was written: at this moment the books must bear it out."""
        entry, record = (
            self.world.books[supplier].orders[order_id],
            self.world.record(supplier, order_id),
        )
        if record["state"] != "dead":
            return
        why = unjustified(self.world, entry.plan, entry, record, record["reason"])
        # Its reads said `created` of what it has finished. That is found out later: the oracle
        # judges the end.
        shown = any(
            isinstance(visit.answer, say.Confirmed) for visit in entry.visits if visit.delivered
        )
        if why and (shown or record["reason"] != "pending_too_long"):
            self.world.violate(
                "wrong_end", f"{entry.plan.number}: dies of {record['reason']}: {why}"
            )

    def step_ended(self, claim: str | None) -> None:
        """A step has come to its end, written or not."""
        for books in self.world.books.values():
            for entry in books.orders.values():
                for visit in entry.visits:
                    visit.finished = visit.finished or (visit.claim == claim and visit.delivered)

    def forget(self, since: float) -> None:
        """A restart lost everything written after `since`."""
        self._lost.append((since, self.world.clock.now))
        for books in self.world.books.values():
            for entry in books.orders.values():
                for visit in entry.visits:
                    if visit.opened_at > since - BLINK or visit.applied_at > since:
                        visit.forgotten = True
                        if visit.applied and visit.applied_at > since:
                            visit.unwritten_at = min(visit.unwritten_at, self.world.clock.now)

    def rate(self, supplier: str, limit: int) -> None:
        """No window of 60 seconds holds more calls than the lane's budget."""
        sent: list[float] = self.world.books[supplier].sent
        for first, last in zip(sent, sent[limit:], strict=False):
            if limit and last - first < 60.0 and not self.world.forgot:
                self.world.violate(
                    "budget", f"{supplier}: {limit + 1} calls in {last - first:.1f} s"
                )

    def audit(self) -> None:
        """The recount of the whole ledger."""
        bases = [f"sim:{{{room}}}:" for room in self.world.suppliers]
        for fault in self.world.site.audit(keys=bases, args=[f"{self.world.clock.now:.6f}"]):
            self.world.violate("recount", fault)


def _did_nothing(visit: Visit, next_one: Visit) -> bool:
    """Its own answer proved that it had no effect, and the ledger was told so."""
    written = visit.applied and next_one.opened_at <= visit.unwritten_at
    return written and do.certain(visit.answer)


def outcome_key(body: dict[str, Any]) -> tuple[str, str]:
    """(supplier, order id) of an outcome; messages have their own."""
    room, rest = body["id"].split(".", 1)
    return room, rest.rsplit(".", 1)[0]
