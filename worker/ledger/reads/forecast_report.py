"""What `orders stats`, `orders forecast` and the metrics say of the future."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from schemas.lane import Lane
from schemas.outcomes import iso
from worker.ledger.limits import SLOT_TIME
from worker.ledger.reads.backlog import Backlog
from worker.ledger.reads.money import Balance, MoneyReads
from worker.ledger.shelf import Shelf
from worker.rules.forecast import Forecast, foresee
from worker.rules.money import Pace, Shortfall, Want, shortfalls


class ForecastReport:
    """Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(self, shelf: Shelf, lanes: Iterable[Lane]) -> None:
        self.shelf = shelf
        self.lanes = tuple(lanes)
        self.money = MoneyReads(shelf)
        self.backlog = Backlog(shelf)

    def predicted_misses(self) -> int:
        """Orders that will miss their deadline at the present budget."""
        return sum(foresee(*self.backlog.lane(lane)).misses for lane in self.lanes)

    def report(self) -> dict[str, Any]:
        """Everything that can be foreseen, for `--json`."""
        lanes = {lane.name: self._lane(lane) for lane in self.lanes}
        firsts = [lane["first_miss_at"] for lane in lanes.values() if lane["first_miss_at"]]
        money, complete = self._money()
        return {
            "predicted_misses": sum(lane["predicted_misses"] for lane in lanes.values()),
            "predicted_misses_if_pending": sum(
                lane["predicted_misses_if_pending"] for lane in lanes.values()
            ),
            "first_miss_at": min(firsts, default=None),
            "lanes": lanes,
            "money": money,
            "exact": complete and all(lane["exact"] for lane in lanes.values()),
        }

    def _lane(self, lane: Lane) -> dict[str, Any]:
        load, now = self.backlog.lane(lane)
        may_miss = self.shelf.policies[lane.supplier].rules.confirm_within is not None
        seen, pressed = foresee(load, now), foresee(replace(load, pressed=True), now)
        return {
            "calls_per_minute": load.per_minute,
            "held": load.held_until is not None,
            "to_confirm": seen.waiting if may_miss else None,
            "predicted_misses": seen.misses,
            "predicted_misses_if_pending": pressed.misses,
            "first_miss_at": iso(seen.first_miss_at),
            "done_at": iso(seen.done_at),
            "spare_seconds": seen.spare,
            "release_before": iso(_release_before(load.held_until, seen, now)),
            "first_miss_if_held_at": iso(seen.first_miss_if_held_at),
            "exact": seen.exact,
        }

    def _money(self) -> tuple[list[dict[str, Any]], bool]:
        rows, complete = [], True
        for supplier in dict.fromkeys(lane.supplier for lane in self.lanes):
            letters, all_of_them = self.backlog.unpaid(supplier)
            here = (lane.account for lane in self.lanes if lane.supplier == supplier)
            for account in dict.fromkeys((*here, *letters)):
                lane = Lane(supplier, account)
                found, all_wait = self._lane_money(lane, letters.get(account, []))
                exact = all_wait and all_of_them
                rows += [{**row, "exact": exact} for row in found]
                complete = complete and exact
        return rows, complete

    def _lane_money(self, lane: Lane, letters: list[Want]) -> tuple[list[dict[str, Any]], bool]:
        """The rows of a lane, and whether all of its waiting orders were read."""
        known = self.money.balances(lane)
        told = {
            currency: one.amount
            for currency, one in known.items()
            if not one.doubted and one.amount >= 0
        }
        waiting = self.money.waiting(lane) if told else ()
        pace = Pace(per_minute=self.shelf.limits[lane.supplier].calls_per_minute, window=SLOT_TIME)
        found = shortfalls((*letters, *waiting), told, pace, self.shelf.time())
        rows = [
            {"lane": lane.name, **_short(short, known.get(short.currency or ""))} for short in found
        ]
        return rows, not (told and self.money.more_wait(lane.supplier))


def _release_before(held_until: float | None, seen: Forecast, now: float) -> float | None:
    """A held lane may be released so much later without losing more."""
    if held_until is None or seen.spare is None:
        return None
    return max(held_until, now) + seen.spare


def _short(short: Shortfall, balance: Balance | None) -> dict[str, Any]:
    return {
        "currency": short.currency,
        "orders": short.orders,
        "amount": f"{short.amount:f}",
        "orders_without_amount": short.unpriced,
        "orders_waiting": short.waiting,
        "orders_lost": short.lost,
        "balance": None if short.balance is None else f"{short.balance:f}",
        "balance_at": iso(balance.asked_at) if balance else None,
        "missing": f"{short.missing:f}",
        "top_up_before": iso(short.before),
    }
