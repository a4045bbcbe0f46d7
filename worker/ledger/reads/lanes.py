"""Reads of one lane: its hold, its budget, its balances and its waiting orders."""

from collections.abc import Mapping
from typing import Any

from schemas.lane import Lane
from schemas.outcomes import iso
from worker.ledger.reads.money import MoneyReads
from worker.ledger.shelf import Shelf


class LaneReads:
    """Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(self, shelf: Shelf) -> None:
        self.limits = shelf.limits
        self.scripts = shelf.scripts
        self.client = shelf.scripts.client
        self.money = MoneyReads(shelf)

    def lane(self, lane: Lane, now: float) -> dict[str, Any]:
        """One lane as `lanes show` shows it."""
        known: Mapping[str, str] = self.client.hgetall(self._key(lane, "lane"))
        limits = self.limits[lane.supplier]
        spent = self.client.zcount(self._key(lane, "calls"), f"({now}", "+inf")
        leased = self._current(lane, "leases", now)
        return {
            "held": "held" in known,
            "cause": known.get("held"),
            "since": iso(known.get("held_since")),
            "next_probe_at": iso(known.get("probe_at")) if "held" in known else None,
            "note": known.get("note"),
            "in_flight": len(leased),
            **_budget(limits.calls_per_minute, spent),
            "balances": self._balances(lane),
            **self._backlog(lane, len(_orders(leased)), now),
            "pages": known.get("pages_off", "on") if limits.pages else None,
            "pages_since": iso(known.get("pages_since")),
            "pages_note": known.get("pages_note"),
        }

    def _balances(self, lane: Lane) -> dict[str, Any]:
        return {
            currency: {
                "amount": f"{balance.amount:f}",
                "asked_at": iso(balance.asked_at),
                "doubted": balance.doubted,
            }
            for currency, balance in self.money.balances(lane).items()
        }

    def _backlog(self, lane: Lane, claimed: int, now: float) -> dict[str, int]:
        """Orders by whether they are due. A reserved order is due; a claimed one is neither."""
        index = self._key(lane, "due")
        later = self.client.zcount(index, f"({now}", "+inf")
        overdue = self.client.zcount(index, "-inf", now)
        rung = [*self._current(lane, "reserved", now), *self._current(lane, "dying", now)]
        reserved = len(_orders(rung))
        kinds = ("confirm", "ask", "recheck")
        ready = sum(self.client.zcard(self._key(lane, "ready", kind)) for kind in kinds)
        return {"waiting": max(later - claimed - reserved, 0), "due": ready + overdue + reserved}

    def _current(self, lane: Lane, name: str, now: float) -> list[str]:
        """Members whose reservation or lease has not ended."""
        members: list[str] = self.client.zrangebyscore(self._key(lane, name), f"({now}", "+inf")
        return members

    def _key(self, lane: Lane, name: str, *parts: str) -> str:
        return self.scripts.key(lane.supplier, name, lane.key, *parts)


def _budget(per_minute: int, spent: int) -> dict[str, int | None]:
    left = max(per_minute - spent, 0) if per_minute else None
    return {"calls_per_minute": per_minute, "calls_left": left}


def _orders(members: list[str]) -> list[str]:
    """The members that are orders; a lane call or a page begins with `|`."""
    return [member for member in members if not member.startswith("|")]
