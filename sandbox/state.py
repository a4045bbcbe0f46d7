"""Everything a running sandbox holds: books, switches, keys, and the dice for the mix."""

import asyncio
import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, web

from sandbox.books import Books, Order
from sandbox.doors import Door
from sandbox.switches import LogitrailSwitches, RelogradeSwitches, Switches, change


@dataclass
class State:
    seed: int = 0
    relograde_keys: tuple[str, ...] = ("sandbox-key",)
    logitrail_merchant: str = "sandbox"
    logitrail_secret: str = "sandbox-secret"
    books: Books = field(default_factory=Books)
    relograde: RelogradeSwitches = field(default_factory=RelogradeSwitches)
    logitrail: LogitrailSwitches = field(default_factory=LogitrailSwitches)
    dice: random.Random = field(default_factory=random.Random)
    # Times of the calls within the budget, by key label.
    budget: dict[str, list[float]] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    web: ClientSession | None = None
    doors: list[Door] = field(default_factory=list)
    # Switches that the sandbox was started with.
    initial: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reset()

    def switches(self, supplier: str) -> Switches:
        return self.relograde if supplier == "relograde" else self.logitrail

    def reset(self) -> None:
        """Brings everything back to the start, except that connections stay open."""
        self.cancel_tasks()
        self.books, self.budget = Books(), {}
        self.relograde, self.logitrail = RelogradeSwitches(), LogitrailSwitches()
        for supplier, values in self.initial.items():
            change(self.switches(supplier), values)
        self.dice.seed(self.seed)

    async def follow_doors(self) -> None:
        for door in self.doors:
            await door.follow(self.relograde, self.logitrail)

    def key_label(self, key: str) -> str:
        """`key-1`, `key-2`, ... in the order of configuration: the books hold no key itself."""
        if key not in self.relograde_keys:
            return "unknown"
        return f"key-{self.relograde_keys.index(key) + 1}"

    def deadline(self, order: Order) -> float | None:
        if order.supplier != "relograde":
            return None
        return order.created_at + self.relograde.confirm_within_seconds

    def within_budget(self, key: str, limit: int, now: float) -> bool:
        """Whether the call is within the budget, which it then counts against.

        Refused calls do not count, or a client that keeps asking would never be let in.
        """
        recent = [at for at in self.budget.get(key, []) if at > now - 60] if limit else []
        self.budget[key] = recent
        if limit and len(recent) >= limit:
            return False
        recent.append(now)
        return True

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work that no client waits for; the loop itself would keep no reference to it."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def cancel_tasks(self) -> None:
        for task in list(self.tasks):
            task.cancel()


STATE: web.AppKey[State] = web.AppKey("state", State)


def now() -> float:
    return time.time()
