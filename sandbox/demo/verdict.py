"""The sandbox's own books against the ledger, order by order.

Neither side judges itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sandbox.demo.environment import CALLS_PER_MINUTE
from sandbox.demo.shop import Sale

ACCEPTED = {"relograde": ("finished",), "logitrail": ("confirmed",)}
EFFECT_AND_DEAD = ("incomplete_delivery", "outcome_unknown")
"""Reasons of dead letters that an order may have although its confirm took effect."""


@dataclass
class Judged:
    """One order and everything that is wrong about it; `end` is its end in the ledger."""

    sale: Sale
    end: str
    lost: bool = False
    repeated: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        return not self.problems

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong, in words."""
        lost = ["lost"] if self.lost else []
        repeated = ["repeated without asking"] if self.repeated else []
        return lost + repeated + self.wrong


@dataclass(frozen=True)
class Tally:
    """The verdict on all orders, in numbers."""

    lost: int
    repeated: int
    wrong: int
    orders: int
    within_budget: bool

    @property
    def agreed(self) -> bool:
        return self.within_budget and not (self.lost or self.repeated or self.wrong)


def tally(judged: list[Judged], books: dict[str, Any]) -> Tally:
    """Counts what is wrong; `books` are the sandbox's."""
    return Tally(
        lost=sum(one.lost for one in judged),
        repeated=sum(one.repeated for one in judged),
        wrong=sum(bool(one.wrong) for one in judged),
        orders=len(judged),
        within_budget=within_budget(books),
    )


def judge(sale: Sale, book: dict[str, Any], record: dict[str, Any] | None) -> Judged:
    """Compares the supplier's book of one order with the ledger's record of it."""
    if record is None:
        return Judged(sale, "not in the ledger", lost=True)
    end = f"{record['state']}: {record['reason']}" if record["reason"] else record["state"]
    wrong = [
        *_wrong_end(sale, record, end),
        *_wrong_calls(book, record),
        *_wrong_state(sale, book, record),
    ]
    return Judged(sale, end, repeated=book["repeated_without_asking"] or 0, wrong=wrong)


def _wrong_end(sale: Sale, record: dict[str, Any], end: str) -> Iterable[str]:
    told = sale.latest.get("state")
    if end != sale.kind.end:
        yield f"ended as {end}, expected {sale.kind.end}"
    if told != record["state"]:
        yield f"the shop was told {told}"


def _wrong_calls(book: dict[str, Any], record: dict[str, Any]) -> Iterable[str]:
    if book["effects"] > 1:
        yield f"{book['effects']} effects"
    if book["overlaps"]:
        yield f"{book['overlaps']} overlapping confirms"
    if book["calls_after_deadline"]:
        yield f"{book['calls_after_deadline']} confirms after the deadline"
    if record["attempts"] < book["confirms"]:
        yield f"{book['confirms']} confirms, {record['attempts']} intents"


def _wrong_state(sale: Sale, book: dict[str, Any], record: dict[str, Any]) -> Iterable[str]:
    state, status, effects = record["state"], book["status"], book["effects"]
    confirmed_there = status in ACCEPTED[sale.kind.supplier] and effects == 1
    if state == "confirmed" and not confirmed_there:
        yield f"confirmed, but the supplier says {status}"
    if (state == "cancelled") != (status == "cancelled"):
        yield f"{state}, but the supplier says {status}"
    if state == "dead" and effects and record["reason"] not in EFFECT_AND_DEAD:
        yield f"dead, but the supplier says {status}"


def most_calls(books: dict[str, Any]) -> int:
    """The most calls in any 60 seconds with one Relograde key; the demo's budget is one key's."""
    most = 0
    for key, times in books["calls_per_key"].items():
        if key == "merchant":
            continue
        ordered, first = sorted(times), 0
        for number, at in enumerate(ordered):
            while ordered[first] <= at - 60.0:
                first += 1
            most = max(most, number - first + 1)
    return most


def within_budget(books: dict[str, Any]) -> bool:
    """Whether the supplier never counted more calls than the budget allows."""
    return most_calls(books) <= CALLS_PER_MINUTE
