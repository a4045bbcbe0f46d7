"""The Relograde account: it pays for a confirm or refuses it, and tells what it holds.

It knows no rule of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.simulation.plan import OrderPlan

if TYPE_CHECKING:
    from tests.simulation.world import World

CURRENCY = "EUR"
LOOK_EVERY = 60.0
"""Seconds for which a balance that was told may decide over an order."""


@dataclass
class Look:
    """A look at the accounts that the ledger permitted at `asked_at`; `told` from `settled_at`
    on.
    """

    asked_at: float
    settled_at: float = float("inf")
    told: Decimal = Decimal(0)


class Bank:
    """`balance` is what is there now; None: there is always enough."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.balance = Decimal(world.plan.balance) if world.plan.balance else None
        self._looks: dict[str, Look] = {}

    def pays(self, plan: OrderPlan) -> bool:
        """Takes the price of an order, if it is there."""
        if self.balance is None or not plan.amount:
            return True
        if self.balance < Decimal(plan.amount):
            return False
        self.balance -= Decimal(plan.amount)
        self.world.note(f"bank: {plan.amount} for {plan.number}, {self.balance} left")
        return True

    def top_up(self, amount: float) -> None:
        """Somebody pays in."""
        if self.balance is not None:
            self.balance += Decimal(str(amount))

    def told(self) -> dict[str, Decimal]:
        """What the account holds."""
        return {CURRENCY: self.balance or Decimal(0)}

    def ran(self, name: str, arguments: dict[str, Any], result: str) -> None:
        """A script about a look has run."""
        if arguments["kind"] != "account":
            return
        if name == "lane_call_permit" and result == "permitted":
            self._looks[arguments["token"]] = Look(self.world.clock.now)
        elif name == "lane_call_settle" and result == "settled" and arguments["balances"]:
            look = self._looks[arguments["token"]]
            look.settled_at, look.told = (
                self.world.clock.now,
                Decimal(arguments["balances"][CURRENCY]),
            )

    def too_poor(self, plan: OrderPlan, record: dict[str, str]) -> str | None:
        """Why an order must not have died unsent: only by a balance of its own time, the latest
        there was, too low.
        """
        died_at = float(record["letter_at"])
        since = max(
            float(record["accepted_at"]), float(record.get("requeued_at", 0)), died_at - LOOK_EVERY
        )
        known = [look for look in self._looks.values() if look.settled_at <= died_at]
        latest = max(known, key=lambda look: look.settled_at, default=None)
        if latest is None or latest.asked_at < since:
            return "it was not sent because of an old balance"
        if latest.told >= Decimal(plan.amount):
            return f"it was not sent, and {latest.told} were there for {plan.amount}"
        return None
