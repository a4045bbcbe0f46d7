"""The web app: repeats what was not accepted, takes outcomes, acknowledges them, hands webhooks
on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.simulation.bank import CURRENCY
from tests.simulation.clock import START
from tests.simulation.plan import OrderPlan
from tests.simulation.watch import outcome_key

if TYPE_CHECKING:
    from tests.simulation.broker import Message
    from tests.simulation.world import World

REPEAT = 20.0
SHOWN = 0.05


class Shop:
    """What was told, in the order of telling: (channel, order, sequence, type)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.told: list[tuple[str, tuple[str, str], int, dict[str, Any]]] = []
        self.heard: set[tuple[str, str]] = set()
        self.bodies: dict[str, dict[str, Any]] = {}
        self._lost = {
            event.nth: event for event in world.plan.events if event.kind == "lose_outcome"
        }
        self._sends = 0

    def open(self) -> None:
        """Every order's message is sent when it arrives."""
        for plan in self.world.plan.orders:
            self.world.scheduler.at(START + plan.arrives, lambda plan=plan: self._confirm(plan))

    def _confirm(self, plan: OrderPlan) -> None:
        if (plan.supplier, plan.order_id) in self.heard:
            return
        self.world.broker.send("orders.confirm", self.request(plan), plan.order_id)
        self.world.scheduler.at(
            self.world.clock.now + REPEAT + self.world.plan.pace, lambda: self._confirm(plan)
        )

    def request(self, plan: OrderPlan, reference: str | None = None) -> dict[str, Any]:
        """The arguments of `orders.confirm`."""
        request: dict[str, Any] = {
            "supplier": plan.supplier,
            "order_id": plan.order_id,
            "reference": reference or f"ref-{plan.number}",
        }
        if plan.supplier == "relograde":
            created = START + plan.arrives - (86400.0 - plan.life)
            request["created_at"] = datetime.fromtimestamp(created, UTC).isoformat()
            if plan.amount:
                request |= {"amount": plan.amount, "currency": CURRENCY}
        elif plan.details:
            request["details"] = {"tags": [f"order {plan.number}"]}
        return request

    def publish(self, bodies: list[dict[str, Any]]) -> None:
        """Outcomes as Celery tasks: the broker may lose one, the web app acknowledges what it
        took.
        """
        for body in bodies:
            self._send("task", body)
            if self._arrives():
                self._take(body)
                self.world.broker.send("outcomes.acknowledge", {"id": body["id"]}, delay=SHOWN)

    def post(self, body: dict[str, Any]) -> bool:
        """An outcome as a POST; False when it was not taken."""
        self._send("post", body)
        self.world.pause(SHOWN)
        taken = self._arrives()
        if taken:
            self._take(body)
        return taken

    def _arrives(self) -> bool:
        self._sends += 1
        event = self._lost.get(self._sends)
        if event is not None:
            self.world.injected("lose_outcome")
        return event is None

    def _send(self, channel: str, body: dict[str, Any]) -> None:
        key, sequence = outcome_key(body), int(body["id"].rpartition(".")[2])
        self.world.note(f"tells {body['type']} {body['id']} by {channel}")
        self.world.oracle.sends(channel, key, sequence, body)
        self.told.append((channel, key, sequence, body))

    def _take(self, body: dict[str, Any]) -> None:
        data = body["data"]
        # A refused message names the order too; only its reference tells it from ours.
        ours = any(data["reference"] == f"ref-{plan.number}" for plan in self.world.plan.orders)
        if ours and (body["type"] == "order.accepted" or data.get("key")):
            self.heard.add((data["supplier"], data["order_id"]))
        self.bodies[body["id"]] = body

    def webhook_relograde(self, order_id: str, seconds: float, deliveries: int = 1) -> None:
        """The supplier's only webhook: an order is finished (or somebody says so)."""
        payload = {
            "event": "ORDER_FINISHED",
            "state": "live",
            "apiKeyDescription": "x",
            "data": {"trx": order_id},
        }
        for copy in range(deliveries):
            self.world.broker.send("webhooks.relograde", {"payload": payload}, None, seconds + copy)

    def webhook_logitrail(
        self, order_id: str, status: str, code: str | None, deliveries: int = 1
    ) -> list[Message]:
        """The supplier's event, with a status and perhaps a tracking code."""
        order = {"id": order_id, "status": status, **({"tracking_code": code} if code else {})}
        event = {"event_type": "order.info.change", "event_id": "1", "payload": {"order": order}}
        send = self.world.broker.send
        return [
            send("webhooks.logitrail", {"payload": event}, None, copy * 0.5)
            for copy in range(deliveries)
        ]
