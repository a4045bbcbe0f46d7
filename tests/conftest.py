"""Fixtures: one real Redis for the session, a ledger on a clock that a test moves, a sandbox, and
their parts.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakeredis
import lua_coverage
import pytest
import redis
from wires import Certificates, make_certificate

from sandbox.embedded_redis import EmbeddedRedis
from schemas.lane import Lane
from schemas.order import ENDED, OPEN, REASONS, STATES, Order
from worker import settings as settings_module
from worker.ledger import Ledger
from worker.ledger.limits import LaneLimits
from worker.ledger.messages import Messages
from worker.ledger.outbox import Outbox
from worker.ledger.reads.views import Views
from worker.ledger.script_runner import Scripts, Server
from worker.ledger.shelf import Shelf
from worker.rules.policy import Policy
from worker.rules.words import Rules, Step
from worker.servers import connect

START = 1_800_000_000.0
"""The moment at which the tests' clock begins, seconds since the epoch."""
RETRY = (2.0, 10.0, 30.0)
LUA: pytest.StashKey[lua_coverage.Coverage] = pytest.StashKey()
LANES = (Lane("relograde"), Lane("relograde", "a"), Lane("logitrail"))


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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--lua-coverage",
        action="store_true",
        help="run the ledger on fakeredis, and fail when a line of a Lua script does not run",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--lua-coverage"):
        config.stash[LUA] = lua_coverage.Coverage()
        lua_coverage.install(config.stash[LUA])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what fakeredis cannot do when it stands in for the server."""
    if LUA in config.stash:
        real = [item for item in items if item.get_closest_marker("real_server")]
        config.hook.pytest_deselected(items=real)
        items[:] = [item for item in items if item not in real]


def pytest_sessionfinish(session: pytest.Session) -> None:
    coverage = session.config.stash.get(LUA, None)
    if coverage is not None and coverage.missed():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    coverage = config.stash.get(LUA, None)
    if coverage is not None:
        for line in lua_coverage.report(coverage):
            terminalreporter.write_line(line)


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """An empty database of the real server; with `--lua-coverage` one of fakeredis."""
    if LUA in request.config.stash:
        with fakeredis.FakeRedis(decode_responses=True) as fake:
            yield fake
        return
    server: EmbeddedRedis = request.getfixturevalue("server")
    connection = connect(server.url)
    connection.flushdb()
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates that nobody trusts unless told."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the path")
    make = tmp_path_factory.mktemp
    return Certificates(
        make_certificate(make("ours"), "IP:127.0.0.1"),
        make_certificate(make("others"), "DNS:elsewhere.example"),
    )


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
    accounts: bool = False,
    synced: bool = False,
    pages: bool = False,
) -> Ledger:
    """A ledger whose clock and server identity belong to the test.

    `synced`: the server is said to sync every write.
    """
    scripts = Scripts(
        client, "test", clock=clock, run_id=run_id or (lambda: "run-1"), server=Server(synced)
    )
    limits = {
        "relograde": LaneLimits(calls_per_minute, max_in_flight, 50.0, accounts, pages),
        "logitrail": LaneLimits(0, max_in_flight, 35.0),
    }
    return Ledger(Shelf(scripts, policies, limits, channels=channels, retry=RETRY))


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
    return Views(ledger.shelf, LANES)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any of our variables."""
    for name in list(os.environ):
        known = {variable.name for variable in settings_module.VARIABLES}
        if name in known or name.startswith(settings_module.PREFIXES):
            monkeypatch.delenv(name)
    return monkeypatch


# --- the hands of a worker, without HTTP ----------------------------------------------------------


def an_order(order_id: str = "R1", supplier: str = "relograde", **changed: Any) -> Order:
    """An order that was created an hour before the tests begin; at Logitrail it has no deadline."""
    created = START - 3600 if supplier == "relograde" else None
    given: dict[str, Any] = {
        "supplier": supplier,
        "order_id": order_id,
        "reference": "ref",
        "accepted_at": START,
    }
    given |= {"created_at": created, "deadline_at": None if created is None else created + 86400.0}
    return Order(**{**given, **changed})


