"""Logitrail's part of a confirm: the status gate, the effect, the texts of answers and errors."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sandbox.answers import BROKEN_PAGE, LOGITRAIL_ERRORS, UNCLEAR, Answer
from sandbox.confirming import Rules, gate_is_taken
from sandbox.endings import new_order_id
from sandbox.exact_json import with_escaped_slashes
from sandbox.making import new_tracking_code
from sandbox.switches import retry_after
from sandbox.visits import Visit
from sandbox.webhooks import announce, tracking


def error(visit: Visit, name: str, status: int | None = None) -> Answer:
    """JSON with `code` and `message`; unknown is whether the real one also has `success`."""
    switches = visit.state.logitrail
    usual, code = LOGITRAIL_ERRORS[name]
    usual = switches.not_passive_status if name == "order_not_passive" else usual
    headers = retry_after(switches) if name == "rate_limited" else {}
    answer = json_answer({"code": code, "message": name.replace("_", " ")}, status or usual)
    return replace(answer, headers=headers, clean=name not in UNCLEAR)


def json_answer(value: Any, status: int = 200, clean: bool = True) -> Answer:
    return Answer(status, with_escaped_slashes(value).encode(), clean=clean)


def invisible(visit: Visit) -> bool:
    return visit.order is None or visit.order.hidden


def refuse(visit: Visit) -> str | None:
    if invisible(visit):
        return "not_found"
    return "order_not_passive" if visit.known.status != "passive" or gate_is_taken(visit) else None


def accept(visit: Visit) -> None:
    order = visit.known
    if not visit.state.books.take_effect(order, visit.call):
        return
    order.status, order.tracking_code = "confirmed", new_tracking_code()
    announce(visit.state, order)


def _order(visit: Visit, **instead: Any) -> Answer:
    known = {"success": True, "order_id": visit.known.order_id, **tracking(visit.known)}
    return json_answer({**known, **instead}, clean=not instead)


def _without_tracking(visit: Visit) -> Answer:
    return json_answer({"success": True, "order_id": visit.known.order_id})


SPECIAL: Mapping[str, Callable[[Visit], Answer]] = {
    "order": _order,
    "without_tracking": _without_tracking,
    "wrong_order_id": lambda visit: _order(visit, order_id=new_order_id()),
    "success_false": lambda _: json_answer({"success": False}, clean=False),
    "html_500": lambda _: BROKEN_PAGE,
    "server_error": lambda visit: error(visit, "server_error", int(visit.known.params["status"])),
}


def answer(visit: Visit, name: str) -> Answer:
    return SPECIAL[name](visit) if name in SPECIAL else error(visit, name)


CONFIRM = Rules(refuse, accept, answer)
