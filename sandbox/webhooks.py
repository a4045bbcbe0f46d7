"""The webhook bodies that the suppliers would send, and the sending, which nobody waits for."""

import asyncio
import secrets
from typing import Any

from aiohttp import ClientError, ClientTimeout

from sandbox.books import Order
from sandbox.clock import iso
from sandbox.exact_json import dumps, with_escaped_slashes
from sandbox.state import State, now

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
    """`order.info.change`; tracking only in confirmed orders. Alone or in an array, by switch."""
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
    """Sends the order's webhook if the supplier has a URL; with copies, the same event several
    times.
    """
    switches = state.switches(order.supplier)
    if switches.webhook_url:
        text = (dumps if order.supplier == "relograde" else with_escaped_slashes)(
            body(state, order)
        )
        state.spawn(
            _send(
                state, switches.webhook_url, text, switches.webhook_copies, switches.webhook_delay
            )
        )


async def _send(state: State, url: str, text: str, copies: int, delay: float) -> None:
    """The response is ignored, as Relograde ignores it."""
    await asyncio.sleep(delay)
    for _ in range(copies):
        try:
            await _post(state, url, text)
        except (ClientError, TimeoutError):
            continue


async def _post(state: State, url: str, text: str) -> None:
    if state.web is None:
        return
    headers = {"Content-Type": "application/json"}
    async with state.web.post(
        url, data=text, headers=headers, timeout=ClientTimeout(total=10)
    ) as response:
        await response.read()
