"""What one run consists of.

A plan is a value: the same plan gives the same run, a shorter plan a shorter one.
"""

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """One paid order: when its message is sent, how long it may be confirmed then, and what its
    supplier will do.

    `confirms` and `reads` are behaviours for the calls as they come, by name; after them the
    supplier behaves. `hooks` are webhooks: (seconds after the effect, status, with a tracking code,
    deliveries).
    """

    number: int
    supplier: str
    arrives: float = 0.0
    life: float = 80_000.0
    ending: str = "finished"
    confirms: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    takes: float = 0.3
    settles: float = 60.0
    earlier: float = 0.0
    details: bool = False
    amount: str = ""
    """What the supplier charges for it, where that is told; one currency."""
    hooks: tuple[tuple[float, str, bool, int], ...] = ()

    @property
    def order_id(self) -> str:
        return f"RELO{self.number:015d}" if self.supplier == "relograde" else f"{self.number:024x}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Strikes at the `nth` time that an action comes to `point`.

    `order` narrows that to actions about one order, `after` to those after its supplier gave the
    answer of that behaviour. kind: kill, freeze, pause, lose (the connection to the ledger),
    restart (the ledger's server).
    """

    kind: str
    point: str
    nth: int = 1
    seconds: float = 0.0
    order: int | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people, the broker or the suppliers do.

    `at`: seconds from the start; `nth`: of messages.
    """

    kind: str
    at: float = 0.0
    order: int | None = None
    nth: int = 0
    seconds: float = 0.0
    word: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run.

    `sync`: always synced, or plain: once a second; `lossy`: a restart forgets what is not synced.
    """

    seed: int
    orders: tuple[OrderPlan, ...]
    faults: tuple[Fault, ...] = ()
    events: tuple[Event, ...] = ()
    workers: int = 2
    channels: tuple[str, ...] = ("task",)
    sync: str = "plain"
    lossy: bool = False
    per_minute: int = 50
    pending_limit: float = 7 * 86400.0
    days: float = 9.0
    pace: float = 0.25
    """Seconds between two rounds of the tellers, at least."""
    spare: bool = False
    """The workers have threads to spare: what their dispatchers pick they start themselves, without
    a bell.
    """
    balance: str = ""
    """What the Relograde account holds at the start; without it every order is paid for.

    `top_up` events add to it.
    """
    pages: str = ""
    """Whether pages of Relograde's list are used, and what they show: the truth, stuck (an end as
    pending) or early.
    """

    def parts(self) -> list[tuple[str, Any]]:
        """What may be left out of a failing plan, one at a time."""
        found: list[tuple[str, Any]] = [("faults", fault) for fault in self.faults]
        found += [("events", event) for event in self.events]
        found += [("orders", order) for order in self.orders]
        for order in self.orders:
            found += [
                (name, order) for name in ("confirms", "reads", "hooks") if getattr(order, name)
            ]
        return found

    def without(self, part: tuple[str, Any]) -> "Plan":
        """The same plan without one part."""
        name, item = part
        if name in ("confirms", "reads", "hooks"):
            poorer = replace(item, **{name: ()})
            return replace(
                self, orders=tuple(poorer if order is item else order for order in self.orders)
            )
        return replace(
            self, **{name: tuple(other for other in getattr(self, name) if other is not item)}
        )
