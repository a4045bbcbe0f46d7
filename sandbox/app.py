"""Builds the application and serves it; `server.py` does so on a thread, for tests."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import ClientSession, web

from sandbox import admin, logitrail, relograde
from sandbox.doors import NAMES, Door
from sandbox.state import STATE, State

SHUTDOWN_SECONDS = 0.2  # a stop does not wait for held answers
BULK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Address:
    """Where to listen; each port in `doors` is one supplier's and closes when it refuses."""

    host: str
    port: int
    doors: Mapping[str, int] = field(default_factory=dict)


def build_app(state: State) -> web.Application:
    app = web.Application(middlewares=[admin.loopback_only], client_max_size=BULK_BYTES)
    app[STATE] = state
    for part in (relograde, logitrail, admin):
        part.add_routes(app)
    return app


async def serve(
    state: State, where: Address, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Listens until `stop` is set; calls `ready` when the ports are open."""
    # A client that hangs up must not cancel what its call has begun.
    runner = web.AppRunner(
        build_app(state),
        access_log=None,
        handler_cancellation=False,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    state.doors = [
        Door(name, where.host, where.doors[name], runner) for name in NAMES if name in where.doors
    ]
    async with ClientSession() as state.web:
        try:
            await web.TCPSite(runner, where.host, where.port, backlog=1024).start()
            await state.follow_doors()
            ready()
            await stop.wait()
        finally:
            state.cancel_tasks()
            await runner.cleanup()
