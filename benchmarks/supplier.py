"""A supplier that costs nothing: it answers every confirm after `--delay` seconds, and keeps books
of when they came.

It stands in where the sandbox itself would be the bottleneck: one asyncio protocol, no routes, no
rules. Its answer has the bytes of the sandbox's for a finished order of two lines. `python -m
benchmarks.supplier --port N [--delay S]`.
"""

import argparse
import asyncio
import json
import time
from typing import Any

from sandbox.endings import ENDINGS, at_once
from sandbox.exact_json import dumps
from sandbox.making import make
from sandbox.relograde_wire import order_json
from sandbox.state import State

BACKLOG = 2048
TRX = "RELOSTANDINSTANDIN0"


class Books:
    """`first_bytes`: order id to `time.monotonic()`, one clock for all processes of a machine."""

    def __init__(self) -> None:
        self.first_bytes: dict[str, float] = {}
        self.in_flight = 0
        self.most_in_flight = 0
        self.answered = 0

    def begin(self, order_id: str, at: float) -> None:
        self.first_bytes[order_id] = at
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def end(self) -> None:
        self.in_flight -= 1
        self.answered += 1

    def shown(self) -> dict[str, Any]:
        return dict(vars(self))


class Connection(asyncio.Protocol):
    """One kept-alive connection, one request at a time, bodies ignored."""

    def __init__(self, books: Books, delay: float, template: bytes) -> None:
        self.books = books
        self.delay = delay
        self.template = template
        self.buffer = b""
        self.began = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not self.buffer:
            self.began = time.monotonic()
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self.buffer = b""
        path = head.split(b" ", 2)[1].decode()
        if path == "/books":
            self._reply(json.dumps(self.books.shown()).encode())
            return
        order_id = path.removesuffix("/_confirm").rsplit("/", 1)[-1]
        self.books.begin(order_id, self.began)
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self._answer, order_id)
        else:
            self._answer(order_id)

    def _answer(self, order_id: str) -> None:
        self.books.end()
        self._reply(self.template.replace(TRX.encode(), order_id.encode()))

    def _reply(self, body: bytes) -> None:
        if not self.transport.is_closing():
            head = (
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                f"{len(body)}\r\n\r\n"
            )
            self.transport.write(head.encode() + body)


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def template() -> bytes:
    """What the sandbox says of a finished order, whose trx is to be filled in."""
    state = State()
    order = make(state, {"behaviour": "finished", "order_id": TRX})
    at_once(order, ENDINGS["finished"])
    return dumps(order_json(order, state.relograde, with_tokens=False)).encode()


async def serve(port: int, delay: float) -> None:
    books, answer = Books(), template()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(books, delay, answer), "127.0.0.1", port, backlog=BACKLOG
    )
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.supplier", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds until the answer")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.delay))


if __name__ == "__main__":
    main()
