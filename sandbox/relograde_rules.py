"""Relograde's part of a confirm: the gates in their order, the effect, the texts of errors."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from sandbox.answers import MOVED, NO_CONTENT, PAGE, RELOGRADE_ERRORS, UNCLEAR, Answer
from sandbox.behaviours import TABLES
from sandbox.books import Order
from sandbox.confirming import Rules, gate_is_taken
from sandbox.endings import ENDINGS, Ending, at_once, ending_of, later, new_trx
from sandbox.exact_json import dumps
from sandbox.relograde_wire import order_json, product_name
from sandbox.switches import retry_after
from sandbox.visits import Visit
from sandbox.webhooks import announce

ENCODING = "utf-8"


def error(visit: Visit, name: str, status: int | None = None) -> Answer:
    """Plain text with the bare message, as in the 1.03 pages, or JSON by switch."""
    switches = visit.state.relograde
    usual, message = RELOGRADE_ERRORS[name]
    text = message.format(product=_products(visit.order)) if visit.order else message
    as_text = switches.errors_as == "text"
    return Answer(
        status=status or usual,
        body=(text if as_text else dumps({"message": text})).encode(ENCODING),
        content_type="text/plain" if as_text else "application/json",
        headers=retry_after(switches) if name == "rate_limited" else {},
        clean=name not in UNCLEAR,
    )


def _products(order: Order) -> str:
    return ", ".join(product_name(item.slug) for item in order.items)


def invisible(visit: Visit) -> bool:
    """Whether the answer is 404: no such order, a deleted one, or one of another key."""
    order = visit.order
    return order is None or order.hidden or order.status == "deleted" or order.key != visit.call.key


def refuse(visit: Visit) -> str | None:
    if invisible(visit):
        return "not_found"
    past = (_past_status, _past_expiry)
    gates = past[::-1] if visit.state.relograde.expiry_before_status else past
    for gate in (*gates, _unverified, _too_poor):
        if name := gate(visit):
            return name
    return None


def _past_status(visit: Visit) -> str | None:
    return "cannot_confirm" if visit.known.status != "created" or gate_is_taken(visit) else None


def _past_expiry(visit: Visit) -> str | None:
    age = visit.call.at - visit.known.created_at
    return "expired" if age > visit.state.relograde.confirm_within_seconds else None


def _unverified(visit: Visit) -> str | None:
    return None if visit.state.relograde.company_verified else "company_not_verified"


def _too_poor(visit: Visit) -> str | None:
    has = visit.state.relograde.balance.get(visit.known.currency, Decimal(0))
    return "insufficient_balance" if has < visit.known.amount else None


def accept(visit: Visit) -> None:
    _accept(visit, ending_of(visit.known, TABLES["relograde"][visit.known.behaviour].ending))


def _accept_resolve(visit: Visit) -> None:
    """Resolves: the order is delivered now or cancelled."""
    wanted = ending_of(visit.known, TABLES["relograde"][visit.known.behaviour].ending)
    _accept(visit, wanted if wanted.at_once == "finished" else ENDINGS["cancelled"])


def _accept(visit: Visit, ending: Ending) -> None:
    """Takes the money, also for a second effect: that is the disaster."""
    order, balance = visit.known, visit.state.relograde.balance
    balance[order.currency] = balance.get(order.currency, Decimal(0)) - order.amount
    if not visit.state.books.take_effect(order, visit.call):
        return
    at_once(order, ending)
    if order.status == "finished":
        announce(visit.state, order)
    if ending.later:
        visit.state.spawn(_later(visit, ending))


async def _later(visit: Visit, ending: Ending) -> None:
    await asyncio.sleep(float(visit.known.params["finish_after"]))
    before = visit.known.status
    later(visit.known, ending)
    if visit.known.status == "finished" != before:
        announce(visit.state, visit.known)


def order_answer(visit: Visit, with_tokens: bool = False) -> Answer:
    body = dumps(order_json(visit.known, visit.state.relograde, with_tokens))
    return Answer(200, body.encode(ENCODING), clean=with_tokens or visit.known.status != "created")


def _wrong_trx(visit: Visit) -> Answer:
    answer = order_answer(visit)
    return replace(
        answer,
        body=answer.body.replace(visit.known.order_id.encode(), new_trx().encode()),
        clean=False,
    )


def _oversized(visit: Visit) -> Answer:
    answer = order_answer(visit)
    padding = b',"padding":"' + b"x" * (int(visit.known.params["megabytes"]) * 1_000_000) + b'"}'
    return replace(answer, body=answer.body[:-1] + padding, clean=False)


SPECIAL: Mapping[str, Callable[[Visit], Answer]] = {
    "order": order_answer,
    "wrong_trx": _wrong_trx,
    "oversized": _oversized,
    "html": lambda _: PAGE,
    "no_content": lambda _: NO_CONTENT,
    "redirect": lambda _: MOVED,
    "server_error": lambda visit: error(visit, "server_error", int(visit.known.params["status"])),
}


def answer(visit: Visit, name: str) -> Answer:
    return SPECIAL[name](visit) if name in SPECIAL else error(visit, name)


def _refuse_resolve(visit: Visit) -> str | None:
    several = not invisible(visit) and len(visit.known.items) > 1
    return "multiple_order_lines" if several else refuse(visit)


CONFIRM = Rules(refuse, accept, answer)
RESOLVE = Rules(_refuse_resolve, _accept_resolve, answer)
