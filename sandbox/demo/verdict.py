"""The sandbox's own books against the ledger, order by order.

Neither side is asked how it judges itself.
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
    """One order with everything that is wrong about it; `end` is what the ledger says."""

    sale: Sale
    end: str
    lost: bool = False
    repeated: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        return not (self.lost or self.repeated or self.wrong)


def judge(sale: Sale, book: dict[str, Any], record: dict[str, Any] | None) -> Judged:
    """What the books and the ledger say about one order."""
    if record is None:
        return Judged(sale, "not in the ledger", lost=True)
    end = f"{record['state']}: {record['reason']}" if record["reason"] else record["state"]
    judged = Judged(sale, end, repeated=book["repeated_without_asking"] or 0)
    judged.wrong += [text for is_so, text in _wrongs(sale, book, record, end) if is_so]
    return judged


def _wrongs(
    sale: Sale, book: dict[str, Any], record: dict[str, Any], end: str
) -> Iterable[tuple[bool, str]]:
    """Every rule as (is it broken, what to say)."""
    state, effects, status = record["state"], book["effects"], book["status"]
    confirmed_there = status in ACCEPTED[sale.kind.supplier] and effects == 1
    dead_in_error = state == "dead" and effects and record["reason"] not in EFFECT_AND_DEAD
    yield end != sale.kind.end, f"ended as {end}, expected {sale.kind.end}"
    yield effects > 1, f"{effects} effects"
    yield bool(book["overlaps"]), f"{book['overlaps']} overlapping confirms"
    yield (
        bool(book["calls_after_deadline"]),
        f"{book['calls_after_deadline']} confirms after the deadline",
    )
    yield state == "confirmed" and not confirmed_there, f"confirmed, but the supplier says {status}"
    yield (
        (state == "cancelled") != (status == "cancelled"),
        f"{state}, but the supplier says {status}",
    )
    yield bool(dead_in_error), f"dead, but the supplier says {status}"
    yield (
        record["attempts"] < book["confirms"],
        f"{book['confirms']} confirms, {record['attempts']} intents",
    )
    yield sale.latest.get("state") != state, f"the shop was told {sale.latest.get('state')}"


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
    """Whether the supplier ever counted more than the budget allows."""
    return most_calls(books) <= CALLS_PER_MINUTE
