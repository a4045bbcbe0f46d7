"""A fleet of eight workers at the sandbox: the budget is never exceeded and hardly ever idle, by
the sandbox's books.

All variants run beside each other, each with a Redis, a sandbox and eight workers of its own, for
BUDGET_MINUTES. A share is 60 seconds over the time in which a whole limit of calls came, which an
unfinished minute cannot distort; the goal is for the lowest of them.
"""

import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import requests

from benchmarks.rig import HOST, UNLIMITED, Rig, wait_for
from benchmarks.rows import Row
from sandbox.doors import free_port

RUNS = 1
MINUTES = float(os.environ.get("BUDGET_MINUTES", "3"))
WORKERS = 8
WINDOW = 60.0
LIMIT = 60
BURST, PAUSE = 90, 75.0
"""Orders of a burst, and seconds from one to the next."""
AT_LEAST = 95.0
KEYS = {None: "key-0", "a": "key-a", "b": "key-b"}
LABELS = {None: "key-1", "a": "key-2", "b": "key-3"}


@dataclass(frozen=True)
class Variant:
    """`at_supplier`: calls a minute that it really allows; `bursts`: accounts whose orders come now
    and then.
    """

    name: str
    accounts: tuple[str | None, ...] = (None,)
    bursts: tuple[str | None, ...] = ()
    at_supplier: int = LIMIT
    retry_after: int | None = None


VARIANTS = (
    Variant("two keys with a backlog, one with bursts", accounts=("a", "b", None), bursts=(None,)),
    Variant("429 already at 40", at_supplier=40),
    Variant("429 already at 40, Retry-After 5", at_supplier=40, retry_after=5),
)


class Fleet:
    """One variant's processes."""

    def __init__(self, rig: Rig, variant: Variant) -> None:
        self.rig, self.variant = rig, variant
        self.url = f"http://{HOST}:{free_port(HOST)}"
        words = [word for key in KEYS.values() for word in ("--relograde-key", key)]
        switches = {"rate_limit": variant.at_supplier, "retry_after": variant.retry_after}
        words += [
            word
            for name, value in switches.items()
            if value
            for word in ("--set", f"relograde.{name}={value}")
        ]
        line = [sys.executable, "-m", "sandbox", "--port", self.url.rpartition(":")[2], *words]
        rig.run("sandbox", line, dict(os.environ))
        wait_for(self._answers, "the sandbox answers")
        for _ in range(WORKERS):
            rig.worker(self._settings(), wait=False)

    def send(self, account: str | None, number: int) -> None:
        """Orders that the supplier finishes at once, and the messages that they are paid."""
        wanted = {"supplier": "relograde", "behaviour": "finished", "account_key": LABELS[account]}
        made = requests.post(
            f"{self.url}/_sandbox/orders", json=[wanted] * number, timeout=60
        ).json()
        for order in made:
            given = {name: order[name] for name in ("supplier", "order_id", "created_at")}
            more = {} if account is None else {"account": account}
            self.rig.send("orders.confirm", reference=order["order_id"], **given, **more)

    def calls(self, account: str | None) -> list[float]:
        """When calls of one key arrived, whatever was answered."""
        return sorted(self._books()["calls_per_key"].get(LABELS[account], []))

    def confirmed(self) -> int:
        """Orders whose confirm took effect."""
        return sum(order["effects"] for order in self._books()["orders"])

    def _books(self) -> dict[str, Any]:
        books: dict[str, Any] = requests.get(f"{self.url}/_sandbox/books", timeout=60).json()
        return books

    def _settings(self) -> dict[str, str]:
        several = {f"RELOGRADE_API_KEY_{name.upper()}": key for name, key in KEYS.items() if name}
        one = {"RELOGRADE_API_KEY": KEYS[None]}
        named = (
            {**one, **several, "RELOGRADE_ACCOUNTS": "a,b"}
            if len(self.variant.accounts) > 1
            else one
        )
        limit = {"RELOGRADE_CALLS_PER_MINUTE": str(LIMIT), "RETRY_SECONDS": "2,10,30,60,300,900"}
        return {**UNLIMITED, **limit, **named, "RELOGRADE_URL": f"{self.url}/relograde"}

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/_sandbox/settings", timeout=5).ok
        except requests.RequestException:
            return False


def run(fleet: Fleet, seconds: float) -> None:
    """A backlog that outlasts the run, and bursts beside it."""
    ends = time.monotonic() + seconds
    for account in set(fleet.variant.accounts) - set(fleet.variant.bursts):
        fleet.send(account, round(LIMIT * (seconds / WINDOW + 2)))
    while time.monotonic() < ends:
        for account in fleet.variant.bursts:
            fleet.send(account, BURST)
        time.sleep(max(min(PAUSE, ends - time.monotonic()), 0))


def rows(fleet: Fleet, minutes: float) -> Iterator[Row]:
    """What the books say of each key."""
    variant = fleet.variant
    for account in variant.accounts:
        calls = fleet.calls(account)
        name = f"{variant.name}: key {account or 0}" if len(variant.accounts) > 1 else variant.name
        yield Row(
            name=f"most calls in 60 s: {name}", value=most(calls), unit="calls", at_most=LIMIT
        )
        if account not in variant.bursts and variant.at_supplier == LIMIT:
            used = shares(calls)
            yield Row(
                name=f"mean share of the limit used: {name}", value=statistics.mean(used), unit="%"
            )
            yield Row(
                name=f"lowest share of the limit used: {name}",
                value=min(used),
                unit="%",
                at_least=AT_LEAST,
            )
    if variant.at_supplier < LIMIT:
        value = fleet.confirmed() / (minutes * variant.at_supplier) * 100
        yield Row(name=f"confirmed, of what it allows: {variant.name}", value=value, unit="%")


def most(calls: list[float]) -> int:
    """Calls in the fullest window."""
    return max(
        (sum(begin <= call < begin + WINDOW for call in calls) for begin in calls), default=0
    )


def shares(calls: list[float]) -> list[float]:
    """In percent; of one limit after the other, from the first call to the last whole one."""
    return [100 * WINDOW / (later - earlier) for earlier, later in pairwise(calls[::LIMIT])] or [
        0.0
    ]


def measure(minutes: float = MINUTES) -> list[Row]:
    """One run of all variants."""
    with ExitStack() as stack:
        fleets = [Fleet(stack.enter_context(Rig()), variant) for variant in VARIANTS]
        for fleet in fleets:
            fleet.rig.ready()
        busy = [threading.Thread(target=run, args=(fleet, minutes * 60)) for fleet in fleets]
        for thread in busy:
            thread.start()
        for thread in busy:
            thread.join()
        return [row for fleet in fleets for row in rows(fleet, minutes)]
