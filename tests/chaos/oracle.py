"""Judges by the suppliers' books, never by what the ledger says of itself; the ledger is read as a
stranger would.
"""

import time
from typing import Any

import redis

OPEN = ("accepted", "submitted", "pending")
TOLD = {
    "confirmed": ("order.confirmed", "order.updated"),
    "cancelled": ("order.cancelled", "order.updated"),
    "dead": ("order.dead_lettered",),
}
EFFECT_AND_DEAD = ("incomplete_delivery", "outcome_unknown")
PREFIX = "countersign"


class Stranger:
    """Reads the ledger's keys without any of its code."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url, decode_responses=True, socket_timeout=10)

    def order(self, supplier: str, order_id: str) -> dict[str, str]:
        return dict(self.client.hgetall(f"{PREFIX}:{{{supplier}}}:order:{order_id}"))

    def counts(self, supplier: str) -> tuple[dict[str, int], dict[str, int]]:
        """(what the indexes say, what a recount of the records says), by state."""
        indexed, counted = {}, {}
        for key in self.client.scan_iter(f"{PREFIX}:{{{supplier}}}:state:*", count=1000):
            indexed[key.rpartition(":")[2]] = int(self.client.zcard(key))
        for key in self.client.scan_iter(f"{PREFIX}:{{{supplier}}}:order:*", count=1000):
            state = str(self.client.hget(key, "state"))
            counted[state] = counted.get(state, 0) + 1
        return {name: number for name, number in indexed.items() if number}, counted

    def stuck(self, supplier: str, overdue: float) -> list[str]:
        """Orders overdue by more than `overdue` seconds and unclaimed, when their lane is not
        held.
        """
        base = f"{PREFIX}:{{{supplier}}}"
        if self.client.hget(f"{base}:lane:-", "held"):
            return []
        late = time.time() - overdue
        names = list(self.client.zrangebyscore(f"{base}:due:-", "-inf", late))
        for kind in ("confirm", "ask", "recheck"):
            for name in self.client.zrange(f"{base}:ready:-:{kind}", 0, -1):
                due = self.client.hget(f"{base}:order:{name}", "due_at")
                if due is not None and float(due) < late:
                    names.append(name)
        return names


def judge(
    books: dict[str, Any], stranger: Stranger, told: dict[str, dict[str, dict[str, Any]]]
) -> list[str]:
    """Every violation, one line each."""
    wrong = []
    for entry in books["orders"]:
        record = stranger.order(entry["supplier"], entry["order_id"])
        name = f"{entry['supplier']}/{entry['order_id']} ({entry['behaviour']})"
        wrong += [
            f"{name}: {why}" for why in _violations(entry, record, told.get(entry["order_id"], {}))
        ]
    for supplier in ("relograde", "logitrail"):
        indexed, counted = stranger.counts(supplier)
        if indexed != counted:
            wrong.append(f"{supplier}: the indexes say {indexed}, a recount says {counted}")
    return wrong


def _violations(
    entry: dict[str, Any], record: dict[str, str], told: dict[str, dict[str, Any]]
) -> list[str]:
    if not record:
        return ["lost: not in the ledger"]
    state = record["state"]
    confirmed = entry["status"] in ("finished", "confirmed")
    dead_but_done = (
        state == "dead" and entry["effects"] and record.get("reason") not in EFFECT_AND_DEAD
    )
    types = {outcome["type"] for outcome in told.values()}
    rules = [
        (state in OPEN, f"open: {state}"),
        (entry["effects"] > 1, f"{entry['effects']} effects"),
        (bool(entry["overlaps"]), "overlapping confirms"),
        (bool(entry["repeated_without_asking"]), "repeated without asking"),
        (bool(entry["calls_after_deadline"]), "confirm after the deadline"),
        (state == "confirmed" and not confirmed, f"confirmed, the supplier says {entry['status']}"),
        (
            state == "cancelled" and entry["status"] != "cancelled",
            f"cancelled, the supplier says {entry['status']}",
        ),
        (bool(dead_but_done), f"dead {record.get('reason')}, the supplier says {entry['status']}"),
        (int(record.get("attempts", 0)) < entry["confirms"], "a confirm without an intent"),
        (
            state in TOLD and not types.intersection(TOLD.get(state, ())),
            f"its end {state} was never told",
        ),
    ]
    return [why for broken, why in rules if broken]
