"""The parts of one process, put together from the settings: the only place that knows them all."""

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, cast

import redis

from schemas.lane import Lane
from worker import registry
from worker import settings as settings_module
from worker.dead_letters import DeadLetters
from worker.ledger import Ledger
from worker.ledger.lane_calls import LaneCalls
from worker.ledger.messages import Messages
from worker.ledger.outbox import Outbox
from worker.ledger.pages import Pages
from worker.ledger.reads.views import Views
from worker.ledger.script_runner import Scripts, Server
from worker.ledger.shelf import Shelf
from worker.servers import connect
from worker.settings import Settings
from worker.suppliers.client import Client, ReadingClient
from worker.turns.balance_look import BalanceLook
from worker.turns.executor import Executor
from worker.turns.known_look import KnownLook
from worker.turns.lane_question import LaneQuestion
from worker.turns.page_turn import PageTurn
from worker.turns.threads import Threads
from worker.web_app.doors import Doors
from worker.web_app.teller import Poster, Teller

DAY = 86400.0


class Service:
    """The parts that the tasks, the dispatcher and the commands use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = connect(settings.ledger_url or settings.redis_url)
        self.server = Server()
        self.scripts = Scripts(self.client, settings.countersign_prefix, server=self.server)
        self.policies = registry.policies(settings)
        retention = settings.retention_days * DAY
        self.shelf = Shelf(
            self.scripts,
            self.policies,
            registry.limits(settings),
            channels=settings.channels,
            retry=settings.retry_seconds,
        )
        self.ledger = Ledger(
            self.shelf, warning=settings.deadline_warning_seconds, retention=retention
        )
        self.lanes = tuple(
            Lane(supplier, account)
            for supplier, names in settings.accounts.items()
            for account in names
        )
        self.messages = Messages(self.scripts, settings.channels, retention)
        self.outbox = Outbox(self.scripts, settings.channels, settings.retry_seconds)
        self.pages = Pages(self.shelf)
        self.views = Views(self.shelf, self.lanes)
        self.dead_letters = DeadLetters(self.ledger, self.messages, self.outbox, self.views)

    @cached_property
    def executor(self) -> Executor:
        """Made on first use: commands that only read need no supplier clients."""
        return Executor(self.ledger, self.policies, self.clients)

    @cached_property
    def clients(self) -> dict[Lane, Client]:
        """One client a lane."""
        return registry.clients(self.settings)

    @cached_property
    def balance_looks(self) -> list[BalanceLook]:
        """One for each lane whose balances can be asked for."""
        requeues = self.settings.relograde_requeue_on_funds
        return [
            BalanceLook(
                self.ledger, lane, cast(ReadingClient, self.clients[lane]), requeues=requeues
            )
            for lane in self.lanes
            if self.shelf.limits[lane.supplier].accounts
        ]

    @cached_property
    def known_looks(self) -> list[KnownLook]:
        """One for each lane of a supplier that documents a read."""
        return [
            KnownLook(self.ledger, lane, cast(ReadingClient, self.clients[lane]))
            for lane in self.lanes
            if self.policies[lane.supplier].rules.reads
        ]

    @cached_property
    def page_turn(self) -> PageTurn:
        """Answers for several pending orders with one page."""
        return PageTurn(self.ledger, LaneQuestion(LaneCalls(self.shelf)), self.clients)

    @cached_property
    def threads(self) -> Threads:
        """Two fifths of the process for each supplier; the doors have the rest to themselves."""
        return Threads(
            self.executor, self.settings.countersign_concurrency * 2 // 5, self.page_turn
        )

    @cached_property
    def doors(self) -> Doors:
        """What the tasks call."""
        return Doors(
            self.settings,
            self.ledger,
            self.messages,
            self.outbox,
            self.executor,
            self.threads.accept,
        )

    def teller(
        self, publish: Callable[[list[dict[str, Any]]], None], backlog: Callable[[], int]
    ) -> Teller:
        """A deliverer of outcomes, over the channels of the settings."""
        post = (
            Poster(self.settings.outcome_url, self.settings.outcome_secret)
            if self.settings.outcome_url
            else None
        )
        return Teller(self.outbox, publish if self.settings.outcome_task else None, post, backlog)

    def look_at_server(self) -> None:
        """Learns whether the server syncs every write; one that does not tell counts as unsynced.

        A server with replicas, or that has been a replica, counts as unsynced too: what it has
        synced is not what the next one has.
        """
        try:
            mode, links = self.client.config_get("append*"), self.client.info("replication")
        except redis.ResponseError:
            mode, links = {}, {}
        alone = links.get("connected_slaves") == 0 and links.get("second_repl_offset") == -1
        always = mode.get("appendonly") == "yes" and mode.get("appendfsync") == "always"
        self.server.synced = always and alone and not self.settings.replicated


@cache
def service() -> Service:
    """This process' service, from the environment."""
    return Service(settings_module.load())
