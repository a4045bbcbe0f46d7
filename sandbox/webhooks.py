"""The webhook bodies that the suppliers would send, and their sending in the background."""

import asyncio
import contextlib
import secrets
from typing import Any

from aiohttp import ClientError, ClientTimeout

from sandbox.books import Order
from sandbox.clock import iso
from sandbox.exact_json import dumps, with_escaped_slashes
from sandbox.state import State, now
from sandbox.switches import Switches

TRACKED = ("confirmed", "waiting_products", "processing", "processed")


def body(state: State, order: Order) -> Any:
    return _relograde(order) if order.supplier == "relograde" else _logitrail(state, order)


def _relograde(order: Order) -> dict[str, Any]:
    data = {"trx": order.order_id, "reference": order.reference}
    return {
        "event": "ORDER_FINISHED",
        "state": "sandbox",
        "apiKeyDescription": order.key,
        "data": data,
    }


def _logitrail(state: State, order: Order) -> Any:
    """`order.info.change`, alone or in an array by switch; tracking only in confirmed orders."""
    as_object = state.logitrail.webhook_merchants_order_as == "object"
    merchants_order = {"id": order.reference} if as_object else order.reference
    about: dict[str, Any] = {
        "id": order.order_id,
        "merchants_order": merchants_order,
        "status": order.status,
    }
    if order.status in TRACKED:
        about |= tracking(order)
    event = {
        "event_id": f"{iso(now())[:19]}_{secrets.token_hex(12)}",
        "webhook_id": "sandbox.invalid_5499362b1fb35e73118b45ad",
        "event_type": "order.info.change",
        "ts": iso(now(), millis=False).replace("Z", "+00:00"),
        "retry_count": 0,
        "payload": {"order": about},
    }
    return [event] if state.logitrail.webhook_batch else event


def tracking(order: Order) -> dict[str, Any]:
    code = order.tracking_code
    return {"tracking_code": code, "tracking_url": f"https://tracking.logitrail.example/{code}"}


def announce(state: State, order: Order) -> None:
    """Sends the order's webhook if the supplier has a URL; copies repeat the same event."""
    if not state.switches(order.supplier).webhook_url:
        return
    encode = dumps if order.supplier == "relograde" else with_escaped_slashes
    text = encode(body(state, order))
    state.spawn(_send(state, state.switches(order.supplier), text))


async def _send(state: State, switches: Switches, text: str) -> None:
    """Ignores the response, as Relograde does."""
    url, copies = str(switches.webhook_url), switches.webhook_copies
    await asyncio.sleep(switches.webhook_delay)
    for _ in range(copies):
        with contextlib.suppress(ClientError, TimeoutError):
            await _post(state, url, text)


async def _post(state: State, url: str, text: str) -> None:
    if state.web is None:
        return
    headers = {"Content-Type": "application/json"}
    async with state.web.post(
        url, data=text, headers=headers, timeout=ClientTimeout(total=10)
    ) as response:
        await response.read()
