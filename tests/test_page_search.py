"""What pages teach and which page is asked for, against lists of every shape; pure, so a list is a
list.
"""

import json
import random
from collections.abc import Callable

import pytest

from worker.rules.page_search import (
    CREDIT,
    ENOUGH,
    HINTED,
    KNOTS,
    PAGE_SIZE,
    REST,
    Knot,
    Listing,
    PendingOrder,
)

NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 86400.0


def waiting(created_at: float, due_in: float = -1.0, slack: float = 10.0) -> PendingOrder:
    return PendingOrder("R", created_at, NOW + due_in, NOW + due_in + slack, 1)


def pages(
    dates: list[float], *, newest_first: bool, size: int = PAGE_SIZE
) -> Callable[[int], list[float]]:
    """A supplier's list as pages of dates."""
    shown = sorted(dates, reverse=newest_first)
    return lambda page: shown[(page - 1) * size : page * size]


def hunt(
    listing: Listing, page_of: Callable[[int], list[float]], wanted: list[PendingOrder]
) -> tuple[Listing, list[int]]:
    """Asks for pages until one shows enough of what is wanted, or no more are chosen."""
    asked: list[int] = []
    dates = [one.created_at for one in wanted]
    while (page := listing.choose(wanted, NOW)) is not None and len(asked) < 3 * CREDIT:
        shown = page_of(page)
        found = sum(date in shown for date in dates)
        listing = listing.learn(page, shown, found, NOW)
        asked.append(page)
        if found >= ENOUGH:
            break
    return listing, asked


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(
    ("total", "size"),
    [
        (30, PAGE_SIZE),
        (100, PAGE_SIZE),
        (101, PAGE_SIZE),
        (2_000, PAGE_SIZE),
        (50_000, PAGE_SIZE),
        (30, 25),
        (2_000, 25),
    ],
)
def test_the_page_with_the_pending_orders_is_found(newest_first, total, size):
    """Whatever the direction and the size of a page, before the credit is spent, wherever in the
    list they are.
    """
    choice = random.Random(total)
    # A shop that grew: most of its orders are of the last days.
    dates = sorted(NOW - 400 * DAY * choice.random() ** 2 for _ in range(total))
    for place in (0, total // 3, total - 20):
        wanted = [waiting(date) for date in dates[max(place, 0) :][: min(20, size - 1)]]
        listing, asked = hunt(Listing(), pages(dates, newest_first=newest_first, size=size), wanted)
        assert asked[0] == 1
        assert len(asked) <= CREDIT
        assert not listing.resting(NOW)
        shown = pages(dates, newest_first=newest_first, size=size)(asked[-1])
        assert sum(one.created_at in shown for one in wanted) >= ENOUGH
        assert total <= size or listing.newest_first == newest_first


def test_a_list_that_is_known_is_asked_where_the_orders_are():
    """The second hunt is a call or two; densities differ by a factor of ten."""
    dates = [NOW - n * 6.0 for n in range(500)] + [NOW - 3000 - n * 60.0 for n in range(3000)]
    listing, _ = hunt(
        Listing(), pages(dates, newest_first=True), [waiting(date) for date in dates[2000:2020]]
    )
    for start in (1930, 2100, 2300, 2700):
        listing, asked = hunt(
            listing, pages(dates, newest_first=True), [waiting(d) for d in dates[start:][:20]]
        )
        assert len(asked) <= 2


def test_new_orders_push_a_newest_first_list_down():
    """At the rate at which the newest known ones came; the end of an oldest-first list moves
    nobody.
    """
    dates = [NOW - n * 6.0 for n in range(2000)]
    wanted = [waiting(date) for date in dates[950:970]]
    for newest_first in (True, False):
        listing, asked = hunt(Listing(), pages(dates, newest_first=newest_first), wanted)
        later = [listing.page_of(dates[950], NOW + minutes * 60) for minutes in (0, 10, 30)]
        assert later == ([10, 11, 13] if newest_first else [asked[-1]] * 3)


def test_a_page_must_be_worth_its_call():
    """Fewer than enough that are due, or nearly, are asked singly; so are those that are scattered
    over known pages.
    """
    dates = [NOW - n * 60.0 for n in range(1000)]
    few = [waiting(dates[5])] * (ENOUGH - 1)
    assert Listing().choose(few, NOW) is None
    assert Listing().choose([*few, waiting(dates[6], due_in=11.0)], NOW) is None
    assert Listing().choose([*few, waiting(dates[6], due_in=9.0)], NOW) == 1
    assert Listing().choose([*few, PendingOrder("R", dates[6], NOW - 1, 0.0, 1)], NOW) is None, (
        "it is asked singly anyway"
    )
    listing = Listing()
    for page in (1, 2, 3):
        listing = listing.learn(page, pages(dates, newest_first=True)(page), 5, NOW)
    scattered = [waiting(dates[n]) for n in (20, 40, 120, 140, 220, 240)]
    assert listing.choose(scattered, NOW) is None
    assert listing.choose([*scattered, waiting(dates[130])], NOW) == 2


def test_the_page_is_chosen_on_which_most_may_have_ended():
    """Those that were looked at long ago before the many that just were; a hint weighs most."""
    dates = [NOW - n * 60.0 for n in range(1000)]
    listing = Listing()
    for page in (1, 2, 3):
        listing = listing.learn(page, pages(dates, newest_first=True)(page), 5, NOW)
    fresh = [waiting(date, slack=3.75) for date in dates[10:20]]
    old = [waiting(date, slack=75.0) for date in dates[110:114]]
    hinted = [waiting(date, slack=0.0) for date in dates[210:213]]
    assert hinted[0].worth(NOW) == HINTED
    assert listing.choose(fresh, NOW) == 1
    assert listing.choose(fresh + old, NOW) == 2
    assert listing.choose(fresh + old + hinted, NOW) == 3
    two = [waiting(date, slack=750.0) for date in dates[110:112]]
    assert listing.choose(fresh + two, NOW) == 1, "not even enough"


@pytest.mark.parametrize("shape", ["ignores the page", "unsorted", "empty", "not there"])
def test_a_list_that_cannot_be_used_costs_no_more_than_its_credit(shape):
    """Then one page in ten minutes, in case it has changed."""
    choice = random.Random(1)
    dates = [NOW - n * 60.0 for n in range(1000)]
    wanted = [waiting(date) for date in dates[500:520]]
    shows = {
        "ignores the page": lambda page: dates[:PAGE_SIZE],
        "unsorted": lambda page: choice.sample(dates, PAGE_SIZE),
        "empty": lambda page: [],
        "not there": lambda page: pages(dates[:400] + dates[600:], newest_first=True)(page),
    }[shape]
    listing, asked = Listing(), 0
    while (page := listing.choose(wanted, NOW)) is not None:
        asked += 1
        assert asked <= (1 if shape == "unsorted" else CREDIT), shape
        listing = listing.learn(page, shows(page), 0, NOW)
    assert listing.resting(NOW)
    assert listing.resting(NOW + REST - 1)
    assert not listing.resting(NOW + REST)
    again = listing.choose(wanted, NOW + REST)
    assert again is not None
    assert listing.learn(again, shows(again), 0, NOW + REST).choose(wanted, NOW + REST + 1) is None


def test_pages_that_answer_earn_credit_and_failures_cost_it():
    """No more than they began with."""
    listing = Listing()
    for left in range(int(CREDIT) - 1, 0, -1):
        listing = listing.failed(NOW)
        assert listing.credit == left
    assert not listing.resting(NOW)
    assert listing.learn(1, [NOW - 60, NOW - 120], 4, NOW).credit == 4
    assert listing.learn(1, [NOW - 60, NOW - 120], 40, NOW).credit == CREDIT
    assert listing.failed(NOW).resting(NOW)
    assert Listing().useless(NOW).resting(NOW)


def test_an_end_that_was_reached_may_move():
    """A page that came empty is not asked again, but the list may grow by a page a minute."""
    dates = [NOW - n * 60.0 for n in range(350)]
    listing = Listing()
    for page in (1, 3, 5):
        listing = listing.learn(page, pages(dates, newest_first=False)(page), 5, NOW)
    assert (listing.deepest, listing.beyond) == (3, 5)
    assert listing.page_of(NOW + 12 * HOUR, NOW) == 4
    assert listing.page_of(NOW + 12 * HOUR, NOW + 61) == 4
    assert listing.page_of(NOW + 2.5 * HOUR, NOW + 61) == 5
    seen = listing.learn(5, [NOW, NOW + 60], 3, NOW + 62)
    assert (seen.deepest, seen.beyond) == (5, None)


def test_what_is_known_stays_small_and_survives_json():
    """Spans near the latest page are kept; what cannot be read is not known."""
    listing = Listing()
    for page in range(1, 80):
        listing = listing.learn(page, [NOW - page * 1000.0 - n for n in range(100)], 5, NOW)
    assert len(listing.knots) <= KNOTS
    assert listing.knots[0].date == NOW - 79_099
    assert Listing.load(json.loads(json.dumps(listing.dump()))) == listing
    assert (
        Listing.load(None)
        == Listing.load({"size": 5})
        == Listing.load({**listing.dump(), "new": 1})
        == Listing()
    )


def test_a_newer_view_replaces_what_it_contradicts():
    """Of overlapping pages the later one counts, and places rise with dates."""
    dates = [NOW - n * 10.0 for n in range(100)]
    listing = Listing().learn(1, dates, 5, NOW).learn(3, [date - 2000 for date in dates], 5, NOW)
    assert [knot.place for knot in listing.knots] == [-299, -200, -99, 0]
    # Half a page has come since, sooner than was reckoned.
    moved = listing.learn(1, [NOW + 500 - n * 10.0 for n in range(100)], 5, NOW + 1)
    assert moved.knots == (*listing.knots[:3], Knot(NOW - 490, -49), Knot(NOW + 500, 50))
    assert moved.page_of(NOW - 2100, NOW + 1) == 3
    assert moved.page_of(NOW - 2500, NOW + 1) == 4
    contradicted = listing.learn(2, [date - 3000 for date in dates], 5, NOW)
    assert contradicted.knots == (
        Knot(NOW - 3990, -199),
        Knot(NOW - 3000, -100),
        *listing.knots[2:],
    )


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_page_of_one_date_says_nothing_of_the_direction(newest_first):
    """What an earlier page showed of it stays known."""
    dates = sorted((NOW - n * 10.0 for n in range(10)), reverse=newest_first)
    listing = Listing().learn(1, dates, 5, NOW)
    assert listing.newest_first is newest_first
    assert listing.learn(1, [NOW] * 10, 5, NOW + 1).newest_first is newest_first
