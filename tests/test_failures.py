"""Every failure of the wire, over real sockets: the state, reason, next look and hold that it leads
to, and the end.

The real client of the supplier, the real step, the real scripts on a real Redis. Only the ledger's
clock is the test's, and a step takes none of its time, so that the next look is exact.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from conftest import START, Clock, an_order
from failure_table import LOGITRAIL_ID, TRX, Case, cases, done, order
from wire_server import Visit, http
from wires import Certificates, Wire, serves

from schemas.lane import Lane
from worker import registry
from worker import settings as settings_module
from worker.ledger import Ledger
from worker.ledger.script_runner import Scripts
from worker.ledger.shelf import Shelf
from worker.settings import Settings
from worker.turns.executor import Executor

CASES = list(cases())
PATIENT, HASTY = (10.0, 10.0), (0.5, 0.2)
"""Seconds to connect and to wait: more than a busy machine needs; and less than a wire takes that
never answers.
"""
LEAST = 60
IDS = {"relograde": TRX, "logitrail": LOGITRAIL_ID}
DETAILS = '{"language": "fi"}'


class Worker:
    """Steps of one lane, each by a client of its own, as if each were a worker's first."""

    def __init__(
        self, client: Any, clock: Clock, settings: Settings, known: Certificates, supplier: str
    ) -> None:
        self.clock, self.settings, self.certificates, self.supplier = (
            clock,
            settings,
            known,
            supplier,
        )
        scripts = Scripts(client, "test", clock=clock, run_id=lambda: "run-1")
        # Every probe is an order here; tests/test_balance_look.py has those of the accounts.
        limits = {
            name: replace(limit, accounts=False)
            for name, limit in registry.limits(settings).items()
        }
        self.ledger = Ledger(
            Shelf(scripts, registry.policies(settings), limits, retry=settings.retry_seconds)
        )

    @contextmanager
    def _clients(self, wire: Wire) -> Iterator[dict[Lane, Any]]:
        """Logitrail's two hosts are one, told apart by their path."""
        with wire.place(self.certificates) as url:
            changed: dict[str, Any] = {
                "RELOGRADE_URL": url,
                "LOGITRAIL_URLS": (f"{url}/api-1", f"{url}/api-2"),
            }
            connect, read = HASTY if wire.slow else PATIENT
            for supplier in ("RELOGRADE", "LOGITRAIL"):
                changed |= {
                    f"{supplier}_CONNECT_TIMEOUT": connect,
                    f"{supplier}_READ_TIMEOUT": read,
                }
            clients = registry.clients(
                replace(self.settings, **{name.lower(): value for name, value in changed.items()})
            )
            if wire.trusted:
                for one in clients.values():
                    one._http._session.verify = str(wire.trusted(self.certificates).cert)
            yield clients
            for one in clients.values():
                one.close()

    def open(self, order_id: str) -> None:
        """The payment has cleared."""
        details = DETAILS if self.supplier == "logitrail" else None
        accepted = an_order(
            order_id, self.supplier, accepted_at=self.clock(), details=details is not None
        )
        assert self.ledger.open(accepted, details).result == "opened"

    def step(self, order_id: str, wire: Wire) -> None:
        """Dispatched when it is due and its lane lets it, and one call at most."""
        picked = self.ledger.dispatch(Lane(self.supplier), 100).picked
        assert picked == [order_id]
        instant = time.monotonic()
        with self._clients(wire) as clients:
            executor = Executor(
                self.ledger,
                self.ledger.policies,
                clients,
                monotonic=lambda: instant,
                jitter=lambda: 0.0,
            )
            executor.step(self.supplier, order_id)

    def wait(self, order_id: str) -> None:
        """Until its next look, and until its lane lets it."""
        due, probe = self.record(order_id).get("due_at"), self.lane().get("probe_at")
        self.clock.now = max(self.clock.now, float(due or 0), float(probe or 0))

    def record(self, order_id: str) -> dict[str, str]:
        client = self.ledger.scripts.client
        return dict(client.hgetall(self.ledger.scripts.key(self.supplier, "order", order_id)))

    def lane(self) -> dict[str, str]:
        client = self.ledger.scripts.client
        return dict(client.hgetall(self.ledger.scripts.key(self.supplier, "lane", "-")))

    def stands(self, order_id: str) -> str:
        """What became of the order and its lane, in the table's words, as a stranger reads the
        keys.
        """
        record, lane = self.record(order_id), self.lane()
        words = record["state"] + (f" {record['reason']}" if "reason" in record else "")
        words += ", unresolved" if "send_by" in record else ""
        words += ", inferred" if record.get("inferred") == "1" else ""
        words += (
            f"; {record['kind']} {self._when(record['due_at'])}"
            if "due_at" in record
            else "; no look"
        )
        if "held" in lane:
            words += f"; lane {lane['held']}, probe {self._when(lane['probe_at'])}"
        return words

    def _when(self, instant: str) -> str:
        seconds = round(float(instant) - self.clock(), 2)
        return "now" if seconds <= 0 else f"in {seconds:.10g} s"


