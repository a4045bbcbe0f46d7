"""What will be lost if nothing is done: pure. Values in, a frozen result out; no I/O, no clock, no
random.

`foresee` plays the dispatcher's rules against the orders of one lane that wait now, call by call.
It takes for granted:

- nothing new arrives, and the budget stays as it is; - a call takes no time, and a call in hand
gets through; - a confirm to come is accepted by the supplier at once; an order that must be asked
about first turns out not to be confirmed, so it takes a read and a confirm; - what is pending stays
pending, and is re-checked on its schedule; in a `pressed` lane re-checks wait at all times, as when
most confirms are answered `pending`, and take their tenth as long as confirms wait; - a held lane
is released by its next probe, or at once where a person holds it. What a hold that stays would lose
is counted beside it.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import takewhile

SHARE = 10
"""Every tenth call is for a re-check while one waits."""
ONCE = -1
"""In place of the number of snoozes: this look does not come again."""
UNLIMITED = 10**9
SETTLED = 0.01
"""Seconds after its settle time at which an order is asked about that was asked too early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedConfirm:
    """An order that owes its supplier a confirm, or `count` of them that are alike.

    Times: seconds since the epoch.
    """

    last_safe: float
    due_at: float = 0.0
    settled_at: float | None = None
    """Set when a read comes before the confirm: one that is made sooner proves nothing."""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """A look that owes nothing. `snoozes`: how often the order was pending so far, or `ONCE`."""

    due_at: float
    snoozes: int = ONCE


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLoad:
    """One lane as it is. `spent`: when the calls of the running window free their slots, each
    `window` after it left.

    `held_until`: when a held lane is released at the earliest, 0 for at once; None for one that is
    not held.
    """

    per_minute: int
    window: float
    tight: float = 0.0
    """Seconds before its last safe moment in which an order yields to the others."""
    spent: Sequence[float] = ()
    waiting: Sequence[OwedConfirm] = ()
    rechecks: Sequence[Recheck] = ()
    schedule: Sequence[float] = (15.0,)
    picks: int = 0
    held_until: float | None = None
    pressed: bool = False
    """Beside the confirms there is always a re-check that waits."""
    exact: bool = True
    """False when some orders were grouped by their deadline, or not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What becomes of one lane. Times: seconds since the epoch."""

    waiting: int = 0
    """Orders that owe a confirm."""
    misses: int = 0
    first_miss_at: float | None = None
    """The earliest last safe moment that passes without a confirm."""
    spare: float | None = None
    """Seconds that the tightest of the confirms to come has left: longer than that, nothing may
    stand in the way.
    """
    done_at: float | None = None
    """When the last of these confirms is sent."""
    first_miss_if_held_at: float | None = None
    """For a held lane: when a hold that stays loses the first order; it loses them all."""
    exact: bool = True


def foresee(lane: LaneLoad, now: float) -> Forecast:
    """Which of the orders that wait in `lane` will be confirmed in time: earliest deadline first
    within the budget.
    """
    course = _Course(lane, now)
    while course.turn():
        pass
    held = lane.held_until is not None
    return Forecast(
        waiting=sum(order.count for order in lane.waiting),
        misses=course.misses,
        first_miss_at=course.first_miss_at,
        spare=course.spare,
        done_at=course.done_at,
        first_miss_if_held_at=min((order.last_safe for order in lane.waiting), default=None)
        if held
        else None,
        exact=lane.exact,
    )


