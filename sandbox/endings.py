"""What an accepted confirm makes of a Relograde order, at once and later: a table and the function
that walks it.
"""

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
    """`some` lines means params.lines_first of them, but never all; `later` comes after
    params.finish_after.
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
    """The state that the confirm itself leads to."""
    order.status = ending.at_once
    finished = len(_chosen(order, ending.lines_at_once))
    for number, line in enumerate(order.lines):
        _finish(line, number, ending.vouchers) if number < finished else _leave(
            line, ending.unfinished
        )
    if ending.vouchers == "not the last":
        _finish(order.lines[-1], 0, "nothing")


def later(order: Order, ending: Ending) -> None:
    """The state after params.finish_after seconds, unless somebody moved the order meanwhile."""
    if ending.later is None or order.status != ending.at_once:
        return
    move(order, ending.later, len(_chosen(order, ending.lines_later)), ending.vouchers)


def move(order: Order, status: str, finishing: int, vouchers: str = "code") -> None:
    """Ends the order: the first `finishing` lines finish, finished ones stay, the others follow the
    order.
    """
    order.status = status
    for number, line in enumerate(order.lines):
        if line.status == "finished":
            continue
        _finish(line, number, vouchers) if number < finishing else _leave(line, status)


def _chosen(order: Order, which: str) -> list[Line]:
    """`some` leaves at least one line over, as in the documented pending answer; `first` may take
    them all.
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
    line.expires = line.code is not None and number % 5 in (
        2,
        3,
    )  # two of five, as in the documented answer


def _leave(line: Line, status: str) -> None:
    line.status = status
    line.code = line.serial = line.token = None


def _random(alphabet: str, length: int) -> str:
    """Not from the seed: a restarted sandbox must not hand out the ids of its last life."""
    return "".join(secrets.choice(alphabet) for _ in range(length))


def new_trx() -> str:
    return "RELO" + _random(ALPHABET, 15)


def new_order_id() -> str:
    """Logitrail's: 24 hex digits."""
    return secrets.token_hex(12)


def new_line() -> Line:
    return Line(tag=f"TAG-{uuid.uuid4()}")
