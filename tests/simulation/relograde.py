"""The books of Relograde: confirm by status, held for up to 33 s; two confirms at once would both
take effect.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.simulation import behaviours as do
from tests.simulation.bank import Bank
from tests.simulation.books import Books, Entry, Visit
from worker.rules import answers as say
from worker.suppliers.connections import TooLate

if TYPE_CHECKING:
    from tests.simulation.world import World

DAY = 86400.0
UNSETTLED = 600.0
"""Seconds for which the lines of a half cancelled order are not settled; then they are delivered
after all.
"""


class Relograde(Books):
    """`created` until a confirm takes effect; then finished, pending or cancelled as the plan's
    `ending` says.
    """

    supplier = "relograde"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.bank = Bank(world)

    def accounts(self, gate: Any) -> dict[str, Decimal] | say.Answer:
        """What the account holds when the question arrives."""
        forced = self.world.window(self.supplier)
        unsent, told = self._leaves("a look at the accounts", gate, forced), self.bank.told()
        return unsent or self._comes_back(forced) or told

    def judge(self, entry: Entry, visit: Visit) -> None:
        if visit.kind == "read":
            visit.answer = do.BEFORE.get(visit.behaviour)
            return
        refusal = do.NO_EFFECT[self.supplier].get(visit.behaviour)
        if refusal is not None or visit.behaviour == "lost_request":
            visit.answer = refusal
        elif visit.sent_at > entry.created_at + DAY:
            visit.answer = say.Rejected("order_expired")
        else:
            visit.effect = entry.status == "created" and self.bank.pays(entry.plan)
            if entry.status == "created" and not visit.effect:
                visit.answer = do.REFUSALS["insufficient_balance"]

    def take_effect(self, entry: Entry, visit: Visit) -> None:
        ending, plan = entry.plan.ending, entry.plan
        if ending.startswith(("pending", "half")):
            entry.status = "pending"
            self.world.scheduler.at(
                self.world.clock.now + plan.settles, lambda: self._settle(entry)
            )
            return
        self._end(entry, "cancelled" if ending == "cancelled" else "finished")

    def _settle(self, entry: Entry) -> None:
        self._end(entry, "finished" if entry.plan.ending == "pending" else "cancelled")

    def _end(self, entry: Entry, status: str) -> None:
        entry.status, entry.ended_at = status, self.world.clock.now
        self.world.note(f"relograde: {entry.plan.number} is {status}")
        for seconds, *_, deliveries in entry.plan.hooks if status == "finished" else ():
            self.world.shop.webhook_relograde(entry.plan.order_id, seconds, deliveries)

    def answer(self, entry: Entry, visit: Visit) -> say.Answer:
        shown = datetime.fromtimestamp(entry.created_at, UTC)
        if visit.kind == "confirm" and not visit.effect:
            return say.Unknown("can not be confirmed", refused=True)
        if entry.status == "created" or visit.behaviour == "says_created":
            return say.Created(created_at=shown)
        since = 0.0 if entry.ended_at is None else self.world.clock.now - entry.ended_at
        if entry.status == "finished":
            return say.Confirmed(_lines("finished", self.delivers(entry, since)), created_at=shown)
        if entry.status == "pending":
            return say.Pending(_lines("pending", False), shown)
        if entry.plan.ending != "half_cancelled":
            return say.Cancelled(_lines("cancelled", False), shown)
        return say.Cancelled(
            _lines("pending", False) if since < UNSETTLED else _lines("finished", True), shown
        )

    def find_page(self, page: int, gate: Any) -> dict[str, say.Answer] | say.Answer:
        """All orders are on the first page, newest first; what it shows is in the plan."""
        forced = self.world.window(self.supplier)
        trouble = self._leaves(f"page {page}", gate, forced) or self._comes_back(forced)
        if trouble:
            return trouble
        entries = sorted(self.orders.values(), key=lambda entry: -entry.created_at)
        return {entry.plan.order_id: self._on_page(entry) for entry in entries} if page == 1 else {}

    def _leaves(self, what: str, gate: Any, forced: str | None) -> say.Answer | None:
        """A call about no single order arrives; what it comes to when it does not."""
        world = self.world
        world.point("connect")
        if forced == "unavailable":
            world.pause(1.0)
            return do.UNSENT
        try:
            gate.check()
        except TooLate:
            return do.TOO_LATE
        self.sent.append(world.clock.now)
        world.note(f"relograde: {what} is sent")
        return None

    def _comes_back(self, forced: str | None) -> say.Answer | None:
        """Its answer comes a moment later; the trouble that comes instead."""
        self.world.pause(0.3)
        return None if forced is None else do.BEFORE.get(forced) or do.LOST

    def _on_page(self, entry: Entry) -> say.Answer:
        truth = self.answer(entry, Visit("page", "ok", 0.0, 0.0, 0.0, 0, False, None))
        if self.world.plan.pages == "stuck" and entry.status in ("finished", "cancelled"):
            return say.Pending(
                _lines("pending", False), datetime.fromtimestamp(entry.created_at, UTC)
            )
        if self.world.plan.pages == "early" and entry.status == "pending":
            shown = datetime.fromtimestamp(entry.created_at, UTC)
            return say.Confirmed(_lines("finished", True), created_at=shown)
        return truth

    def delivers(self, entry: Entry, since: float) -> bool:
        """Whether a finished order has something to deliver on every line, `since` seconds after
        its end.
        """
        return entry.plan.ending != "incomplete" and (
            entry.plan.ending != "incomplete_once" or since > 0.06
        )


def _lines(status: str, deliverable: bool) -> tuple[say.Line, ...]:
    first = (
        say.Line("TAG-1", "finished", True)
        if status == "pending"
        else say.Line("TAG-1", status, deliverable)
    )
    return (first, say.Line("TAG-2", status, deliverable))
