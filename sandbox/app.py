"""Builds the application and serves it until it is told to stop.

A thread of its own for tests is in `server.py`.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import ClientSession, web

from sandbox import admin, logitrail, relograde
from sandbox.doors import NAMES, Door
from sandbox.state import STATE, State

SHUTDOWN_SECONDS = 0.2  # held answers are not waited for: whoever stops a sandbox is done with it
BULK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Address:
    """`doors` are further ports, each for one supplier, that close when it refuses."""

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
    """Listens until `stop`, and says when it does."""
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
