"""Reads what a forecast needs: the nearest orders of a lane one by one, the others by number."""

from decimal import Decimal
from typing import Any

from schemas.lane import Lane
from worker.ledger.limits import HARDLY_IN_TIME, SLOT_TIME
from worker.ledger.shelf import Shelf
from worker.rules.forecast import ONCE, LaneLoad, OwedConfirm, Recheck
from worker.rules.money import Want

NEAREST = 2000
"""Orders of a kind that are read one by one: at 50 calls a minute, forty minutes of them."""
GROUPS = 500
"""Steps into which the deadlines of the others are divided; a day has steps of three minutes."""
RECHECKS = 500
"""Re-checks that are read: every half hour, so many take a tenth of 160 calls a minute."""


class Backlog:
    """What waits in the ledger. Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(self, shelf: Shelf, nearest: int = NEAREST, groups: int = GROUPS) -> None:
        self.shelf = shelf
        self.nearest = nearest
        self.groups = groups

    def lane(self, lane: Lane) -> tuple[LaneLoad, float]:
        """One lane, and the ledger's time of this view of it.

        A supplier without deadlines has nothing to miss.
        """
        rules = self.shelf.policies[lane.supplier].rules
        seen = self.shelf.scripts.run(
            "forecast_backlog",
            lane.supplier,
            lane=lane.key,
            limit=self.nearest,
            groups=self.groups,
            rechecks=RECHECKS,
        )
        waiting = [OwedConfirm(last_safe=float(rank)) for rank in seen["confirms"]]
        for rank, count in seen["groups"]:
            waiting.append(OwedConfirm(last_safe=float(rank), count=count))
        waiting += [_owed(row, rules.settle) for row in seen["waiting"]]
        load = LaneLoad(
            per_minute=self.shelf.limits[lane.supplier].calls_per_minute,
            window=SLOT_TIME,
            tight=HARDLY_IN_TIME,
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
        return load, float(seen["now"])

    def unpaid(self, supplier: str) -> tuple[dict[str | None, list[Want]], bool]:
        """The latest letters of `insufficient_balance` by account, and whether these are all."""
        margin = self.shelf.policies[supplier].rules.margin
        seen = self.shelf.scripts.run("forecast_unpaid_letters", supplier, limit=self.nearest)
        letters: dict[str | None, list[Want]] = {}
        for row in seen["letters"]:
            if "deadline_at" in row:
                letters.setdefault(row.get("account"), []).append(_letter(row, margin))
        return letters, seen["beyond"] == 0


def _owed(row: list[Any], settle: float) -> OwedConfirm:
    rank, due, kind, send_by, suspect_at = row
    if kind == "confirm":
        return OwedConfirm(last_safe=float(rank), due_at=float(due))
    sent_by = max(float(send_by), float(suspect_at))
    settled_at = sent_by + settle if sent_by else 0.0
    return OwedConfirm(last_safe=float(rank), due_at=float(due), settled_at=settled_at)


def _held_until(seen: dict[str, Any]) -> float | None:
    if "held" not in seen:
        return None
    if seen["held"] == "person":
        return 0.0
    return float(seen.get("probe_at", 0.0))


def _letter(row: dict[str, str], margin: float) -> Want:
    return Want(
        last_safe=float(row["deadline_at"]) - margin,
        letter_at=float(row["letter_at"]),
        amount=Decimal(row["amount"]) if "amount" in row else None,
        currency=row.get("currency"),
    )