def turn(
    ledger: Ledger, order_id: str, answer: Any, supplier: str = "relograde", *, direct: bool = False
) -> str:
    """One step as the executor makes it.

    `answer` is what the supplier says, or a function of the permit.
    """
    claimed = ledger.claim(supplier, order_id, direct=direct)
    if claimed.order is None or claimed.result != "claimed":
        return claimed.result
    policy = ledger.policies[supplier]
    plan = policy.next_call(claimed.order, claimed.now)
    if isinstance(plan, Step):
        ledger.write(claimed.order, plan, claim=claimed.claim)
        return plan.event
    permit = ledger.permit(claimed, plan)
    if permit.result == "unpayable":
        ledger.write(
            claimed.order, policy.unpayable(claimed.order, permit.now), claim=claimed.claim
        )
        return "unpayable"
    if permit.result != "permitted":
        return permit.result
    said = answer(permit) if callable(answer) else answer
    step = policy.decide(permit.order, permit.call, said, ledger.time())
    written = ledger.write(permit.order, step, claim=claimed.claim, sent_at=permit.now)
    return step.event if written.result == "written" else written.result


def members(ledger: Ledger, room: str, *name: str) -> dict[str, float]:
    """A sorted set of the ledger."""
    return dict(
        ledger.scripts.client.zrange(ledger.scripts.key(room, *name), 0, -1, withscores=True)
    )


class Books:
    """The records of one room, against which each index is counted (invariant 1)."""

    def __init__(self, ledger: Ledger, room: str) -> None:
        self.ledger = ledger
        self.room = room
        client, base = ledger.scripts.client, ledger.scripts.base(room) + "order:"
        names = client.keys(base.replace("{", "[{]") + "*")
        ids = [name.removeprefix(base) for name in names]
        self.raw = {order_id: client.hgetall(base + order_id) for order_id in ids}
        views = Views(ledger.shelf, LANES)
        found = {order_id: views.order(room, order_id) for order_id in ids}
        self.orders = {order_id: order for order_id, order in found.items() if order}

    def members(self, *key: str) -> dict[str, float]:
        return members(self.ledger, self.room, *key)

    def count_states(self) -> None:
        for state in STATES:
            wanted = {i: o.accepted_at for i, o in self.orders.items() if o.state == state}
            assert self.members("state", state) == wanted

    def count_letters(self) -> None:
        for reason in REASONS[:-1]:
            wanted = {i: o.letter_at for i, o in self.orders.items() if o.letter == reason}
            assert self.members("letters", reason) == wanted

    def count_deadlines(self) -> None:
        """Every order that no supplier has accepted yet is in one of the two."""
        times = self.ledger.policies[self.room].times
        waiting = {i: o for i, o in self.orders.items() if o.state in ("accepted", "submitted")}
        last = {i: times.last_safe_moment(o) for i, o in waiting.items()}
        unwarned, warned = self.members("deadlines"), self.members("warned")
        assert {**unwarned, **warned} == {i: at for i, at in last.items() if at is not None}
        assert not set(unwarned) & set(warned)

    def count_expiring(self) -> None:
        ended = {i for i, o in self.orders.items() if o.state in ENDED and not o.letter}
        assert set(self.members("expiring")) == ended

    def count_lane(self, account: str | None) -> None:
        lane, now = account or "-", self.ledger.time()
        due, leases = self.members("due", lane), self.members("leases", lane)
        ready = [self.members("ready", lane, kind) for kind in ("confirm", "ask", "recheck")]
        for order_id, order in self.orders.items():
            if order.account == account:
                self._count_places(order, [due, *ready])
                lease = float(self.raw[order_id].get("lease_until", 0))
                assert lease <= now or due[order_id] == leases[order_id] == lease
        assert set(due).union(*ready) <= set(self.orders)
        self._count_unpaid(lane)

    def _count_places(self, order: Order, places: list[dict[str, float]]) -> None:
        found = [place for place in places if order.order_id in place]
        says = f"{order.state} {order.order_id} is in {len(found)} places"
        assert len(found) == (order.due_at is not None), says
        assert order.state not in OPEN or order.due_at is not None

    def _count_unpaid(self, lane: str) -> None:
        for currency in {order.currency for order in self.orders.values() if order.currency}:
            unpaid = self.members("unpaid", lane, currency)
            assert {self.orders[order_id].state for order_id in unpaid} <= {"accepted"}


def recount(
    ledger: Ledger, room: str = "relograde", accounts: tuple[str | None, ...] = (None,)
) -> dict[str, Order]:
    """Checks that every index says what the records say (invariant 1), and returns the records."""
    books = Books(ledger, room)
    books.count_states()
    books.count_letters()
    books.count_deadlines()
    books.count_expiring()
    for account in accounts:
        books.count_lane(account)
    return books.orders
