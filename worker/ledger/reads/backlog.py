"""Reads what a forecast needs, bounded: the nearest orders of a lane one by one, the others by
their number.
"""

from decimal import Decimal
from typing import Any

from worker.ledger import keys
from worker.ledger.ledger import TIGHT, WINDOW, Ledger
from worker.rules.forecast import ONCE, Lane, Recheck, Waiting
from worker.rules.shortfall import Unpaid

NEAREST = 2000
"""Orders of a kind that are read one by one in a lane: at 50 calls a minute, forty minutes and
more.
"""
GROUPS = 500
"""Steps into which the deadlines of the others are divided; a day has steps of three minutes."""
RECHECKS = 500
"""Re-checks that are read: at half an hour between two of one order they take the tenth of 160
calls a minute.
"""


class Backlog:
    """What waits in the ledger. Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(self, ledger: Ledger, nearest: int = NEAREST, groups: int = GROUPS) -> None:
        self.ledger = ledger
        self.nearest = nearest
        self.groups = groups

    def lane(self, supplier: str, account: str | None) -> tuple[Lane, float]:
        """One lane, and the ledger's time of this view of it.

        A supplier without deadlines has nothing to miss.
        """
        rules, per_minute = (
            self.ledger.policies[supplier].rules,
            self.ledger.limits[supplier].calls_per_minute,
        )
        seen = self.ledger.scripts.run(
            "forecast_backlog",
            supplier,
            lane=keys.lane(account),
            limit=self.nearest,
            groups=self.groups,
            rechecks=RECHECKS,
        )
        waiting = [Waiting(last_safe=float(rank)) for rank in seen["confirms"]]
        waiting += [Waiting(last_safe=float(rank), count=count) for rank, count in seen["groups"]]
        waiting += [_waiting(row, rules.settle) for row in seen["waiting"]]
        lane = Lane(
            per_minute=per_minute,
            window=WINDOW,
            tight=TIGHT,
            spent=[float(free_at) for free_at in seen["spent"]],
            waiting=waiting if rules.confirm_within is not None else (),
            rechecks=[
                Recheck(due_at=float(due), snoozes=int(more[0]) if more else ONCE)
                for due, *more in seen["rechecks"]
            ],
            schedule=rules.recheck,
            picks=int(seen.get("picks", 0)),
            held_until=_held_until(seen),
            exact=seen["beyond"] <= 0,
        )
        return lane, float(seen["now"])

    def unpaid(self, supplier: str) -> tuple[dict[str | None, list[Unpaid]], bool]:
        """The letters for want of money by account, the latest ones; and whether these are all."""
        margin = self.ledger.policies[supplier].rules.margin
        seen = self.ledger.scripts.run("forecast_unpaid_letters", supplier, limit=self.nearest)
        letters: dict[str | None, list[Unpaid]] = {}
        for row in seen["letters"]:
            if "deadline_at" in row:
                letters.setdefault(row.get("account"), []).append(_unpaid(row, margin))
        return letters, seen["beyond"] == 0


def _waiting(row: list[Any], settle: float) -> Waiting:
    rank, due, kind, send_by, suspect_at = row
    if kind == "confirm":
        return Waiting(last_safe=float(rank), due_at=float(due))
    sent = max(float(send_by), float(suspect_at))
    return Waiting(
        last_safe=float(rank), due_at=float(due), settled_at=sent + settle if sent else 0.0
    )


def _held_until(seen: dict[str, Any]) -> float | None:
    if "held" not in seen:
        return None
    return 0.0 if seen["held"] == "person" else float(seen.get("probe_at", 0.0))


def _unpaid(row: dict[str, str], margin: float) -> Unpaid:
    return Unpaid(
        last_safe=float(row["deadline_at"]) - margin,
        amount=Decimal(row["amount"]) if "amount" in row else None,
        currency=row.get("currency"),
    )
