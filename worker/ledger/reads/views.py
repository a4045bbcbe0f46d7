"""Reads for people: one order whole, lists, dead letters, counts."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.lane import Lane
from schemas.order import REASONS, STATES, Order, load_order
from schemas.outcomes import iso
from worker.ledger.messages import ROOM as MESSAGES
from worker.ledger.outbox import outcome_id
from worker.ledger.reads.forecast_report import ForecastReport
from worker.ledger.reads.money import MoneyReads
from worker.ledger.shelf import Shelf

ENDLESS = 10**9
LANE_KEYS = ("held", "cause", "in_flight", "calls_per_minute", "calls_left", "waiting", "due")
"""What the contract pins of a lane; `lanes show` has more."""


class Views:
    """What `celery -A worker orders|dead-letters|lanes` shows."""

    def __init__(self, shelf: Shelf, lanes: Iterable[Lane]) -> None:
        self.shelf = shelf
        self.scripts = shelf.scripts
        self.client = shelf.scripts.client
        self.money = MoneyReads(shelf)
        self.lanes = tuple(lanes)
        self.report = ForecastReport(shelf, self.lanes)
        self.suppliers = tuple(dict.fromkeys(lane.supplier for lane in self.lanes))

    def order(self, supplier: str, order_id: str) -> Order | None:
        """The record of one order, or None."""
        fields = self.client.hgetall(self.scripts.key(supplier, "order", order_id))
        if fields:
            return load_order(supplier, order_id, fields)
        return None

    def show(self, supplier: str, order_id: str) -> dict[str, Any] | None:
        """`orders show`: the object of the contract with its timeline."""
        order = self.order(supplier, order_id)
        if order is None:
            return None
        entries = self.client.lrange(self.scripts.key(supplier, "timeline", order_id), 0, -1)
        later = [{**json.loads(entry), "at": iso(json.loads(entry)["at"])} for entry in entries]
        timeline = [{"event": "accepted", "at": iso(order.accepted_at)}, *later]
        return {**self.brief(order), "timeline": timeline}

    def brief(self, order: Order) -> dict[str, Any]:
        """One order as `orders list` shows it."""
        return {
            "supplier": order.supplier,
            "order_id": order.order_id,
            "account": order.account,
            "reference": order.reference,
            "state": order.state,
            "reason": order.reason,
            "attempts": order.attempts,
            "created_at": iso(order.created_at),
            "accepted_at": iso(order.accepted_at),
            "deadline_at": iso(order.deadline_at),
            "next_look_at": iso(order.due_at),
            "last_sent_at": iso(order.last_sent_at),
            "unresolved": order.unresolved,
            "inferred": order.inferred,
            "tracking_code": order.tracking_code,
            "tracking_url": order.tracking_url,
            "lines_total": order.lines_total,
            "lines_finished": order.lines_finished,
            "outcome_delivered": self._delivered(order),
        }

    def _delivered(self, order: Order) -> bool | None:
        if not self.shelf.channels:
            return None
        member = f"{order.order_id}|{order.sequence}"
        boxes = [
            self.scripts.key(order.supplier, "outbox", channel) for channel in self.shelf.channels
        ]
        boxes.append(self.scripts.key(order.supplier, "letters", "outcome_undeliverable"))
        return all(self.client.zscore(box, member) is None for box in boxes)

    def orders(self, state: str | None, supplier: str | None, limit: int) -> list[Order]:
        """Orders in any state, newest first."""
        found: list[tuple[float, str, str]] = []
        for room in [supplier] if supplier else self.suppliers:
            for name in [state] if state else STATES:
                index = self.scripts.key(room, "state", name)
                rows = self.client.zrevrange(index, 0, limit - 1, withscores=True)
                found += [(score, room, order_id) for order_id, score in rows]
        found.sort(reverse=True)
        records = [self.order(room, order_id) for _, room, order_id in found[:limit]]
        return [record for record in records if record is not None]

    def letters(
        self, reason: str | None = None, supplier: str | None = None
    ) -> list[dict[str, Any]]:
        """Dead letters of every kind, oldest first."""
        rooms = [supplier] if supplier else [*self.suppliers, MESSAGES]
        rows = []
        for room in rooms:
            for name in [reason] if reason else REASONS:
                members = self.client.zrange(
                    self.scripts.key(room, "letters", name), 0, -1, withscores=True
                )
                rows += [
                    (since, self._letter(room, member, name, since)) for member, since in members
                ]
        return [row for _, row in sorted(rows, key=lambda pair: pair[0]) if row]

    def _letter(self, room: str, member: str, reason: str, since: float) -> dict[str, Any]:
        head = {
            "reason": reason,
            "since": iso(since),
            "deadline_at": None,
            "amount": None,
            "currency": None,
        }
        if reason == "outcome_undeliverable":
            order_id, _, sequence = member.rpartition("|")
            return {
                "key": f"outcome/{outcome_id(room, order_id, sequence)}",
                **head,
                "detail": None,
            }
        if room == MESSAGES:
            return self.message(member)
        order = self.order(room, member)
        if order:
            return self.order_letter(order)
        return {}

    def order_letter(self, order: Order) -> dict[str, Any]:
        """The dead letter of an order, beside the order's own keys."""
        return {
            **self.brief(order),
            "key": order.key,
            "reason": order.letter,
            "detail": order.detail,
            "since": iso(order.letter_at),
            "amount": order.amount,
            "currency": order.currency,
        }

    def message(self, number: str) -> dict[str, Any]:
        """One refused message; its body is shown by `dead-letters show` alone."""
        fields = self.client.hgetall(self.scripts.key(MESSAGES, "order", number))
        names = ("supplier", "order_id", "reference", "detail", "count")
        return {
            "key": f"message/{number}",
            "reason": fields.get("letter"),
            "since": iso(fields.get("letter_at")),
            "deadline_at": None,
            "amount": None,
            "currency": None,
            **{name: fields.get(name) for name in names},
            "count": int(fields.get("count", 0)),
        }

    def stats(self) -> dict[str, Any]:
        """`orders stats`."""
        return {
            **self.counts(),
            "minimum_slack_seconds": self._minimum_slack(self.shelf.time()),
            "predicted_misses": self.report.predicted_misses(),
        }

    def counts(self) -> dict[str, Any]:
        """States, letters and lanes: the sizes of the indexes themselves, so always exact."""
        states = {
            name: sum(self._size(room, "state", name) for room in self.suppliers) for name in STATES
        }
        rooms = (*self.suppliers, MESSAGES)
        letters = {
            name: sum(self._size(room, "letters", name) for room in rooms) for name in REASONS
        }
        now = self.shelf.time()
        lanes = {lane.name: self.lane(lane, now) for lane in self.lanes}
        return {
            "states": states,
            "dead_letters": {name: count for name, count in letters.items() if count},
            "lanes": {
                name: {field: lane[field] for field in LANE_KEYS} for name, lane in lanes.items()
            },
        }

    def forecast(self) -> dict[str, Any]:
        """`orders forecast`: what will be lost at the present budget, and for want of money."""
        return {
            "minimum_slack_seconds": self._minimum_slack(self.shelf.time()),
            **self.report.report(),
        }

    def lane(self, lane: Lane, now: float) -> dict[str, Any]:
        """One lane: its hold, its budget, its waiting orders, and whether pages are used."""
        known: Mapping[str, str] = self.client.hgetall(self._key(lane, "lane"))
        limits = self.shelf.limits[lane.supplier]
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
                "amount": f"{one.amount:f}",
                "asked_at": iso(one.asked_at),
                "doubted": one.doubted,
            }
            for currency, one in self.money.balances(lane).items()
        }

    def _backlog(self, lane: Lane, claimed: int, now: float) -> dict[str, int]:
        """Orders by whether they are due. A reserved order is due; a claimed one is neither."""
        index = self._key(lane, "due")
        later = self.client.zcount(index, f"({now}", "+inf")
        overdue = self.client.zcount(index, "-inf", now)
        places = ("reserved", "dying")
        rung = [member for place in places for member in self._current(lane, place, now)]
        reserved = len(_orders(rung))
        kinds = ("confirm", "ask", "recheck")
        ready = sum(self._size(lane.supplier, "ready", lane.key, kind) for kind in kinds)
        return {"waiting": max(later - claimed - reserved, 0), "due": ready + overdue + reserved}

    def _current(self, lane: Lane, name: str, now: float) -> list[str]:
        """Members whose reservation or lease has not ended."""
        members: list[str] = self.client.zrangebyscore(self._key(lane, name), f"({now}", "+inf")
        return members

    def _key(self, lane: Lane, name: str) -> str:
        return self.scripts.key(lane.supplier, name, lane.key)

    def _minimum_slack(self, now: float) -> float | None:
        """Seconds to the nearest last safe moment; below 0 for an order that should be dead."""
        indexes = [
            self.scripts.key(room, name)
            for room in self.suppliers
            for name in ("deadlines", "warned")
        ]
        heads = [self.client.zrange(index, 0, 0, withscores=True) for index in indexes]
        return min((score - now for head in heads for _, score in head), default=None)

    def _size(self, room: str, name: str, *parts: str) -> int:
        return int(self.client.zcard(self.scripts.key(room, name, *parts)))


def _budget(per_minute: int, spent: int) -> dict[str, int | None]:
    left = max(per_minute - spent, 0) if per_minute else None
    return {"calls_per_minute": per_minute, "calls_left": left}


def _orders(members: list[str]) -> list[str]:
    """The members that are orders; a lane call or a page begins with `|`."""
    return [member for member in members if not member.startswith("|")]
