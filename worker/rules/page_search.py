"""What the pages of a supplier's list have taught, and which page to ask for next. Pure.

How the list is ordered and paged is not fully documented. Nothing counts that a page has not shown:
its direction, how many orders are on a page, where an order of a given date was. Places between are
interpolated, and each page corrects the next guess. Times are seconds since the epoch, the
supplier's for dates of creation and the ledger's for the rest.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

from worker.rules.page_trust import SLACK

PAGE_SIZE = 100
"""Orders that one page is asked for."""
ENOUGH = 3
"""Re-checks that a page must be expected to answer: fewer are read singly."""
CREDIT = 15.0
"""Calls that pages may cost before they save any: enough to search a list of 50,000."""
REST = 600.0
"""Seconds without a page when the credit is spent; what was learnt is kept."""
HINTED = 600.0
GROWS = 60.0
"""Seconds in which the list may grow by a page: the supplier takes 60 calls a minute."""
KNOTS = 64
UNSORTED = 0.1
"""Share of neighbours in the wrong order from which on a page is unsorted."""


@dataclass(frozen=True, slots=True)
class PendingOrder:
    """A pending order that a page may answer for.

    `rank` is until when it waits for a page; 0 means not at all.
    """

    order_id: str
    created_at: float
    due_at: float
    rank: float
    version: int

    def wanted(self, now: float) -> bool:
        """True when the order is due, or as much too early as it may be late."""
        return self.rank > 0 and self.due_at - self._slack <= now

    @property
    def hinted(self) -> bool:
        """True when a look at this order alone was asked for."""
        return self.rank <= self.due_at

    @property
    def _slack(self) -> float:
        return max(self.rank - self.due_at, 0.0)

    def worth(self, now: float) -> float:
        """Seconds since the last look: the longer, the likelier the order has ended.

        A hint means that it has.
        """
        if self.hinted:
            return HINTED
        return now - self.due_at + self._slack / SLACK


class Knot(NamedTuple):
    """The order that was created at `date` is at this `place`, counted from older to newer."""

    date: float
    place: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is known of one lane's list.

    `ends` counts the ended orders that trusted pages have shown.
    """

    newest_first: bool = True
    size: int = PAGE_SIZE
    """Orders on a full page."""
    knots: tuple[Knot, ...] = ()
    """The first and the last order of each page that was seen."""
    arrived: float = 0.0
    """Orders that came since the first page; they push a list with the newest first down."""
    seen_at: float = 0.0
    """When the latest page was seen."""
    deepest: int = 1
    beyond: int | None = None
    """A page that came empty; `beyond_at` is when."""
    beyond_at: float = 0.0
    credit: float = CREDIT
    rest_until: float = 0.0
    ends: int = 0

    # --- which page -------------------------------------------------------------------------------

    def choose(self, waiting: Iterable[PendingOrder], now: float) -> int | None:
        """The page on which most may have ended; None when none is worth its call."""
        wanted = [order for order in waiting if order.wanted(now)]
        if len(wanted) < ENOUGH or self.resting(now):
            return None
        if not self.knots:
            return 1
        return self._best_page(wanted, now) or self._page_of_lost(wanted, now)

    def _best_page(self, wanted: Sequence[PendingOrder], now: float) -> int | None:
        """The page that answers for enough orders, and is worth most."""
        expected: Counter[int] = Counter()
        worth: dict[int, float] = defaultdict(float)
        for order in wanted:
            page = self.page_of(order.created_at, now)
            expected[page] += 1
            worth[page] += order.worth(now)
        enough = [page for page in expected if expected[page] >= ENOUGH]
        return max(enough, key=lambda page: worth[page], default=None)

    def _page_of_lost(self, wanted: Sequence[PendingOrder], now: float) -> int | None:
        """A page in the middle of the orders that are far from everything seen so far."""
        lost = sorted(order.created_at for order in wanted if not self._near(order.created_at))
        if len(lost) < ENOUGH:
            return None
        return self.page_of(lost[len(lost) // 2], now)

    def resting(self, now: float) -> bool:
        """True while pages have cost more calls than they saved."""
        return self.credit < 1 and now < self.rest_until

    def page_of(self, created_at: float, now: float) -> int:
        """The page on which an order of that date is reckoned to be."""
        place = self._place(created_at)
        if self.newest_first:
            place = self._arrived(now) - place
        number = max(int(place // self.size) + 1, 1)
        if self.beyond is None or number < self._end(self.beyond, now):
            return number
        between = int((self.deepest * self.beyond) ** 0.5)
        return max(min(max(between, self.deepest + 1), self.beyond - 1), 1)

    def _end(self, beyond: int, now: float) -> float:
        """The first page that is surely empty: the list grows."""
        return beyond + (now - self.beyond_at) // GROWS

    def _arrived(self, now: float) -> float:
        """Orders that came since the first page, at the rate of the newest known ones."""
        if len(self.knots) < 2:
            return self.arrived
        return self.arrived + self._pace(-1) * (now - self.seen_at)

    def _place(self, date: float) -> float:
        """A date's place: between two knots in proportion, outside at the nearest page's pace."""
        after = sum(knot.date <= date for knot in self.knots)
        last = len(self.knots) - 1
        knot = self.knots[max(after - 1, 0)]
        return knot.place + (date - knot.date) * self._pace(min(max(after, 1), last))

    def _pace(self, number: int) -> float:
        """Orders per second from the knot before to this one."""
        before, knot = self.knots[number - 1], self.knots[number]
        return (knot.place - before.place) / max(knot.date - before.date, 1.0)

    def _near(self, date: float) -> bool:
        """True when a date is no more than a page away from what was seen."""
        place = self._place(date)
        return any(abs(knot.place - place) <= self.size for knot in self.knots)

    # --- what a page teaches ----------------------------------------------------------------------

    def learn(self, page: int, dates: Sequence[float], answered: int, now: float) -> "Listing":
        """What is known after a page that showed orders of these dates.

        `answered`: wanted orders that the page answered for.
        """
        paid = self._paid(answered - 1.0, now)
        if not dates:
            deepest = max(min(self.deepest, page - 1), 1)
            return replace(paid, beyond=page, beyond_at=now, deepest=deepest)
        direction = self._direction(dates)
        if direction is None:
            return self.useless(now)
        size = len(dates)
        if self.knots:
            size = max(size, self.size)
        if (direction, size) != (self.newest_first, self.size):
            paid = replace(paid, knots=(), newest_first=direction, size=size)
        known_end = self.beyond
        if known_end is not None and page >= known_end:
            known_end = None
        seen = paid._seen(page, sorted(dates), now)
        return replace(seen, deepest=max(self.deepest, page), beyond=known_end)

    def _direction(self, dates: Sequence[float]) -> bool | None:
        """True for a page with the newest first, False for the oldest; None for an unsorted one."""
        downs = sum(later < earlier for earlier, later in pairwise(dates))
        ups = sum(later > earlier for earlier, later in pairwise(dates))
        if min(ups, downs) > UNSORTED * len(dates):
            return None
        if downs == ups:
            return self.newest_first
        return downs > ups

    def _seen(self, page: int, dates: Sequence[float], now: float) -> "Listing":
        """With the knots of one page, in the place of the knots that they contradict.

        The page's dates are given from old to new.
        """
        arrived, count = self._arrived(now), len(dates) - 1
        oldest = float((page - 1) * self.size)
        if self.newest_first:
            oldest = arrived - oldest - count
            moved = self._moved(dates, oldest)
            arrived, oldest = arrived + moved, oldest + moved
        first, last = Knot(dates[0], oldest), Knot(dates[-1], oldest + count)
        knots = (*self._before(first), first, last, *self._after(last))
        return replace(self, knots=knots, arrived=arrived, seen_at=now)

    def _moved(self, dates: Sequence[float], oldest: float) -> float:
        """How many more orders have arrived than was reckoned, by an order that was seen before."""
        count = len(dates) - 1
        for number in (count // 2, 0, count):
            if self._inside(dates[number]):
                return self._place(dates[number]) - (oldest + number)
        return 0.0

    def _before(self, first: Knot) -> list[Knot]:
        older = [knot for knot in self.knots if knot.date < first.date and knot.place < first.place]
        return older[-KNOTS // 2 :]

    def _after(self, last: Knot) -> list[Knot]:
        newer = [knot for knot in self.knots if knot.date > last.date and knot.place > last.place]
        return newer[: KNOTS // 2]

    def _inside(self, date: float) -> bool:
        """True when a date is within a page that was seen."""
        return any(
            before.date <= date <= knot.date and knot.place - before.place < self.size
            for before, knot in pairwise(self.knots)
        )

    def useless(self, now: float) -> "Listing":
        """After a page that teaches nothing: no more pages for a while."""
        return self._paid(-CREDIT, now)

    def failed(self, now: float) -> "Listing":
        """After a page that did not come."""
        return self._paid(-1.0, now)

    def _paid(self, gain: float, now: float) -> "Listing":
        credit = min(max(self.credit + gain, 0.0), CREDIT)
        return replace(self, credit=credit, rest_until=now + REST if credit < 1 else 0.0)

    # --- as JSON ----------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Plain values, for the ledger."""
        return asdict(self)

    @classmethod
    def load(cls, kept: Any) -> "Listing":
        """The listing of plain values that `dump` made; else one that knows nothing."""
        try:
            return cls(**{**kept, "knots": tuple(Knot(*knot) for knot in kept["knots"])})
        except (TypeError, KeyError):
            return cls()
