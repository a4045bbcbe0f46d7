"""Relograde's routes, under /relograde/api/{version}/."""

from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from sandbox.answers import Answer
from sandbox.books import Item, Order
from sandbox.confirming import confirm
from sandbox.delivery import Reply
from sandbox.endings import new_line
from sandbox.exact_json import dumps
from sandbox.making import make_through_api
from sandbox.relograde_rules import CONFIRM, ENCODING, RESOLVE, error, invisible, order_answer
from sandbox.relograde_wire import cased, face_value_of, order_json
from sandbox.state import State
from sandbox.switches import RelogradeSwitches
from sandbox.visits import Entrance, Visit, route

BASE = "/relograde/api/{version}"
DISCOUNT = Decimal("0.992")  # 5.00 face value costs 4.96, as in the documented example
DEFAULT_LIMIT = 25  # the real one is not known
MAX_LIMIT = 100  # accepted by the real one


def _key_label(state: State, request: web.Request) -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return state.key_label(key.strip()) if scheme.lower() == "bearer" else "unknown"


ENTRANCE = Entrance("relograde", _key_label, error, "unauthorized")


async def _confirm(visit: Visit) -> Reply:
    return await confirm(visit, CONFIRM)


async def _resolve(visit: Visit) -> Reply:
    return await confirm(visit, RESOLVE)


async def _find(visit: Visit) -> Reply:
    if invisible(visit):
        return Reply(error(visit, "not_found"))
    order = visit.known
    if order.params["read_errors"] > 0:
        order.params["read_errors"] -= 1
        return Reply(error(visit, "server_error", 503))
    return Reply(order_answer(visit, with_tokens=True))


async def _cancel(visit: Visit) -> Reply:
    """Cancels the order: an unconfirmed one is deleted, with 204.

    For a confirmed one the answer still shows its open lines, which are cancelled after it.
    """
    if invisible(visit):
        return Reply(error(visit, "not_found"))
    order = visit.known
    if order.status == "created":
        order.status = "deleted"
        return Reply(Answer(204))
    if order.status != "pending":
        return Reply(error(visit, "cannot_cancel"))
    order.status = "cancelled"
    reply = Reply(order_answer(visit))
    for line in order.lines:
        line.status = "cancelled" if line.status == "pending" else line.status
    return reply


async def _list(visit: Visit) -> Reply:
    switches, books = visit.state.relograde, visit.state.books
    mine = [order for order in books.orders.values() if _listed(order, visit.call.key)]
    mine.sort(key=lambda order: order.created_at, reverse=switches.list_order == "newest")
    page, limit, start = _window(visit.request)
    shown = mine[start : start + limit]
    for order in shown:
        order.calls.append(visit.call)
    pages = -(-len(mine) // limit)
    data = [_on_page(order, switches) for order in shown]
    pagination = {"total": len(mine), "page": page, "limit": limit, "pages": pages}
    return Reply(_json(200, {"data": data, "pagination": pagination}))


def _on_page(order: Order, switches: RelogradeSwitches) -> dict[str, Any]:
    shown = order_json(order, switches, with_tokens=True)
    lies = switches.list_stuck and order.status in ("finished", "cancelled")
    return {**shown, "orderStatus": "pending"} if lies else shown


def _listed(order: Order, key: str) -> bool:
    return (
        order.supplier == "relograde"
        and order.key == key
        and not order.hidden
        and order.status != "deleted"
    )


def _window(request: web.Request) -> tuple[int, int, int]:
    """(page, limit, first index) from page+limit or limit+offset: public clients send both."""
    limit = min(max(_number(request, "limit", DEFAULT_LIMIT), 1), MAX_LIMIT)
    if "offset" in request.query:
        start = max(_number(request, "offset", 0), 0)
        return start // limit + 1, limit, start
    page = max(_number(request, "page", 1), 1)
    return page, limit, (page - 1) * limit


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    return int(text) if text.isdecimal() else default


async def _accounts(visit: Visit) -> Reply:
    wanted = visit.request.query.get("currency", "").upper()
    balance = visit.state.relograde.balance.items()
    switches = visit.state.relograde
    accounts = [
        {"currency": cased(currency, switches), "state": "sandbox", "totalAmount": amount}
        for currency, amount in balance
        if wanted in ("", currency)
    ]
    return Reply(_json(200, accounts))


async def _create(visit: Visit) -> Reply:
    try:
        order = _from_body(visit, await visit.request.json())
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation):
        return Reply(error(visit, "bad_request"))
    return Reply(_json(201, order_json(order, visit.state.relograde, with_tokens=False)))


def _from_body(visit: Visit, body: dict[str, Any]) -> Order:
    items = [_item(item) for item in body["items"]]
    if not items:
        raise ValueError("an order needs items")
    total = sum((item.price * len(item.lines) for item in items), Decimal("0.00"))
    more = {"items": items, "reference": body.get("reference")}
    return make_through_api(
        visit.state, "relograde", visit.call.key, total, str(body["paymentCurrency"]), **more
    )


def _item(body: dict[str, Any]) -> Item:
    slug, amount = str(body["productSlug"]), int(body["amount"])
    if amount < 1:
        raise ValueError("an item needs lines")
    face_value = Decimal(str(body.get("faceValue") or face_value_of(slug)))
    price = (face_value * DISCOUNT).quantize(Decimal("0.01"))
    return Item(slug, price, [new_line() for _ in range(amount)])


def _json(status: int, value: Any) -> Answer:
    return Answer(status, dumps(value).encode(ENCODING))


def add_routes(app: web.Application) -> None:
    order = BASE + "/order"
    app.router.add_patch(order + "/confirm/{order_id}", route(ENTRANCE, "confirm", _confirm))
    app.router.add_patch(order + "/resolve/{order_id}", route(ENTRANCE, "resolve", _resolve))
    app.router.add_patch(order + "/cancel/{order_id}", route(ENTRANCE, "cancel", _cancel))
    app.router.add_get(order + "/{order_id}", route(ENTRANCE, "find", _find))
    app.router.add_get(order, route(ENTRANCE, "list", _list))
    app.router.add_post(order, route(ENTRANCE, "create", _create))
    app.router.add_get(BASE + "/account", route(ENTRANCE, "account", _accounts))