class _Course:
    """The calls of one lane, in the order in which they will be made."""

    def __init__(self, lane: LaneLoad, now: float) -> None:
        self.lane = lane
        self.at = max(now, lane.held_until or now)
        # A slot serves again one window after it was used, so slots come free in the order in which
        # they were taken.
        taken = [
            (min(free_at, now + lane.window), 1)
            for free_at in sorted(lane.spent)[-lane.per_minute :]
        ]
        self.slots = deque(
            slot for slot in ((now, lane.per_minute - len(taken)), *taken) if slot[1] > 0
        )
        self.later = [
            (
                order.due_at,
                order.last_safe,
                order.settled_at is None,
                order.settled_at or 0.0,
                order.count,
            )
            for order in lane.waiting
        ]
        heapify(self.later)
        self.ready: list[tuple[float, bool, float, int]] = []
        """By deadline; a question goes before a confirm with the same one."""
        self.tight: list[tuple[float, bool, float, int]] = []
        """Those who yield."""
        self.rechecks = [(one.due_at, one.snoozes) for one in lane.rechecks]
        heapify(self.rechecks)
        self.picks = lane.picks
        self.misses = 0
        self.first_miss_at: float | None = None
        self.spare: float | None = None
        self.done_at: float | None = None

    def turn(self) -> bool:
        """Makes the calls that can be made now, or waits; False when nobody owes a confirm any
        more.
        """
        self._fall_due()
        if not (self.ready or self.tight or self.later):
            return False
        free = self._free()
        used = self._call(free) if free else 0
        if used:
            self._take(used)
        elif free:
            self.at = min(heap[0][0] for heap in (self.later, self.rechecks) if heap)
        else:
            self.at = self.slots[0][0]
        return True

    def _fall_due(self) -> None:
        while self.later and self.later[0][0] <= self.at:
            heappush(self.ready, heappop(self.later)[1:])
        while self.ready and self.ready[0][0] < self.at + self.lane.tight:
            order = heappop(self.ready)
            if order[1]:
                heappush(self.tight, order)
            else:
                # It can no longer be saved, but must still be asked about: with the re-checks.
                self._miss(order[0], order[3])
                heappush(self.rechecks, (order[0], ONCE))
        while self.tight and self.tight[0][0] < self.at:
            last_safe, _, _, count = heappop(self.tight)
            self._miss(last_safe, count)

    def _miss(self, last_safe: float, count: int) -> None:
        self.misses += count
        self.first_miss_at = min(last_safe, self.first_miss_at or last_safe)

    def _free(self) -> int:
        """Calls that may be made now."""
        if not self.lane.per_minute:
            return UNLIMITED
        if self.ready and self.ready[0][3] > 1:
            # Orders that are known by the window are called for by the window.
            self.slots = deque([(self.slots[-1][0], self.lane.per_minute)])
        return sum(count for _, count in takewhile(lambda slot: slot[0] <= self.at, self.slots))

    def _take(self, used: int) -> None:
        if not self.lane.per_minute:
            return
        self.slots.append((self.at + self.lane.window, used))
        while used:
            free_at, count = self.slots.popleft()
            if count > used:
                self.slots.appendleft((free_at, count - used))
            used -= min(count, used)

    def _call(self, free: int) -> int:
        """Makes up to `free` calls; what follows from them can be called for in the next turn.

        Returns how many.
        """
        used = 0
        while used < free and (self.ready or self.tight or self._recheck_waits()):
            line, waits = self.ready or self.tight, self._recheck_waits()
            shared = waits or self.lane.pressed
            until_share = SHARE - 1 - self.picks % SHARE if shared else free
            number = min(free - used, line[0][3], until_share) if line else 0
            if shared:
                self.picks += number or 1
            if number:
                self._serve(line, number)
            elif waits:
                self._recheck()
            used += number or 1
        return used

    def _recheck_waits(self) -> bool:
        return bool(self.rechecks) and self.rechecks[0][0] <= self.at

    def _recheck(self) -> None:
        _, snoozes = heappop(self.rechecks)
        if snoozes != ONCE:
            interval = self.lane.schedule[min(snoozes, len(self.lane.schedule) - 1)]
            heappush(self.rechecks, (self.at + interval, snoozes + 1))

    def _serve(self, line: list[tuple[float, bool, float, int]], number: int) -> None:
        """The first in line gets its read, or its confirm; of a group, the first `number` do."""
        last_safe, is_confirm, settled_at, count = heappop(line)
        if count > number:
            heappush(line, (last_safe, is_confirm, settled_at, count - number))
        if is_confirm:
            self.spare = min(
                last_safe - self.at, self.spare if self.spare is not None else math.inf
            )
            self.done_at = self.at
        elif self.at > settled_at:
            heappush(self.later, (self.at, last_safe, True, 0.0, 1))
        else:
            heappush(self.later, (settled_at + SETTLED, last_safe, False, settled_at, 1))
