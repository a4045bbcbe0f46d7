"""The worker's own parts, put together as `worker.service` does, on virtual time and a watched
ledger.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import redis

from sandbox.embedded_redis import EmbeddedRedis
from schemas.lane import Lane
from schemas.order import Order
from tests.simulation.tap import Tap
from worker.dead_letters import DeadLetters
from worker.ledger import Ledger, Opened
from worker.ledger.lane_calls import LaneCalls
from worker.ledger.limits import LaneLimits
from worker.ledger.messages import Messages
from worker.ledger.outbox import Outbox
from worker.ledger.reads.views import Views
from worker.ledger.script_runner import Scripts, Server
from worker.ledger.shelf import Shelf
from worker.rules.policy import Policy
from worker.rules.words import Rules
from worker.turns.balance_look import BalanceLook
from worker.turns.dispatcher import Dispatcher
from worker.turns.executor import Executor
from worker.turns.lane_question import LaneQuestion
from worker.turns.page_turn import PageTurn
from worker.web_app.doors import Doors
from worker.web_app.teller import Teller

if TYPE_CHECKING:
    from tests.simulation.world import World

HERE = Path(__file__).parent
RETRY = (2.0, 10.0, 60.0, 600.0, 3600.0)
LANES = (Lane("relograde"), Lane("logitrail"))
ACCOUNTS = SimpleNamespace(accounts={"relograde": (None,), "logitrail": (None,)})
NEVER = float("inf")


class Site:
    """What lasts longer than a run: a server of one's own, its connection, the scripts that are
    loaded there.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="simulation-")
        socket = f"{self._folder.name}/socket"
        # The disk is simulated; the real one would only cost time, and so would the server's
        # statistics.
        options = {"unixsocket": socket, "appendonly": "no", "latency-tracking": "no"}
        self.server = EmbeddedRedis(Path(self._folder.name), own=True, options=options)
        self.server.start()
        self.client: Any = Tap(socket)
        self.registered: dict[str, Any] = {}
        self.audit = self._script("audit")
        self.peek = self._script("peek")
        self.disk = self._script("disk")

    def _script(self, name: str) -> Any:
        return self.client.register_script((HERE / f"{name}.lua").read_text(encoding="utf-8"))

    def close(self) -> None:
        self.client.close()
        self.server.stop()
        self._folder.cleanup()


class WatchedScripts(Scripts):
    """The real scripts.

    Before and after each, the world may strike; a server that is down answers nobody.
    """

    def __init__(self, world: World, site: Site, server: Server) -> None:
        super().__init__(
            site.client, "sim", clock=world.clock, run_id=lambda: world.run_id, server=server
        )
        self._registered = site.registered
        self.world = world

    def run_together(self, room: str, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """One after the other, so that the world may strike between them too."""
        return [self.run(name, room, **arguments) for name, arguments in calls]

    def run(self, name: str, room: str, **arguments: Any) -> dict[str, Any]:
        world = self.world
        world.point(f"{name}?")
        world.clock.tick()
        if world.clock.now < world.down_until:
            raise redis.ConnectionError("down")
        answer = super().run(name, room, **arguments)
        world.ran(name, room, arguments, answer)
        world.point(f"{name}!")
        return answer


class _Here:
    """In place of a pool: deliveries one after the other, in the action's own thread."""

    def submit(self, call: Callable[..., Any], *words: Any) -> Future[None]:
        done: Future[None] = Future()
        call(*words)
        done.set_result(None)
        return done


class Worker:
    """One worker process. `incarnation` counts its starts."""

    def __init__(self, world: World, number: int) -> None:
        plan = world.plan
        self.world = world
        self.number = number
        self.incarnation = 1
        self.frozen_until = 0.0
        server = Server(synced=plan.sync == "always")
        scripts = WatchedScripts(world, world.site, server)
        self.ledger = _ledger(world, scripts)
        messages = Messages(scripts, plan.channels, 30 * 86400.0)
        self.outbox = Outbox(scripts, plan.channels, RETRY)
        clients = {Lane(supplier): books for supplier, books in world.books.items()}
        self.executor = Executor(
            self.ledger, self.ledger.policies, clients, monotonic=world.clock, jitter=world.jitter
        )
        self.doors = Doors(
            ACCOUNTS, self.ledger, messages, self.outbox, self.executor, self._accept
        )  # type: ignore[arg-type]
        lanes = [lane for lane in LANES if lane[0] in world.suppliers]
        question = LaneQuestion(LaneCalls(self.ledger.shelf), monotonic=world.clock)
        self.page_turn = PageTurn(self.ledger, question, clients, world.jitter)
        self.account = BalanceLook(
            self.ledger, LANES[0], world.books["relograde"], requeues=False, monotonic=world.clock
        )
        self.dispatcher = Dispatcher(
            self.ledger, lanes, world.broker.ring, start=self._start, page=self._page
        )
        self.dispatcher._tend_at = NEVER
        self.teller = Teller(self.outbox, world.shop.publish, world.shop.post)
        self.teller._pool = _Here()  # type: ignore[assignment]
        self.dead_letters = DeadLetters(
            self.ledger, messages, self.outbox, Views(self.ledger.shelf, LANES)
        )

    def _accept(self, order: Order, details: str | None) -> Opened:
        """As the threads of a worker do: the first step is an action of its own, and its claim goes
        with it.
        """
        opened, step = self.executor.open(order, details)
        if step:
            self.world.broker.start(self, order.order_id, step)
        return opened

    def _start(self, supplier: str, order_id: str) -> bool:
        if self.world.plan.spare:
            self.world.broker.start(self, order_id, lambda: self.executor.step(supplier, order_id))
        return self.world.plan.spare

    def _page(self, lane: Lane) -> None:
        """A page's turn, beside the dispatcher."""
        self.world.broker.started += 1
        self.world.broker.beside(self, "page", None, lambda: self.page_turn.turn(lane))


def policies(pending_limit: float) -> dict[str, Policy]:
    """The contract's rules with a coarser schedule of re-checks, so that a week costs few calls."""
    relograde = Rules(
        reads=True,
        settle=40.0,
        confirm_within=86400.0,
        margin=30.0,
        recheck=(15.0, 60.0, 600.0, 7200.0, 43200.0),
        pending_limit=pending_limit,
        retry=RETRY,
    )
    logitrail = Rules(reads=False, settle=60.0, give_up=259200.0, retry=RETRY, hosts=2)
    return {"relograde": Policy(relograde), "logitrail": Policy(logitrail)}


def _ledger(world: World, scripts: Scripts) -> Ledger:
    has_pages, has_accounts = bool(world.plan.pages), bool(world.plan.balance)
    relograde = LaneLimits(world.plan.per_minute, 60, 50.0, accounts=has_accounts, pages=has_pages)
    limits = {"relograde": relograde, "logitrail": LaneLimits(0, 60, 35.0)}
    rules = policies(world.plan.pending_limit)
    return Ledger(Shelf(scripts, rules, limits, channels=world.plan.channels, retry=RETRY))
