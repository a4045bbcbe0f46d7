"""What will be lost if nothing is done. Pure.

`foresee` plays the dispatcher's rules against the orders of one lane that wait now, call by call.
It assumes:

- Nothing new arrives, and the budget stays as it is. - A call takes no time, and a call in hand
gets through. - The supplier accepts each confirm at once. An order that must be asked about first
turns out not to be confirmed: it takes a read and a confirm. - Pending orders stay pending, and are
re-checked on their schedule. In a `pressed` lane re-checks wait at all times, as when most confirms
are answered `pending`, and take their tenth while confirms wait. - A held lane is released by its
next probe, or at once where a person holds it. What a hold that stays would lose is counted beside
it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import takewhile
from typing import NamedTuple

SHARE = 10
"""While a re-check waits, every tenth call is for one; `lane_dispatch.lua` counts by the same."""
ONCE = -1
"""In place of the number of snoozes: this look does not come again."""
UNLIMITED = 10**9
SETTLED = 0.01
"""Seconds after its settle time at which an order is asked about that was asked too early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedConfirm:
    """An order that owes its supplier a confirm, or `count` of them that are alike.

    Times are seconds since the epoch.
    """

    last_safe: float
    due_at: float = 0.0
    settled_at: float | None = None
    """Set when a read comes before the confirm: an earlier read proves nothing."""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """A read of a pending order. `snoozes`: how often it was pending so far, or `ONCE`."""

    due_at: float
    snoozes: int = ONCE


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLoad:
    """One lane as it is.

    `spent` is when the calls of the running window free their slots, each `window` after it left.
    `held_until` is when a held lane is released at the earliest, 0 for at once; None for a lane
    that is not held.
    """

    per_minute: int
    window: float
    tight: float = 0.0
    """Seconds before its last safe moment in which an order goes after the others."""
    spent: Sequence[float] = ()
    waiting: Sequence[OwedConfirm] = ()
    rechecks: Sequence[Recheck] = ()
    schedule: Sequence[float] = (15.0,)
    picks: int = 0
    held_until: float | None = None
    pressed: bool = False
    """A re-check waits at all times."""
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
    """Seconds that the tightest of the coming confirms has to spare."""
    done_at: float | None = None
    """When the last of these confirms is sent."""
    first_miss_if_held_at: float | None = None
    """For a held lane: when a lasting hold loses the first order; it loses them all."""
    exact: bool = True


def foresee(lane: LaneLoad, now: float) -> Forecast:
    """Which orders of `lane` will be confirmed in time: earliest deadline first, in the budget."""
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


class _Owed(NamedTuple):
    """Orders that owe a confirm, ordered by deadline; a question goes before a confirm."""

    last_safe: float
    is_confirm: bool
    settled_at: float
    orders: int


class _Later(NamedTuple):
    """Orders that are not due yet."""

    due_at: float
    owed: _Owed


class _Slot(NamedTuple):
    """Calls of the budget that come free at one time."""

    free_at: float
    calls: int


