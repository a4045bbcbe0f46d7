"""The steps of every supplier route: book the call, refuse it or do the work, answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sandbox.answers import Answer
from sandbox.books import Call, Order
from sandbox.delivery import NOTHING, Reply, connected, deliver
from sandbox.state import STATE, State, now


@dataclass
class Visit:
    """One call on its way; `order` is the one that the path names, under any key."""

    request: web.Request
    state: State
    supplier: str
    call: Call
    order: Order | None

    @property
    def known(self) -> Order:
        """The order, where a check has made sure that there is one; LookupError otherwise."""
        if self.order is None:
            raise LookupError("no such order")
        return self.order


Work = Callable[[Visit], Awaitable[Reply]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Entrance:
    """One supplier's labels of its callers' keys, and its form of errors."""

    supplier: str
    key_label: Callable[[State, web.Request], str]
    error: Callable[..., Answer]
    unauthorised: str


def route(entrance: Entrance, kind: str, work: Work) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        visit = _begin(entrance, kind, request)
        reply = _refused(entrance, visit) or await work(visit)
        return await deliver(request, visit.call, reply)

    return handle


def _begin(entrance: Entrance, kind: str, request: web.Request) -> Visit:
    state = request.app[STATE]
    order = state.books.get(entrance.supplier, request.match_info.get("order_id", ""))
    host: Any = request.match_info.get("host")
    call = Call(kind, now(), entrance.key_label(state, request), int(host) if host else None)
    call.body = (
        bool(request.content_length) or request.headers.get("Transfer-Encoding") == "chunked"
    )
    call.connected = lambda: connected(request)
    state.books.begin(call, order, state.deadline(order) if order else None)
    return Visit(request, state, entrance.supplier, call, order)


def _refused(entrance: Entrance, visit: Visit) -> Reply | None:
    """The refusal, if any: outage before key before budget, as a gateway that is down answers."""
    switches = visit.state.switches(entrance.supplier)
    if switches.outage == "refuse" or getattr(switches, f"host_{visit.call.host}_down", False):
        return NOTHING
    if switches.outage:
        return Reply(entrance.error(visit, "server_error", status=int(switches.outage)))
    if refusal := _unwelcome(entrance, visit):
        return Reply(entrance.error(visit, refusal))
    if not visit.state.within_budget(visit.call.key, switches.rate_limit, visit.call.at):
        return Reply(entrance.error(visit, "rate_limited"))
    return None


def _unwelcome(entrance: Entrance, visit: Visit) -> str | None:
    switches = visit.state.switches(entrance.supplier)
    invalid = visit.call.key in ("unknown", *getattr(switches, "invalid_keys", ()))
    if invalid or not switches.key_valid:
        return entrance.unauthorised
    return None if getattr(switches, "address_allowed", True) else "forbidden"
