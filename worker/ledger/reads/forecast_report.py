"""What `orders stats`, `orders forecast` and the metrics say of the future: the backlog put through
the forecast.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from schemas.outcomes import iso
from worker.ledger import keys
from worker.ledger.ledger import WINDOW, Ledger
from worker.ledger.reads.backlog import Backlog
from worker.ledger.reads.money import Balance, FundsViews
from worker.rules.forecast import Forecast, foresee
from worker.rules.shortfall import Shortfall, Unpaid, shortfalls


class Foresight:
    """Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(self, ledger: Ledger, lanes: Iterable[tuple[str, str | None]]) -> None:
        self.ledger = ledger
        self.lanes = tuple(lanes)
        self.funds = FundsViews(ledger)
        self.backlog = Backlog(ledger)

    def predicted_misses(self) -> int:
        """Orders that will miss their deadline at the present budget."""
        return sum(foresee(*self.backlog.lane(*lane)).misses for lane in self.lanes)

    def report(self) -> dict[str, Any]:
        """Everything that can be foreseen, for `--json`."""
        lanes = {keys.lane_name(*lane): self._lane(*lane) for lane in self.lanes}
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

    def _lane(self, supplier: str, account: str | None) -> dict[str, Any]:
        lane, now = self.backlog.lane(supplier, account)
        may_miss = self.ledger.policies[supplier].rules.confirm_within is not None
        seen, pressed = foresee(lane, now), foresee(replace(lane, pressed=True), now)
        return {
            "calls_per_minute": lane.per_minute,
            "held": lane.held_until is not None,
            "to_confirm": seen.waiting if may_miss else None,
            "predicted_misses": seen.misses,
            "predicted_misses_if_pending": pressed.misses,
            "first_miss_at": iso(seen.first_miss_at),
            "done_at": iso(seen.done_at),
            "spare_seconds": seen.spare,
            "release_before": iso(_release_before(lane.held_until, seen, now)),
            "first_miss_if_held_at": iso(seen.first_miss_if_held_at),
            "exact": seen.exact,
        }

    def _money(self) -> tuple[list[dict[str, Any]], bool]:
        rows, complete = [], True
        for supplier in dict.fromkeys(supplier for supplier, _ in self.lanes):
            letters, all_of_them = self.backlog.unpaid(supplier)
            here = (account for room, account in self.lanes if room == supplier)
            for account in dict.fromkeys((*here, *letters)):
                found, exact = self._lane_money(supplier, account, letters.get(account, []))
                rows += [{**row, "exact": exact and all_of_them} for row in found]
                complete = complete and exact and all_of_them
        return rows, complete

    def _lane_money(
        self, supplier: str, account: str | None, letters: list[Unpaid]
    ) -> tuple[list[dict[str, Any]], bool]:
        known = self.funds.balances(supplier, account)
        told = {
            currency: one.amount
            for currency, one in known.items()
            if not one.doubted and one.amount >= 0
        }
        waiting = self.funds.waiting(supplier, account) if told else ()
        wants = (
            Unpaid(last_safe=want.last_safe, amount=want.amount, currency=want.currency, waits=True)
            for want in waiting
        )
        per_minute, now = self.ledger.limits[supplier].calls_per_minute, self.ledger.time()
        found = shortfalls((*letters, *wants), told, per_minute, WINDOW, now)
        lane = keys.lane_name(supplier, account)
        rows = [{"lane": lane, **_short(short, known.get(short.currency or ""))} for short in found]
        return rows, not (told and self.funds.more_wait(supplier))


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
