"""The suppliers' own books: each call, its time, its effect. They judge the worker.

Only `take_effect` books an effect. Everything runs on one event loop and no method here awaits, so
nothing comes between reading the books and writing them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


def _gone() -> bool:
    return False


@dataclass
class Call:
    """One HTTP call; `clean` when the client can know from the answer whether it took effect."""

    kind: str
    at: float
    key: str
    host: int | None = None
    body: bool = False
    connected: Callable[[], bool] = _gone
    answered_at: float | None = None
    status: int | str | None = None
    effect: bool = False
    clean: bool = False
    working: bool = False

    def in_progress(self) -> bool:
        """Whether the supplier still works on it or the client still waits for the answer."""
        return self.working or (self.answered_at is None and self.connected())

    def end(self, at: float, status: int | str, clean: bool) -> None:
        self.answered_at, self.status, self.clean, self.connected = at, status, clean, _gone

    def shown(self) -> dict[str, Any]:
        names = ("at", "kind", "key", "host", "answered_at", "status", "effect", "body", "clean")
        return {name: getattr(self, name) for name in names}


@dataclass
class Line:
    tag: str
    status: str = "created"
    code: str | None = None
    serial: str | None = None
    token: str | None = None
    expires: bool = False


@dataclass
class Item:
    slug: str
    price: Decimal
    lines: list[Line]


@dataclass
class Order:
    supplier: str
    order_id: str
    behaviour: str
    params: dict[str, Any]
    created_at: float
    registered_at: float
    amount: Decimal
    currency: str
    key: str
    status: str
    reference: str | None = None
    hidden: bool = False
    items: list[Item] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    tracking_code: str | None = None
    turns: int = 0
    effects: int = 0
    overlaps: int = 0
    calls_after_deadline: int = 0
    repeated_without_asking: int = 0
    calls: list[Call] = field(default_factory=list)

    @property
    def lines(self) -> list[Line]:
        return [line for item in self.items for line in item.lines]

    def of_kind(self, *kinds: str) -> list[Call]:
        return [call for call in self.calls if call.kind in kinds]

    def in_doubt(self) -> bool:
        """Whether a confirm got no clean answer, and no read after it got one."""
        doubtful = [call.at for call in self.of_kind("confirm") if not call.clean]
        asked = [call.at for call in self.of_kind("find", "list") if call.clean]
        return bool(doubtful) and (not asked or max(asked) < max(doubtful))


@dataclass
class Books:
    orders: dict[tuple[str, str], Order] = field(default_factory=dict)
    calls_per_key: dict[str, list[float]] = field(default_factory=dict)
    kinds_per_key: dict[str, dict[str, int]] = field(default_factory=dict)
    unknown_orders: int = 0

    def open(self, order: Order) -> None:
        if (order.supplier, order.order_id) in self.orders:
            raise ValueError(f"{order.supplier} already has an order {order.order_id}")
        self.orders[order.supplier, order.order_id] = order

    def get(self, supplier: str, order_id: str) -> Order | None:
        return self.orders.get((supplier, order_id))

    def begin(self, call: Call, order: Order | None, deadline: float | None) -> None:
        """Books a call as it arrives, before the supplier decides about it."""
        self.calls_per_key.setdefault(call.key, []).append(call.at)
        kinds = self.kinds_per_key.setdefault(call.key, {})
        kinds[call.kind] = kinds.get(call.kind, 0) + 1
        if order is None:
            self.unknown_orders += call.kind in ("confirm", "find")
            return
        if call.kind == "confirm":
            order.overlaps += any(other.in_progress() for other in order.of_kind("confirm"))
            order.repeated_without_asking += order.in_doubt()
            order.calls_after_deadline += deadline is not None and call.at > deadline
        order.calls.append(call)

    def take_effect(self, order: Order, call: Call) -> bool:
        """Counts an effect; false for a second one, the disaster that these books are for."""
        order.effects += 1
        call.effect, call.working = True, False
        return order.effects == 1

    def shown(self) -> dict[str, Any]:
        return {
            "orders": [shown(order) for order in self.orders.values()],
            "calls_per_key": self.calls_per_key,
            "kinds_per_key": self.kinds_per_key,
            "calls_for_unknown_orders": self.unknown_orders,
        }


def shown(order: Order) -> dict[str, Any]:
    relograde = order.supplier == "relograde"
    return {
        "supplier": order.supplier,
        "order_id": order.order_id,
        "behaviour": order.behaviour,
        "created_at": order.created_at,
        "key": order.key,
        "status": order.status,
        "effects": order.effects,
        "confirms": len(order.of_kind("confirm")),
        "reads": len(order.of_kind("find", "list")),
        "overlaps": order.overlaps,
        "calls_after_deadline": order.calls_after_deadline,
        "repeated_without_asking": order.repeated_without_asking if relograde else None,
        "lines_finished": sum(line.status == "finished" for line in order.lines)
        if relograde
        else None,
        "lines_total": len(order.lines) if relograde else None,
        "tracking_code": order.tracking_code,
        "details": order.details,
        "calls": [call.shown() for call in order.calls],
    }