@pytest.fixture
def worker(
    client: Any, clock: Clock, environment: pytest.MonkeyPatch, certificates: Certificates
) -> Callable[[str], Worker]:
    """With the contract's defaults."""
    environment.setenv("RELOGRADE_API_KEY", "key")
    settings = settings_module.load()
    return lambda supplier: Worker(client, clock, settings, certificates, supplier)


def play(worker: Worker, case: Case) -> str:
    """What other orders meet, then what this order meets, each at its time; returns the order's
    id.
    """
    name = IDS[case.supplier]
    for number, wire in enumerate(case.others):
        worker.open(f"OTHER{number}")
        worker.step(f"OTHER{number}", wire)
    worker.open(name)
    for wire in case.before:
        worker.step(name, wire)
        worker.wait(name)
    worker.step(name, case.wire)
    return name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_failure_leads_where_it_must(worker: Callable[[str], Worker], case: Case) -> None:
    """State, reason, what is unresolved, the next look and the lane's hold."""
    here = worker(case.supplier)
    name = play(here, case)
    stands = here.stands(name)
    # A pattern where the answer itself counts from the wall clock.
    assert stands == case.leads_to or fnmatchcase(stands, case.leads_to)


class Books:
    """A supplier in good health, that remembers what had an effect and in which order it was
    called.
    """

    def __init__(self, supplier: str, effects: int) -> None:
        self.supplier, self.effects = supplier, effects
        self.calls: list[str] = []
        self.wire = serves(self.behave)

    def behave(self, visit: Visit) -> bool:
        method, path, _ = visit.request.decode().split(" ", 2)
        self.calls.append("ask" if method == "GET" else "confirm")
        visit.sock.sendall(
            self._logitrail(visit, path)
            if self.supplier == "logitrail"
            else self._relograde(method)
        )
        return True

    def _relograde(self, method: str) -> bytes:
        if method == "GET":
            return http(200, order("finished" if self.effects else "created"))
        self.effects += 1
        return (
            http(200, order("finished"))
            if self.effects == 1
            else http(400, "this order can not be confirmed")
        )

    def _logitrail(self, visit: Visit, path: str) -> bytes:
        """A repeat comes without a body and to the host that was called first."""
        assert path.startswith("/api-1/")
        assert visit.request.endswith(b"\r\n\r\n")
        if self.effects:
            return http(409, {"code": "order_not_passive"})
        self.effects += 1
        return http(200, done())


LOST = [
    case
    for case in CASES
    if not case.before
    and not case.others
    and "unresolved" in case.leads_to
    # A drip is a timeout like any other.
    and (not case.wire.slow or "no answer" in case.name)
]


@pytest.mark.parametrize("effect", [True, False], ids=["after the effect", "before the effect"])
@pytest.mark.parametrize("case", LOST, ids=lambda case: case.name)
def test_a_lost_answer_ends_right_whatever_had_happened(
    worker: Callable[[str], Worker], case: Case, effect: bool
) -> None:
    """The supplier took the confirm or did not: one effect in its books, and it is asked before any
    repeat.
    """
    here = worker(case.supplier)
    name = play(here, case)
    books = Books(case.supplier, effects=int(effect))
    ends = "confirmed" if effect else case.untouched
    while here.record(name)["state"] in ("accepted", "submitted", "pending"):
        assert len(books.calls) < 5
        here.wait(name)
        asked_at = here.clock.now
        here.step(name, books.wire)
        if case.supplier == "logitrail":
            assert asked_at >= START + 65
    assert here.stands(name).startswith(ends)
    assert books.effects == (0 if ends.startswith("dead") else 1)
    if case.supplier == "relograde":
        assert books.calls == (
            ["ask"] if effect else ["ask", "ask", "confirm"][: 2 if ends.startswith("dead") else 3]
        )


def test_the_table_is_as_long_as_it_says() -> None:
    """Each name once, enough of them for both suppliers, and the number that the docs give."""
    assert len({case.name for case in CASES}) == len(CASES)
    for supplier in IDS:
        assert len([case for case in CASES if case.supplier == supplier]) >= LEAST
    assert f"{len(CASES)} rows" in (
        Path(__file__).parents[1] / "docs" / "architecture.md"
    ).read_text(encoding="utf-8")
