"""People and strangers: withdraws, requeues (twice at once), resolves, holds, hints, forgeries,
conflicts, garbage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis

from schemas.lane import Lane
from tests.simulation.clock import START
from tests.simulation.plan import Event, OrderPlan
from tests.simulation.scheduler import Actor

if TYPE_CHECKING:
    from tests.simulation.broker import Message
    from tests.simulation.world import World


class People:
    """Does what the plan's events say, each at its time.

    A person works at a process of their own.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.held: set[str] = set()
        """Suppliers whose lane a person holds."""
        self._withdraws: list[tuple[OrderPlan, Message]] = []
        self._refused: list[tuple[str, Message]] = []
        """(reason, message) of what must be kept as a letter of its own."""

    def begin(self) -> None:
        """Puts the events on the clock."""
        for event in self.world.plan.events:
            act = getattr(self, f"_{event.kind}", None)
            if act is not None:
                self.world.scheduler.at(
                    START + event.at, lambda act=act, event=event: self._do(act, event)
                )

    def _do(self, act: object, event: Event) -> None:
        plan = next(
            (order for order in self.world.plan.orders if order.number == event.order), None
        )
        if plan is not None or event.order is None:
            self.world.injected(event.kind)
            act(event, plan)  # type: ignore[operator]

    def _name(self, plan: OrderPlan) -> dict[str, str]:
        return {"supplier": plan.supplier, "order_id": plan.order_id}

    def _hint(self, event: Event, plan: OrderPlan) -> None:
        self.world.broker.send("orders.hint", self._name(plan), plan.order_id)

    def _withdraw(self, event: Event, plan: OrderPlan) -> None:
        message = self.world.broker.send("orders.withdraw", self._name(plan), plan.order_id)
        self._withdraws.append((plan, message))

    def unanswered(self) -> list[str]:
        """Withdraws that were taken, and of which the web app has never heard what became."""
        told = self.world.oracle.was_told
        wrong = []
        for plan, message in self._withdraws:
            key = (plan.supplier, plan.order_id)
            answered = told(key, "order.withdrawn") or told(
                key, "order.updated", "withdraw_refused"
            )
            if message.done and not answered and not self.world.forgot:
                wrong.append(
                    f"{plan.number}: a withdraw was taken, and nobody was told what became of it"
                )
        return wrong

    def _repeat(self, event: Event, plan: OrderPlan) -> None:
        self.world.broker.send("orders.confirm", self.world.shop.request(plan), plan.order_id)

    def _conflict(self, event: Event, plan: OrderPlan) -> None:
        request = self.world.shop.request(plan, "another")
        self._refused.append(
            (
                "conflicting_request",
                self.world.broker.send("orders.confirm", request, plan.order_id),
            )
        )

    def _garbage(self, event: Event, plan: OrderPlan | None) -> None:
        request = {"supplier": "relograde", "order_id": "?", "colour": "blue"}
        self._refused.append(("invalid_message", self.world.broker.send("orders.confirm", request)))

    def unkept(self) -> list[str]:
        """Messages that were taken and refused, and of which no letter speaks."""
        wrong = []
        for reason, message in self._refused:
            letters = self.world.site.client.call(
                "ZRANGE", f"sim:{{messages}}:letters:{reason}", "0", "-1"
            )
            named = [self.world.record("messages", number).get("order_id") for number in letters]
            if message.done and message.kwargs["order_id"] not in named and not self.world.forgot:
                wrong.append(
                    f"{message.door} {message.number} was refused, and no {reason} is kept"
                )
        return wrong

    def _forge(self, event: Event, plan: OrderPlan) -> None:
        """Relograde's webhook proves nothing; of Logitrail, one about an order that nobody
        knows.
        """
        if plan.supplier == "relograde":
            self.world.shop.webhook_relograde(plan.order_id, 0.0, 2)
        else:
            self.world.shop.webhook_logitrail("f" * 24, "confirmed", "FORGED", 2)

    def _requeue(self, event: Event, plan: OrderPlan) -> None:
        """Two people at once, the second a moment later, both between the other's reading and
        writing.
        """
        for seconds in (0.0, event.seconds):
            self.world.scheduler.at(
                self.world.clock.now + seconds, lambda: self._operator(plan, "requeue")
            )

    def _resolve(self, event: Event, plan: OrderPlan) -> None:
        self.world.scheduler.at(self.world.clock.now, lambda: self._operator(plan, "resolve"))

    def _operator(self, plan: OrderPlan, what: str) -> Actor:
        letters = self.world.workers[0].dead_letters
        key = f"{plan.supplier}/{plan.order_id}"

        def run() -> None:
            try:
                done = letters.requeue(key) if what == "requeue" else letters.resolve(key, "seen")
            except redis.ConnectionError:
                done = "no ledger"
            self.world.note(f"{what} {key}: {done or 'done'}")

        return Actor("operator", None, plan.order_id, run)

    def _top_up(self, event: Event, plan: OrderPlan | None) -> None:
        self.world.bank.top_up(event.seconds)

    def _hold(self, event: Event, plan: OrderPlan | None) -> None:
        self._lane(event.word, True, event.seconds)

    def _lane(self, supplier: str, hold: bool, seconds: float = 0.0) -> None:
        ledger = self.world.workers[0].ledger
        if self.world.clock.now < self.world.down_until:
            self.world.scheduler.at(
                self.world.down_until, lambda: self._lane(supplier, hold, seconds)
            )
        elif hold:
            ledger.hold(Lane(supplier), "a person")
            self.held.add(supplier)
            # Twice: a restart may forget the first.
            for late in (0.0, 30.0):
                self.world.scheduler.at(
                    self.world.clock.now + seconds + late, lambda: self._lane(supplier, False)
                )
        else:
            ledger.release(Lane(supplier))
            self.held.discard(supplier)
