"""The sandbox inside a test process: its own thread, its own event loop, real sockets."""

import asyncio
import threading
from types import TracebackType
from typing import Any, Self

import requests

from sandbox.app import Address, serve
from sandbox.doors import NAMES, free_port
from sandbox.state import State

START_SECONDS = 10
CALL_SECONDS = 30


class Sandbox:
    """`with Sandbox(seed=1) as sandbox:`; with `doors=True` each supplier's port can be closed."""

    def __init__(
        self,
        seed: int = 0,
        doors: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        **state: Any,
    ):
        self.state = State(seed=seed, **state)
        self.host = host
        self.port = port or free_port(host)
        self.doors = {name: free_port(host) for name in NAMES} if doors else {}
        self.url = f"http://{host}:{self.port}"
        self.relograde_url = self._base("relograde") + "/relograde"
        self.logitrail_urls = [self._base(name) + f"/{name}/2015-01-01" for name in NAMES[1:]]
        self._session = requests.Session()
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    def create(self, supplier: str, behaviour: str, **more: Any) -> dict[str, Any]:
        """One order, as POST /_sandbox/orders makes it."""
        answer: dict[str, Any] = self._call(
            "POST", "/orders", {"supplier": supplier, "behaviour": behaviour, **more}
        )
        return answer

    def create_many(self, orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self._call("POST", "/orders", orders)
        return answer

    def settings(self, wanted: dict[str, Any] | None = None) -> dict[str, Any]:
        method = "GET" if wanted is None else "POST"
        answer: dict[str, Any] = self._call(method, "/settings", wanted)
        return answer

    def top_up(self, **amounts: str) -> dict[str, str]:
        """Adds to Relograde's balances, by currency; returns what is there now."""
        answer: dict[str, str] = self._call("POST", "/top-up", amounts)
        return answer

    def books(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._call("GET", "/books")
        return answer

    def order(self, supplier: str, order_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._call("GET", f"/books/{supplier}/{order_id}")
        return answer

    def move(self, supplier: str, order_id: str, to: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._call(
            "POST", f"/orders/{supplier}/{order_id}/move", {"to": to}
        )
        return answer

    def webhook(self, supplier: str, order_id: str) -> Any:
        return self._call("POST", f"/orders/{supplier}/{order_id}/webhook")

    def reset(self) -> None:
        self._call("POST", "/reset")

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(START_SECONDS) or self._failure:
            raise RuntimeError("the sandbox did not start") from self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    def _base(self, name: str) -> str:
        return f"http://{self.host}:{self.doors.get(name, self.port)}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._session.request(
            method, f"{self.url}/_sandbox{path}", json=body, timeout=CALL_SECONDS
        )
        if not answer.ok:
            raise ValueError(f"{answer.status_code}: {answer.text}")
        return answer.json()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as problem:  # for the thread that waits in __enter__
            self._failure = problem
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        where = Address(self.host, self.port, self.doors)
        await serve(self.state, where, self._stop, self._ready.set)
