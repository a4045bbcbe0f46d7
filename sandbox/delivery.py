"""Ways of delivering an answer: whole, dropped, cut short, byte by byte.

This module writes the answer instead of returning it to aiohttp, so that the books can say whether
the client was still connected. A client that leaves does not cancel its handler (`app.py`): a
supplier does not stop working because a client hung up.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from sandbox.answers import Answer
from sandbox.books import Call
from sandbox.state import now


@dataclass(frozen=True)
class Reply:
    answer: Answer
    delivery: str = "whole"
    params: Mapping[str, Any] = field(default_factory=dict)


NOTHING = Reply(Answer(0, clean=False), "drop")


async def deliver(request: web.Request, call: Call, reply: Reply) -> web.StreamResponse:
    if not connected(request):
        call.end(now(), "timeout", clean=False)
        return web.Response()
    try:
        return await WAYS[reply.delivery](request, call, reply)
    except ConnectionError:
        call.end(now(), "timeout", clean=False)
        return web.Response()


def connected(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


async def _whole(request: web.Request, call: Call, reply: Reply) -> web.StreamResponse:
    answer = reply.answer
    response = web.Response(
        status=answer.status, body=answer.body or None, headers=_headers(answer)
    )
    await response.prepare(request)
    # Booked before the last byte: a quick client may read the books as soon as it has its answer.
    call.end(now(), answer.status, answer.clean)
    await response.write_eof()
    return response


async def _drop(request: web.Request, call: Call, reply: Reply) -> web.StreamResponse:
    """Resets the connection, as a crashed peer does; the answer is lost."""
    call.end(now(), "dropped", clean=False)
    abort(request)
    return web.Response()


def abort(request: web.Request) -> None:
    """Closes without lingering: the kernel sends an RST instead of an orderly end of stream."""
    if request.transport is None:
        return
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


async def _truncated(request: web.Request, call: Call, reply: Reply) -> web.StreamResponse:
    """Promises the length of the whole body, sends half of it, and ends the stream."""
    response = await _begun(request, reply.answer)
    await response.write(reply.answer.body[: len(reply.answer.body) // 2])
    call.end(now(), "dropped", clean=False)
    if request.transport is not None:
        request.transport.close()
    return response


async def _drip(request: web.Request, call: Call, reply: Reply) -> web.StreamResponse:
    """Sends a few bytes at a time: no read timeout fires, only a budget for the whole call."""
    response = await _begun(request, reply.answer)
    body, chunk = reply.answer.body, int(reply.params["chunk"])
    for start in range(0, len(body), chunk):
        if not connected(request):
            raise ConnectionResetError
        await asyncio.sleep(float(reply.params["interval"]))
        if start + chunk >= len(body):
            call.end(now(), reply.answer.status, reply.answer.clean)
        await response.write(body[start : start + chunk])
    await response.write_eof()
    return response


async def _begun(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_headers(answer))
    response.content_length = len(answer.body)
    response.force_close()
    await response.prepare(request)
    return response


def _headers(answer: Answer) -> dict[str, str]:
    named = {"Content-Type": f"{answer.content_type}; charset=utf-8"} if answer.body else {}
    return {**named, **answer.headers}


Way = Callable[[web.Request, Call, Reply], Awaitable[web.StreamResponse]]
WAYS: Mapping[str, Way] = {"whole": _whole, "drop": _drop, "truncated": _truncated, "drip": _drip}
