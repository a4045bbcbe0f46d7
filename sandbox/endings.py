"""The states of a Relograde order after an accepted confirm, at once and later, as a table."""

import secrets
import string
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.books import Line, Order

ALPHABET = string.ascii_uppercase + string.digits
TOKEN_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Ending:
    """One row: states and lines at once, and after params.finish_after seconds.

    `some` lines means params.lines_first of them, but never all.
    """

    at_once: str
    lines_at_once: str = "all"
    unfinished: str = "pending"
    later: str | None = None
    lines_later: str = "all"
    vouchers: str = "code"


ENDINGS: Mapping[str, Ending] = {
    "finished": Ending("finished"),
    "pending": Ending("pending", "none", later="finished"),
    "pending_forever": Ending("pending", "none"),
    "partial": Ending("pending", "some", later="finished"),
    "partial_cancelled": Ending("pending", "some", later="cancelled", lines_later="none"),
    "cancelled": Ending("cancelled", "none", unfinished="cancelled"),
    "cancelled_late_lines": Ending("cancelled", "none", later="cancelled", lines_later="first"),
    "token_only": Ending("finished", vouchers="token"),
    "incomplete": Ending("finished", vouchers="not the last"),
}


def ending_of(order: Order, fallback: str) -> Ending:
    return ENDINGS[order.params.get("ending") or fallback]


def at_once(order: Order, ending: Ending) -> None:
    """Brings the order into the state that the confirm itself leads to."""
    order.status = ending.at_once
    finished = len(_chosen(order, ending.lines_at_once))
    for number, line in enumerate(order.lines):
        if number < finished:
            _finish(line, number, ending.vouchers)
        else:
            _leave(line, ending.unfinished)
    if ending.vouchers == "not the last":
        _finish(order.lines[-1], 0, "nothing")


def later(order: Order, ending: Ending) -> None:
    """Brings the order into its later state, unless the order was moved meanwhile."""
    if ending.later is None or order.status != ending.at_once:
        return
    move(order, ending.later, len(_chosen(order, ending.lines_later)), ending.vouchers)


def move(order: Order, status: str, finishing: int, vouchers: str = "code") -> None:
    """Sets the order's status: the first `finishing` lines finish, the others follow the order."""
    order.status = status
    for number, line in enumerate(order.lines):
        if line.status == "finished":
            continue
        if number < finishing:
            _finish(line, number, vouchers)
        else:
            _leave(line, status)


def _chosen(order: Order, which: str) -> list[Line]:
    """The lines that `which` names; `some` leaves one over, as the documented pending answer does.

    `first` may be all of them.
    """
    lines, first = order.lines, int(order.params["lines_first"])
    return {
        "all": lines,
        "none": [],
        "some": lines[: min(first, len(lines) - 1)],
        "first": lines[:first],
    }[which]


def _finish(line: Line, number: int, vouchers: str) -> None:
    line.status = "finished"
    line.code = "TEST" + _random(ALPHABET, 12) if vouchers in ("code", "not the last") else None
    line.serial = str(uuid.uuid4()) if line.code else None
    line.token = None if vouchers == "nothing" else _random(TOKEN_ALPHABET, 35)
    # Two of five expire, as in the documented answer.
    line.expires = line.code is not None and number % 5 in (2, 3)


def _leave(line: Line, status: str) -> None:
    line.status = status
    line.code = line.serial = line.token = None


def _random(alphabet: str, length: int) -> str:
    """Random without the seed: a restarted sandbox must not repeat ids."""
    return "".join(secrets.choice(alphabet) for _ in range(length))


def new_trx() -> str:
    return "RELO" + _random(ALPHABET, 15)


def new_order_id() -> str:
    """An order id of Logitrail: 24 hex digits."""
    return secrets.token_hex(12)


def new_line() -> Line:
    return Line(tag=f"TAG-{uuid.uuid4()}")
