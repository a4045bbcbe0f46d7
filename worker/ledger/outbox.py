"""Outcomes that wait for delivery: written with the state that they report, taken by any worker."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from schemas.outcomes import dump, iso
from worker.ledger.keys import ROOMS
from worker.ledger.script_runner import Scripts

MESSAGES = "messages"
"""The room of refused messages."""
GIVE_UP = 3 * 86400.0
"""Seconds after which an outcome that nobody takes becomes a dead letter of its own."""
FLAGS = {"1": True, "0": False}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One outcome on its way over one channel; `tries` counts this one."""

    room: str
    order_id: str
    sequence: int
    channel: str
    tries: int
    body: dict[str, Any]


def outcome_id(room: str, order_id: str, sequence: int | str) -> str:
    """The id that every delivery of this outcome carries."""
    return f"{room}.{order_id}.{sequence}"


def parse_id(text: str) -> tuple[str, str, int] | None:
    """The room, order id and sequence of an outcome's id; None when it is not one of ours."""
    room, _, rest = text.partition(".")
    order_id, _, sequence = rest.rpartition(".")
    if room not in ROOMS or not order_id or not sequence.isascii() or not sequence.isdigit():
        return None
    return room, order_id, int(sequence)


class Outbox:
    """Takes deliveries, records what became of them, and closes letters."""

    def __init__(
        self,
        scripts: Scripts,
        channels: tuple[str, ...],
        retry: tuple[float, ...],
        rooms: Iterable[str] = ROOMS,
    ) -> None:
        self.scripts = scripts
        self.rooms = rooms
        self.channels = channels
        self.retry = retry

    def take(
        self, channel: str, limit: int, hold: float, min_age: float, *, first_only: bool = False
    ) -> list[Delivery]:
        """The outcomes due on a channel, older than `min_age` seconds, reserved for `hold` seconds.

        `first_only` leaves what was sent before for later.
        """
        taken = []
        for room in self.rooms:
            reply = self.scripts.run(
                "outbox_take",
                room,
                channel=channel,
                limit=limit,
                hold=hold,
                min_age=min_age,
                first_only=first_only,
            )
            taken += [_delivery(room, channel, entry) for entry in reply["taken"] or []]
        return taken

    def later(self, *deliveries: Delivery) -> list[str]:
        """Plans the next try on RETRY_SECONDS of what was not taken; a letter after three days.

        All deliveries are of one room and channel. Returns what became of each: later,
        undeliverable, or gone (taken meanwhile).
        """
        first, last = deliveries[0], len(self.retry) - 1
        entries = [
            {
                "id": one.order_id,
                "sequence": one.sequence,
                "delay": self.retry[min(one.tries - 1, last)],
            }
            for one in deliveries
        ]
        return self._settle(first.room, first.channel, entries, sent=first.channel == "task")

    def delivered(self, room: str, order_id: str, sequence: int, channel: str) -> str:
        """Records that the web app has taken an outcome."""
        [became] = self._settle(
            room, channel, [{"id": order_id, "sequence": sequence}], delivered=True
        )
        return became

    def close(self, room: str, order_id: str, sequence: int, *, requeue: bool) -> bool:
        """A person's word on an undeliverable one; False when it is not."""
        reply = self.scripts.run(
            "outbox_close",
            room,
            id=order_id,
            sequence=sequence,
            requeue=requeue,
            channels=list(self.channels),
        )
        return bool(reply["result"] == "closed")

    def _settle(
        self,
        room: str,
        channel: str,
        entries: list[dict[str, Any]],
        *,
        delivered: bool = False,
        sent: bool = False,
    ) -> list[str]:
        reply = self.scripts.run(
            "outbox_settle",
            room,
            channel=channel,
            deliveries=entries,
            delivered=delivered,
            sent=sent,
            give_up=GIVE_UP,
        )
        return list(reply["became"])


def _delivery(room: str, channel: str, entry: dict[str, Any]) -> Delivery:
    body = render(room, entry["id"], entry["sequence"], json.loads(entry["outcome"]))
    return Delivery(room, entry["id"], int(entry["sequence"]), channel, int(entry["tries"]), body)


def render(room: str, order_id: str, sequence: str, outcome: dict[str, Any]) -> dict[str, Any]:
    """The body of the contract, from what the ledger kept when the outcome was written."""
    seen = outcome["order"]
    about = _about_message(order_id, seen) if room == MESSAGES else _about_order(room, order_id)
    data = {
        **about,
        "account": seen.get("account"),
        "reference": seen.get("reference"),
        "reason": outcome.get("reason") or seen.get("reason"),
        "attempts": int(seen.get("attempts", 0)),
        "inferred": FLAGS[seen.get("inferred", "0")],
        "details_applied": FLAGS.get(seen.get("details_applied", "")),
        "tracking_code": seen.get("tracking_code"),
        "tracking_url": seen.get("tracking_url"),
        **_lines(seen.get("lines")),
    }
    if room != MESSAGES:
        data |= {"state": seen["state"], "sequence": int(sequence)}
    body = {
        "id": outcome_id(room, order_id, sequence),
        "type": outcome["type"],
        "timestamp": iso(outcome["at"]),
    }
    return dump({**body, "data": data})


def _about_order(room: str, order_id: str) -> dict[str, Any]:
    return {"supplier": room, "order_id": order_id}


def _about_message(number: str, seen: dict[str, Any]) -> dict[str, Any]:
    """A refused message has no state: its outcome must not read as the death of an order."""
    return {
        "supplier": seen.get("supplier"),
        "order_id": seen.get("order_id"),
        "state": None,
        "sequence": None,
        "key": f"message/{number}",
    }


def _lines(kept: str | None) -> dict[str, Any]:
    if not kept:
        return {"lines_total": None, "lines_finished": None, "lines": []}
    lines = json.loads(kept)
    finished = [line for line in lines if line["status"] == "finished"]
    return {
        "lines_total": len(lines),
        "lines_finished": len(finished),
        "lines": [_line(line) for line in lines],
    }


def _line(line: dict[str, Any]) -> dict[str, Any]:
    """A line as the outcome shows it: `sealed` only where there is something sealed."""
    return {name: value for name, value in line.items() if name != "sealed" or value}
