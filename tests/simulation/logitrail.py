"""The books of Logitrail: a confirm of what is not passive is refused; two at once would both take
effect.
"""

from __future__ import annotations

from tests.simulation import behaviours as do
from tests.simulation.books import Books, Entry, Visit
from tests.simulation.plan import OrderPlan
from worker.rules import answers as say


class Logitrail(Books):
    """`passive` until a confirm takes effect.

    An order `elsewhere` was confirmed by somebody else before.
    """

    supplier = "logitrail"

    def first_status(self, plan: OrderPlan) -> str:
        return "confirmed" if plan.ending == "elsewhere" else "passive"

    def judge(self, entry: Entry, visit: Visit) -> None:
        visit.answer = do.NO_EFFECT[self.supplier].get(visit.behaviour)
        if visit.answer is None and visit.behaviour != "lost_request":
            visit.effect = entry.status == "passive"

    def take_effect(self, entry: Entry, visit: Visit) -> None:
        entry.status, entry.ended_at = "confirmed", self.world.clock.now
        for seconds, status, tracking, deliveries in entry.plan.hooks:
            self.world.scheduler.at(
                self.world.clock.now + seconds,
                lambda status=status, tracking=tracking, deliveries=deliveries: self._change(
                    entry, status, tracking, deliveries
                ),
            )

    def _change(self, entry: Entry, status: str, tracking: bool, deliveries: int) -> None:
        if status in ("cancelled", "deleted"):
            entry.status = "cancelled"
        entry.noticed = True
        code = f"TRACK-{entry.plan.number}" if tracking else None
        sent = self.world.shop.webhook_logitrail(entry.plan.order_id, status, code, deliveries)
        entry.codes += sent if code else []

    def answer(self, entry: Entry, visit: Visit) -> say.Answer:
        if visit.effect:
            return say.Confirmed(
                tracking_code=f"TRACK-{entry.plan.number}" if entry.plan.settles < 100 else None
            )
        return say.Rejected("order_not_passive", "order_not_passive")
