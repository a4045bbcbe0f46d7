"""The demo's verdict is worth something only if it can be against the worker: each rule is broken
here once.
"""

import random
from collections import Counter
from typing import Any

import pytest

from sandbox.behaviours import TABLES
from sandbox.demo.kinds import FILLERS, KINDS, Kind, chosen, wanted
from sandbox.demo.shop import Sale
from sandbox.demo.verdict import judge, most_calls, within_budget
from sandbox.making import make
from sandbox.state import State

MADE = {"supplier": "relograde", "order_id": "RELO1"}
BOOK = {
    "status": "finished",
    "effects": 1,
    "confirms": 1,
    "overlaps": 0,
    "calls_after_deadline": 0,
    "repeated_without_asking": 0,
}
RECORD = {"state": "confirmed", "reason": None, "attempts": 1}


def sale(told: str = "confirmed", kind: Kind = FILLERS[0]) -> Sale:
    return Sale(kind, MADE, "demo-1", latest={"state": told, "sequence": 2})


def test_books_that_agree_are_right() -> None:
    """Nothing is wrong with an order that both sides call confirmed."""
    assert judge(sale(), BOOK, RECORD).right


def test_an_order_that_the_ledger_does_not_know_is_lost() -> None:
    """Lost is worse than wrong, and counted by itself."""
    judged = judge(sale(), BOOK, None)
    assert (judged.lost, judged.right) == (True, False)


@pytest.mark.parametrize(
    ("book", "record", "said"),
    [
        ({"effects": 2}, {}, "2 effects"),
        ({"overlaps": 1}, {}, "overlapping"),
        ({"calls_after_deadline": 1}, {}, "after the deadline"),
        ({"status": "created", "effects": 0}, {}, "confirmed, but the supplier says created"),
        ({"status": "cancelled"}, {}, "confirmed, but the supplier says cancelled"),
        ({}, {"state": "cancelled"}, "cancelled, but the supplier says finished"),
        ({}, {"state": "dead", "reason": "out_of_stock"}, "dead, but the supplier says finished"),
        ({}, {"state": "submitted"}, "expected confirmed"),
        ({"confirms": 2}, {}, "2 confirms, 1 intents"),
    ],
)
def test_each_disagreement_is_said(book: dict[str, Any], record: dict[str, Any], said: str) -> None:
    """One broken rule is enough for a wrong end."""
    told = record.get("state", "confirmed")
    judged = judge(sale(told), {**BOOK, **book}, {**RECORD, **record})
    assert any(said in wrong for wrong in judged.wrong)


def test_a_repeat_without_asking_is_counted() -> None:
    """The supplier saw a second confirm while the first one's outcome was open."""
    assert judge(sale(), {**BOOK, "repeated_without_asking": 1}, RECORD).repeated == 1


def test_an_end_that_the_shop_was_not_told_is_wrong() -> None:
    """The ledger may be right, and the web app still waiting."""
    assert judge(sale("submitted"), BOOK, RECORD).wrong == ["the shop was told submitted"]


def test_the_budget_is_counted_over_any_sixty_seconds() -> None:
    """Not over calendar minutes: 450 calls at :59 and 451 at :01 are 901.

    The merchant's calls have no budget.
    """
    calls = [59.0] * 450 + [61.0] * 450
    assert within_budget({"calls_per_key": {"key-1": calls, "merchant": [1.0] * 5000}})
    assert not within_budget({"calls_per_key": {"key-1": [*calls, 118.9]}})
    assert most_calls({"calls_per_key": {"key-1": [0.0, 60.0]}}) == 1


def test_every_kind_comes_however_few_are_asked_for() -> None:
    """The number asked for is met exactly where every kind fits into it."""
    for orders in (1, 200, 1000):
        kinds = Counter(kind.name + kind.supplier for kind in chosen(orders, random.Random(3)))
        assert len(kinds) == len(KINDS)
        assert kinds.total() == orders or orders == 1


def test_the_sandbox_can_make_every_kind() -> None:
    """Behaviours and parameters are the sandbox's own words."""
    state = State()
    for kind in KINDS:
        assert kind.behaviour in TABLES[kind.supplier]
        assert make(state, wanted(kind, random.Random(3))).behaviour == kind.behaviour
