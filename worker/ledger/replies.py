"""What the ledger's scripts reply, as values.

Times are seconds since the epoch by the ledger's clock.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.order import Order, load_order
from worker.rules.words import CONFIRM, Call


@dataclass(frozen=True, slots=True)
class ScriptReply:
    """A script's word, the ledger's time, and the order where there is one."""

    result: str
    now: float
    order: Order | None = None
    claim: str = ""
    lane: str | None = None
    """Held or released, when that changed."""
    pages_off: str | None = None
    """Why the lane's pages have just been put off."""


@dataclass(frozen=True, slots=True)
class Opened:
    """opened, known, withdrawn or conflict; `differs` is the field that conflicts."""

    result: str
    differs: str = ""


@dataclass(frozen=True, slots=True)
class Permit:
    """`result` is permitted, or why not; the first byte has `window` seconds.

    `unpayable`: the order is still claimed, and a step should say so.
    """

    result: str
    now: float
    order: Order
    call: Call
    window: float = 0.0


class Claim(NamedTuple):
    """A claim, and the permit that came with it; without one the policy says what comes next."""

    claimed: ScriptReply
    permit: Permit | None = None


class Dispatched(NamedTuple):
    """The orders to ring for, when the next one falls due, and whether it is a page's turn."""

    picked: list[str]
    soonest: float | None
    page: bool = False


def as_reply(supplier: str, order_id: str, reply: dict[str, Any], claim: str = "") -> ScriptReply:
    """The reply of a script that may show an order."""
    order = load_order(supplier, order_id, reply["order"]) if "order" in reply else None
    return ScriptReply(reply["result"], float(reply["now"]), order, claim)


def as_opened(reply: dict[str, Any]) -> Opened:
    """The reply to an acceptance."""
    return Opened(reply["result"], reply.get("differs", ""))


def as_permit(order: Order, call: Call, reply: dict[str, Any]) -> Permit:
    """The reply to the wish for a call, with the record as the intent left it."""
    if reply["result"] != "permitted":
        return Permit(reply["result"], float(reply["now"]), order, call)
    permitted = dataclasses.replace(
        call,
        at=float(reply["now"]),
        passed_at=optional(reply.get("passed_at")),
        found_at=optional(reply.get("found_at")),
        probing=reply["probing"],
    )
    record = load_order(order.supplier, order.order_id, reply["order"])
    if call.kind == CONFIRM:
        permitted = dataclasses.replace(permitted, host=record.host)
    return Permit("permitted", permitted.at, record, permitted, float(reply["window"]))


def as_claim(claimed: ScriptReply, permit: dict[str, Any]) -> Claim:
    """The replies to a claim and to the permit that was asked for with it."""
    if claimed.order is None or permit["result"] == "undecided":
        return Claim(claimed)
    call = Call(kind=CONFIRM, host=claimed.order.host)
    return Claim(claimed, as_permit(claimed.order, call, permit))


def as_dispatched(reply: dict[str, Any]) -> Dispatched:
    """The reply to a dispatch."""
    return Dispatched(list(reply["picked"]), optional(reply.get("soonest")), reply["page"])


def as_written(reply: dict[str, Any]) -> ScriptReply:
    """The reply to a step."""
    lane, pages_off = reply.get("lane"), reply.get("pages_off")
    return ScriptReply(reply["result"], float(reply["now"]), lane=lane, pages_off=pages_off)


def optional(text: str | None) -> float | None:
    """A time that may be missing."""
    if text is None:
        return None
    return float(text)
