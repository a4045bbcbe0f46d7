"""The demo's verdict can be against the worker, and its screen fits the terminal.

Each rule of the verdict is broken here once.
"""

import io
import random
from collections import Counter
from typing import Any

import pytest
from rich.console import Console, RenderableType

from sandbox.behaviours import TABLES
from sandbox.demo import screen
from sandbox.demo.environment import SHORTENED
from sandbox.demo.kinds import FILLERS, KINDS, Kind, chosen, wanted
from sandbox.demo.shop import Sale, Shop
from sandbox.demo.verdict import Judged, Tally, judge, most_calls, tally, within_budget
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


COLUMNS = pytest.mark.parametrize("columns", [80, 120])
LANES = {
    "relograde": {"held": False, "cause": None},
    "relograde/a": {"held": True, "cause": "company_not_verified"},
    "logitrail": {"held": True, "cause": "a cause as long as a person's note may become"},
}
STATS = {"states": {"accepted": 1000, "confirmed": 99999, "dead": 28}, "lanes": LANES}


def rendered(what: RenderableType, columns: int) -> list[str]:
    """The rows of a terminal that is `columns` wide, without the blanks at their ends."""
    console = Console(
        file=io.StringIO(), width=columns, force_terminal=True, color_system=None, highlight=False
    )
    with console.capture() as capture:
        console.print(what)
    rows = capture.get().splitlines()
    assert all(len(row) <= columns for row in rows)
    return [row.rstrip() for row in rows]


def ended(kind: Kind) -> Judged:
    return Judged(sale(kind=kind), kind.end)


@COLUMNS
@pytest.mark.parametrize("done", [0, 1, 2])
def test_each_row_of_the_live_screen_is_whole(columns: int, done: int) -> None:
    """The bar has a row of its own, and so have the heads, the counts and each lane."""
    shop = Shop("memory://", "outcomes", lambda supplier, order_id: None)
    heard = [{"order.accepted", "order.confirmed"}] * done + [set()] * (2 - done)
    shop.sales = {
        ("relograde", str(number)): Sale(FILLERS[0], MADE, "demo", sends=1, heard=types)
        for number, types in enumerate(heard)
    }
    rows = rendered(screen.progress(shop, STATS, 23.4, "http://127.0.0.1:65535"), columns)
    assert rows[0] == f"  23 s   sent 2   accepted {done}   ended {done} of 2"
    assert set(rows[1]) <= set("━╸╺ ")
    assert rows[2].split() == list(screen.STATES)
    assert rows[3].split() == ["1000", "-", "-", "99999", "-", "28"]
    assert rows[4:7] == [
        "  lane relograde open",
        "  lane relograde/a held: company_not_verified",
        "  lane logitrail held: a cause as long as a person's note may become",
    ]
    assert rows[7:] == ["Flower http://127.0.0.1:65535   Ctrl-C stops everything"]


@COLUMNS
def test_each_kind_has_one_row(columns: int) -> None:
    """Name, count, end and agreement of a kind stand beside each other, uncut."""
    judged = [ended(kind) for kind in KINDS for _ in range(100)]
    for supplier in screen.SUPPLIERS:
        rows = rendered(screen.kinds_table(supplier, judged), columns)
        kinds = [kind for kind in KINDS if kind.supplier == supplier]
        for kind, row in zip(kinds, rows[3:], strict=True):
            assert row.split() == f"{kind.name} 100 {kind.end} yes".split()


def test_a_wrong_end_is_shown_with_the_expected_one() -> None:
    """The table says NO, how the orders ended, and how they should have ended."""
    kind = FILLERS[0]
    stuck = Judged(sale(kind=kind), "pending", wrong=["ended as pending, expected confirmed"])
    text = " ".join(rendered(screen.kinds_table("relograde", [ended(kind), stuck]), 120))
    assert "1 confirmed, 1 pending; expected confirmed" in text
    assert "NO" in text


@COLUMNS
def test_each_setting_stands_on_one_row(columns: int) -> None:
    """No setting is cut or folded."""
    words = " ".join(rendered(screen.settings_table(), columns)).split()
    assert words == [f"{name}={value}" for name, value in SHORTENED.items()]


def test_the_verdict_fits_eighty_columns() -> None:
    """The one line that everybody reads; any fault in it turns it against the worker."""
    whole = Tally(lost=0, repeated=0, wrong=0, orders=200, within_budget=True)
    assert len(screen.verdict_line(whole)) <= 80
    assert whole.agreed
    assert not Tally(lost=0, repeated=0, wrong=0, orders=200, within_budget=False).agreed
    books = {"calls_per_key": {}}
    faults = [
        Judged(sale(), "not in the ledger", lost=True),
        Judged(sale(), "confirmed", repeated=1),
        Judged(sale(), "confirmed", wrong=["2 effects"]),
    ]
    for fault in faults:
        assert not tally([ended(FILLERS[0]), fault], books).agreed
    assert tally([ended(FILLERS[0])], books).agreed
