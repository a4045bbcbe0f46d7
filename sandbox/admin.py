"""The routes under /_sandbox: make orders, turn switches, read the books.

Loopback only, without a key.
"""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from ipaddress import ip_address
from typing import Any

from aiohttp import web

from sandbox import books, endings, webhooks
from sandbox.clock import iso
from sandbox.making import make, new_tracking_code
from sandbox.state import STATE, State
from sandbox.switches import balance_of, change, shown

STATUSES = {
    "relograde": ("created", "pending", "finished", "cancelled", "deleted"),
    "logitrail": (
        "passive",
        "confirmed",
        "waiting_products",
        "processing",
        "processed",
        "cancelled",
        "deleted",
    ),
}
BATCH = 500  # orders made before the event loop serves other connections
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses the admin routes to other machines, even when the suppliers' routes listen wider."""
    if not request.path.startswith("/_sandbox"):
        return await handler(request)
    if not ip_address(request.remote or "0.0.0.0").is_loopback:
        raise web.HTTPForbidden(text="the admin routes answer to loopback only")
    try:
        return await handler(request)
    except ValueError as problem:
        return web.json_response({"error": str(problem)}, status=400)


async def _make(request: web.Request) -> web.Response:
    wanted, state = await request.json(), request.app[STATE]
    several = isinstance(wanted, list)
    orders = await _described(state, wanted if several else [wanted])
    for order in orders:
        state.books.open(order)
    made = [_made(order) for order in orders]
    return web.json_response(made if several else made[0], status=201)


async def _described(state: State, wanted: list[Any]) -> list[books.Order]:
    """Makes all orders before any is opened: one bad description must leave none behind."""
    orders = []
    for number, one in enumerate(wanted):
        orders.append(make(state, _an_object(one)))
        if number % BATCH == 0:
            await asyncio.sleep(0)
    return orders


def _made(order: books.Order) -> dict[str, Any]:
    return {
        "supplier": order.supplier,
        "order_id": order.order_id,
        "created_at": iso(order.created_at),
        "behaviour": order.behaviour,
        "amount": str(order.amount),
        "currency": order.currency,
    }


async def _show_settings(request: web.Request) -> web.Response:
    return web.json_response(_settings(request.app[STATE]))


async def _change_settings(request: web.Request) -> web.Response:
    wanted, state = _an_object(await request.json()), request.app[STATE]
    if unknown := set(wanted) - set(STATUSES):
        raise ValueError(
            f"settings are for {', '.join(STATUSES)}, not {', '.join(sorted(unknown))}"
        )
    for supplier, values in wanted.items():
        change(state.switches(supplier), _an_object(values))
    await state.follow_doors()
    return web.json_response(_settings(state))


def _settings(state: State) -> dict[str, Any]:
    return {supplier: shown(state.switches(supplier)) for supplier in STATUSES}


async def _top_up(request: web.Request) -> web.Response:
    """Adds money to the balance, and does not set it: confirms may spend at the same time."""
    balance = request.app[STATE].relograde.balance
    for currency, amount in balance_of(_an_object(await request.json())).items():
        balance[currency] = balance.get(currency, Decimal(0)) + amount
    return web.json_response({currency: str(amount) for currency, amount in balance.items()})


async def _books(request: web.Request) -> web.Response:
    return web.json_response(request.app[STATE].books.shown())


async def _one(request: web.Request) -> web.Response:
    return web.json_response(books.shown(_order(request)))


async def _move(request: web.Request) -> web.Response:
    """Moves the order as the portal or the supplier's staff would; this counts as no effect."""
    order, state = _order(request), request.app[STATE]
    to = _an_object(await request.json()).get("to")
    if to not in STATUSES[order.supplier]:
        raise ValueError(f"to is one of {', '.join(STATUSES[order.supplier])}")
    endings.move(order, to, len(order.lines) if to == "finished" else 0)
    if to in webhooks.TRACKED:
        order.tracking_code = order.tracking_code or new_tracking_code()
    if order.supplier == "logitrail" or to == "finished":
        webhooks.announce(state, order)
    return web.json_response(books.shown(order))


async def _webhook(request: web.Request) -> web.Response:
    return web.json_response(webhooks.body(request.app[STATE], _order(request)))


async def _reset(request: web.Request) -> web.Response:
    state = request.app[STATE]
    state.reset()
    await state.follow_doors()
    return web.json_response(_settings(state))


def _order(request: web.Request) -> books.Order:
    supplier, order_id = request.match_info["supplier"], request.match_info["order_id"]
    order = request.app[STATE].books.get(supplier, order_id)
    if order is None:
        raise web.HTTPNotFound(text=f"no order {supplier}/{order_id} in the books")
    return order


def _an_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("the body is a JSON object")
    return value


def add_routes(app: web.Application) -> None:
    one = "/_sandbox/orders/{supplier}/{order_id}"
    app.router.add_post("/_sandbox/orders", _make)
    app.router.add_get("/_sandbox/settings", _show_settings)
    app.router.add_post("/_sandbox/settings", _change_settings)
    app.router.add_post("/_sandbox/top-up", _top_up)
    app.router.add_get("/_sandbox/books", _books)
    app.router.add_get("/_sandbox/books/{supplier}/{order_id}", _one)
    app.router.add_post(one + "/move", _move)
    app.router.add_post(one + "/webhook", _webhook)
    app.router.add_post("/_sandbox/reset", _reset)
