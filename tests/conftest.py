"""Fixtures: one real Redis for the session, a ledger on a clock that a test moves, a sandbox, and their parts."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from sandbox.embedded_redis import EmbeddedRedis
from worker import settings as settings_module
from worker.ledger import Ledger
from worker.ledger.ledger import Limits
from worker.ledger.messages import Messages
from worker.ledger.outbox import Outbox
from worker.ledger.scripts import Scripts
from worker.ledger.views import Views
from worker.policy import Policy, Rules
from worker.service import connect

START = 1_800_000_000.0
"""The moment at which the tests' clock begins, seconds since the epoch."""
RETRY = (2.0, 10.0, 30.0)
LANES = (("relograde", None), ("relograde", "a"), ("logitrail", None))


class Clock:
    """The ledger's time, moved by the test; nobody sleeps."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A real server with its append-only file on."""
    with EmbeddedRedis(Path(tmp_path_factory.mktemp("redis")), own=True) as embedded:
        yield embedded


@pytest.fixture
def client(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    """An empty database of that server."""
    connection = connect(server.url)
    connection.flushdb()
    yield connection
    connection.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rules(supplier: str, **changed: Any) -> Rules:
    """The contract's defaults."""
    if supplier == "relograde":
        given: dict[str, Any] = {
            "reads": True,
            "settle": 40.0,
            "confirm_within": 86400.0,
            "margin": 30.0,
            "recheck": (15.0, 30.0, 60.0),
            "retry": RETRY,
        }
    else:
        given = {"reads": False, "settle": 60.0, "give_up": 259200.0, "retry": RETRY, "hosts": 2}
    return Rules(**{**given, **changed})


@pytest.fixture
def policies() -> dict[str, Policy]:
    return {supplier: Policy(rules(supplier)) for supplier in ("relograde", "logitrail")}


def make_ledger(
    client: Any,
    policies: dict[str, Policy],
    clock: Callable[[], float] | None,
    *,
    channels: tuple[str, ...] = ("task",),
    run_id: Callable[[], str] | None = None,
    calls_per_minute: int = 50,
    max_in_flight: int = 60,
) -> Ledger:
    """A ledger whose clock and server identity belong to the test."""
    scripts = Scripts(client, "test", clock=clock, run_id=run_id or (lambda: "run-1"))
    limits = {
        "relograde": Limits(calls_per_minute, max_in_flight, 50.0),
        "logitrail": Limits(0, max_in_flight, 35.0),
    }
    return Ledger(scripts, policies, limits, channels=channels, retry=RETRY)


@pytest.fixture
def ledger(client: Any, policies: dict[str, Policy], clock: Clock) -> Ledger:
    return make_ledger(client, policies, clock)


@pytest.fixture
def outbox(ledger: Ledger) -> Outbox:
    return Outbox(ledger.scripts, ("task",), RETRY)


@pytest.fixture
def messages(ledger: Ledger) -> Messages:
    return Messages(ledger.scripts, ("task",), 30 * 86400.0)


@pytest.fixture
def views(ledger: Ledger) -> Views:
    return Views(ledger, LANES)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any of our variables."""
    for name in list(os.environ):
        known = {variable.name for variable in settings_module.VARIABLES}
        if name in known or name.startswith(settings_module.PREFIXES):
            monkeypatch.delenv(name)
    return monkeypatch
