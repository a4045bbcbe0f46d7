"""What the pages of a supplier's list have taught, and which page to ask for next: pure values.

How the list is ordered and paged is not fully documented, so nothing is taken for granted that a
page has not shown: its direction, how many orders are on a page, where an order of a given date
was. Between what was seen, places are interpolated, and each page corrects the next guess. Times
are seconds since the epoch, by the supplier for dates of creation and by the ledger for the rest.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

from worker.rules.page_trust import SLACK

PAGE_SIZE = 100
"""Orders that one page is asked for."""
ENOUGH = 3
"""Re-checks that a page must be expected to answer: fewer are as well asked singly."""
CREDIT = 15.0
"""Calls that pages may cost before they have saved any: enough to find one's place in a list of
50,000.
"""
REST = 600.0
"""Seconds without a page when the credit is spent; what was learnt is kept."""
HINTED = 600.0
GROWS = 60.0
"""Seconds in which the list may grow by a page: the supplier takes no more than 60 calls a minute.
"""
KNOTS = 64
UNSORTED = 0.1
"""Share of neighbours in the wrong order from which on a page teaches nothing."""


@dataclass(frozen=True, slots=True)
class PendingOrder:
    """A pending order that a page may answer for.

    `rank` is until when it waits for one; 0 is not at all.
    """

    order_id: str
    created_at: float
    due_at: float
    rank: float
    version: int

    def wanted(self, now: float) -> bool:
        """Due, or so soon that looking now is as good: as much too early as it may be late."""
        return self.rank > 0 and self.due_at - self._slack <= now

    @property
    def hinted(self) -> bool:
        """A look of its own was asked for."""
        return self.rank <= self.due_at

    @property
    def _slack(self) -> float:
        return max(self.rank - self.due_at, 0.0)

    def worth(self, now: float) -> float:
        """Seconds since it was looked at: the longer, the likelier has it ended.

        A hint says that it has.
        """
        return HINTED if self.hinted else now - self.due_at + self._slack / SLACK


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
    """Orders that came since the first page: a list with the newest first is pushed down by so
    many.
    """
    seen_at: float = 0.0
    """When the latest page was."""
    deepest: int = 1
    beyond: int | None = None
    """A page that came empty, and when."""
    beyond_at: float = 0.0
    credit: float = CREDIT
    rest_until: float = 0.0
    ends: int = 0

    # --- which page -------------------------------------------------------------------------------

    def choose(self, waiting: Iterable[PendingOrder], now: float) -> int | None:
        """The page on which most may have ended; None when none is worth its call."""
        wanted = [one for one in waiting if one.wanted(now)]
        if len(wanted) < ENOUGH or self.resting(now):
            return None
        if not self.knots:
            return 1
        pages = [self.page_of(one.created_at, now) for one in wanted]
        expected = Counter(pages)
        worth = dict.fromkeys(expected, 0.0)
        for page, one in zip(pages, wanted, strict=True):
            worth[page] += one.worth(now)
        best = max(expected, key=lambda page: (expected[page] >= ENOUGH, worth[page]))
        if expected[best] >= ENOUGH:
            return best
        lost = sorted(one.created_at for one in wanted if not self._near(one.created_at))
        return self.page_of(lost[len(lost) // 2], now) if len(lost) >= ENOUGH else None

    def resting(self, now: float) -> bool:
        """True while pages have cost more calls than they saved."""
        return self.credit < 1 and now < self.rest_until

    def page_of(self, created_at: float, now: float) -> int:
        """The page on which an order of that date is reckoned to be."""
        place = self._place(created_at)
        place = self._arrived(now) - place if self.newest_first else place
        number = max(int(place // self.size) + 1, 1)
        if self.beyond is not None and number >= self.beyond + (now - self.beyond_at) // GROWS:
            between = int((self.deepest * self.beyond) ** 0.5)
            return max(min(max(between, self.deepest + 1), self.beyond - 1), 1)
        return number

    def _arrived(self, now: float) -> float:
        """At the rate of the newest known orders."""
        return (
            self.arrived + self._pace(-1) * (now - self.seen_at)
            if len(self.knots) > 1
            else self.arrived
        )

    def _place(self, date: float) -> float:
        """Between two knots in proportion; outside of them at the pace of the nearest page."""
        after = sum(knot.date <= date for knot in self.knots)
        last = len(self.knots) - 1
        knot = self.knots[max(after - 1, 0)]
        return knot.place + (date - knot.date) * self._pace(min(max(after, 1), last))

    def _pace(self, number: int) -> float:
        """Orders per second from the knot before to this one."""
        before, knot = self.knots[number - 1], self.knots[number]
        return (knot.place - before.place) / max(knot.date - before.date, 1.0)

    def _near(self, date: float) -> bool:
        """No more than a page away from what was seen."""
        place = self._place(date)
        return any(abs(knot.place - place) <= self.size for knot in self.knots)

    # --- what a page teaches ----------------------------------------------------------------------

    def learn(self, page: int, dates: Sequence[float], answered: int, now: float) -> "Listing":
        """What is known after a page that showed orders of these dates and answered for so many
        that were wanted.
        """
        paid = self._paid(answered - 1.0, now)
        if not dates:
            return replace(
                paid, beyond=page, beyond_at=now, deepest=max(min(self.deepest, page - 1), 1)
            )
        downs = sum(later < earlier for earlier, later in pairwise(dates))
        ups = sum(later > earlier for earlier, later in pairwise(dates))
        if min(ups, downs) > UNSORTED * len(dates):
            return self.useless(now)
        newest_first = downs > ups or (downs == ups and self.newest_first)
        size = max(len(dates), self.size if self.knots else 1)
        if (newest_first, size) != (self.newest_first, self.size):
            paid = replace(paid, knots=(), newest_first=newest_first, size=size)
        return replace(
            paid._seen(page, sorted(dates), now),
            deepest=max(self.deepest, page),
            beyond=self.beyond if self.beyond is None or page < self.beyond else None,
        )

    def _seen(self, page: int, dates: Sequence[float], now: float) -> "Listing":
        """With the knots of one page, whose dates are given from old to new, in the place of what
        they contradict.
        """
        arrived, start, count = self._arrived(now), (page - 1) * self.size, len(dates) - 1
        oldest = arrived - start - count if self.newest_first else float(start)
        known = next(
            (number for number in (count // 2, 0, count) if self._inside(dates[number])), None
        )
        if self.newest_first and known is not None:
            # It shows what was seen before: the difference is what has arrived more, or less, than
            # was reckoned.
            moved = self._place(dates[known]) - (oldest + known)
            arrived, oldest = arrived + moved, oldest + moved
        first, last = Knot(dates[0], oldest), Knot(dates[-1], oldest + count)
        older = [knot for knot in self.knots if knot.date < first.date and knot.place < first.place]
        newer = [knot for knot in self.knots if knot.date > last.date and knot.place > last.place]
        room = KNOTS // 2
        return replace(
            self, knots=(*older[-room:], first, last, *newer[:room]), arrived=arrived, seen_at=now
        )

    def _inside(self, date: float) -> bool:
        """Within a page that was seen."""
        return any(
            before.date <= date <= knot.date and knot.place - before.place < self.size
            for before, knot in pairwise(self.knots)
        )

    def useless(self, now: float) -> "Listing":
        """A page that nothing can be learnt from: no more of them for a while."""
        return self._paid(-CREDIT, now)

    def failed(self, now: float) -> "Listing":
        """A page that did not come."""
        return self._paid(-1.0, now)

    def _paid(self, gain: float, now: float) -> "Listing":
        credit = min(max(self.credit + gain, 0.0), CREDIT)
        return replace(self, credit=credit, rest_until=now + REST if credit < 1 else 0.0)

    # --- as JSON ----------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def load(cls, kept: Any) -> "Listing":
        """What `dump` made; from anything else, nothing is known."""
        try:
            return cls(**{**kept, "knots": tuple(Knot(*knot) for knot in kept["knots"])})
        except (TypeError, KeyError):
            return cls()
