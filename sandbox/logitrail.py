"""Logitrail's routes of 2015-01-01, under /logitrail-1/ and /logitrail-2/: two hosts, one state."""

import json
from decimal import Decimal
from typing import Any

from aiohttp import BasicAuth, web

from sandbox.confirming import confirm
from sandbox.delivery import Reply
from sandbox.logitrail_rules import CONFIRM, accept, error, invisible, json_answer
from sandbox.making import make_through_api
from sandbox.state import State
from sandbox.visits import Entrance, Visit, route

BASE = "/logitrail-{host:[12]}/2015-01-01/orders"
DELETE_REFUSALS = {
    "cancelled": "order_already_cancelled",
    "processing": "order_already_processing",
    "processed": "order_already_processed",
}


def _key_label(state: State, request: web.Request) -> str:
    try:
        given = BasicAuth.decode(request.headers.get("Authorization", ""))
    except ValueError:
        return "unknown"
    wanted = (f"M-{state.logitrail_merchant}", state.logitrail_secret)
    return "merchant" if (given.login, given.password) == wanted else "unknown"


ENTRANCE = Entrance("logitrail", _key_label, error, "access_denied")


async def _confirm(visit: Visit) -> Reply:
    """Confirms; the body is applied only when the confirm is accepted."""
    body = await _body(visit)
    if body is None or not _products_are_named(body):
        return Reply(error(visit, "not_found" if invisible(visit) else "invalid_body"))
    reply = await confirm(visit, CONFIRM)
    if visit.call.effect:
        visit.known.details.update(body)
    return reply


async def _body(visit: Visit) -> dict[str, Any] | None:
    """The order in the body, empty for an empty body; None when it is no JSON object."""
    try:
        body = json.loads(await visit.request.read() or b"{}")
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _products_are_named(body: dict[str, Any]) -> bool:
    products = body.get("products", body.get("products_all", []))
    return isinstance(products, list) and all(
        isinstance(one, dict) and one.get("merchants_id") for one in products
    )


async def _create(visit: Visit) -> Reply:
    body = await _body(visit)
    if body is None or not _products_are_named(body):
        return Reply(error(visit, "invalid_body"))
    known_as = body.get("merchants_order")
    reference = known_as.get("id") if isinstance(known_as, dict) else known_as
    currency = str(body.get("currency") or "EUR")
    more = {"details": body, "reference": reference}
    order = make_through_api(visit.state, "logitrail", visit.call.key, Decimal(0), currency, **more)
    visit.order = order
    if body.get("status") == "confirmed":
        accept(visit)
    return Reply(json_answer({"success": True, "order_id": order.order_id}, 201))


async def _update(visit: Visit) -> Reply:
    """Changes the order; a `status` member of `confirmed` also confirms it."""
    body = await _body(visit)
    if invisible(visit):
        return Reply(error(visit, "not_found"))
    if body is None or not _products_are_named(body):
        return Reply(error(visit, "invalid_body"))
    if body.get("status") == "confirmed":
        if visit.known.status != "passive":
            return Reply(error(visit, "order_not_passive"))
        accept(visit)
    visit.known.details.update(body)
    return Reply(json_answer({"success": True, "order_id": visit.known.order_id}))


async def _delete(visit: Visit) -> Reply:
    """Deletes the order: `deleted` before its confirmation, `cancelled` after it.

    Either way a later confirm is answered `order_not_passive`.
    """
    if invisible(visit):
        return Reply(error(visit, "not_found"))
    order = visit.known
    if order.status in DELETE_REFUSALS:
        return Reply(error(visit, DELETE_REFUSALS[order.status]))
    order.status = "deleted" if order.status in ("passive", "deleted") else "cancelled"
    return Reply(json_answer({"success": True}))


async def _no_such_method(visit: Visit) -> Reply:
    """Refuses methods that the documentation does not have, GET of one order among them."""
    return Reply(error(visit, "method_not_allowed"))


def add_routes(app: web.Application) -> None:
    one = BASE + "/{order_id}"
    app.router.add_post(BASE + "/_create", route(ENTRANCE, "create", _create))
    app.router.add_post(one, route(ENTRANCE, "update", _update))
    app.router.add_post(one + "/_confirm", route(ENTRANCE, "confirm", _confirm))
    app.router.add_delete(one, route(ENTRANCE, "delete", _delete))
    app.router.add_post(one + "/_delete", route(ENTRANCE, "delete", _delete))
    app.router.add_route("*", one, route(ENTRANCE, "other", _no_such_method))
    app.router.add_route("*", one + "/_confirm", route(ENTRANCE, "other", _no_such_method))