class _Course:
    """The calls of one lane, in the order in which they will be made."""

    def __init__(self, lane: LaneLoad, now: float) -> None:
        self.lane = lane
        self.at = max(now, lane.held_until or now)
        self.slots = _slots(lane, now)
        self.later = [_Later(order.due_at, _owed(order)) for order in lane.waiting]
        heapify(self.later)
        self.ready: list[_Owed] = []
        self.tight: list[_Owed] = []
        """Orders so near to their deadline that others go first."""
        self.rechecks = [(one.due_at, one.snoozes) for one in lane.rechecks]
        heapify(self.rechecks)
        self.picks = lane.picks
        self.misses = 0
        self.first_miss_at: float | None = None
        self.spare: float | None = None
        self.done_at: float | None = None

    def turn(self) -> bool:
        """Makes the calls that can be made now, or waits; False when no order owes a confirm."""
        self._fall_due()
        if not (self.ready or self.tight or self.later):
            return False
        free = self._free()
        used = self._call(free) if free else 0
        if used:
            self._spend(used)
        elif free:
            self.at = self._next_due()
        else:
            self.at = self.slots[0].free_at
        return True

    def _next_due(self) -> float:
        heads = [heap[0][0] for heap in (self.later, self.rechecks) if heap]
        return min(heads)

    def _fall_due(self) -> None:
        while self.later and self.later[0].due_at <= self.at:
            heappush(self.ready, heappop(self.later).owed)
        while self.ready and self.ready[0].last_safe < self.at + self.lane.tight:
            order = heappop(self.ready)
            if order.is_confirm:
                heappush(self.tight, order)
            else:
                # It can no longer be saved, but must still be asked about: with the re-checks.
                self._miss(order)
                heappush(self.rechecks, (order.last_safe, ONCE))
        while self.tight and self.tight[0].last_safe < self.at:
            self._miss(heappop(self.tight))

    def _miss(self, order: _Owed) -> None:
        self.misses += order.orders
        self.first_miss_at = min(order.last_safe, self.first_miss_at or order.last_safe)

    def _free(self) -> int:
        """Calls that may be made now."""
        if not self.lane.per_minute:
            return UNLIMITED
        if self.ready and self.ready[0].orders > 1:
            # Orders that are known by the window are called for by the window.
            self.slots = deque([_Slot(self.slots[-1].free_at, self.lane.per_minute)])
        return sum(
            slot.calls for slot in takewhile(lambda slot: slot.free_at <= self.at, self.slots)
        )

    def _spend(self, used: int) -> None:
        if not self.lane.per_minute:
            return
        self.slots.append(_Slot(self.at + self.lane.window, used))
        while used:
            slot = self.slots.popleft()
            if slot.calls > used:
                self.slots.appendleft(_Slot(slot.free_at, slot.calls - used))
            used -= min(slot.calls, used)

    def _call(self, free: int) -> int:
        """Makes up to `free` calls and returns how many; what follows has the next turn."""
        used = 0
        while used < free and self._has_work():
            used += self._make_calls(free - used)
        return used

    def _has_work(self) -> bool:
        return bool(self.ready or self.tight) or self._recheck_waits()

    def _make_calls(self, free: int) -> int:
        """One re-check, or as many calls for the most urgent orders as may come before the next."""
        line, shared = self.ready or self.tight, self._recheck_waits() or self.lane.pressed
        until_share = SHARE - 1 - self.picks % SHARE if shared else free
        number = min(free, line[0].orders, until_share) if line else 0
        if shared:
            self.picks += number or 1
        if number:
            self._serve(line, number)
        elif self._recheck_waits():
            self._recheck()
        return number or 1

    def _recheck_waits(self) -> bool:
        return bool(self.rechecks) and self.rechecks[0][0] <= self.at

    def _recheck(self) -> None:
        _, snoozes = heappop(self.rechecks)
        if snoozes != ONCE:
            interval = self.lane.schedule[min(snoozes, len(self.lane.schedule) - 1)]
            heappush(self.rechecks, (self.at + interval, snoozes + 1))

    def _serve(self, line: list[_Owed], number: int) -> None:
        """The first in line gets its read, or its confirm; of a group, the first `number` do."""
        order = heappop(line)
        if order.orders > number:
            heappush(line, order._replace(orders=order.orders - number))
        if order.is_confirm:
            left = order.last_safe - self.at
            self.spare = left if self.spare is None else min(left, self.spare)
            self.done_at = self.at
        elif self.at > order.settled_at:
            confirm = _Owed(order.last_safe, True, 0.0, 1)
            heappush(self.later, _Later(self.at, confirm))
        else:
            question = order._replace(orders=1)
            heappush(self.later, _Later(order.settled_at + SETTLED, question))


def _owed(order: OwedConfirm) -> _Owed:
    is_confirm = order.settled_at is None
    return _Owed(order.last_safe, is_confirm, order.settled_at or 0.0, order.count)


def _slots(lane: LaneLoad, now: float) -> deque[_Slot]:
    """The budget. A slot serves again one window after it was used: slots come free in turn."""
    latest = sorted(lane.spent)[-lane.per_minute :]
    taken = [_Slot(min(free_at, now + lane.window), 1) for free_at in latest]
    free = lane.per_minute - len(taken)
    return deque([_Slot(now, free), *taken] if free > 0 else taken)
