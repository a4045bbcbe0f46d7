"""A real worker on a real Redis: whatever lies in its queue becomes an order or a dead letter, and
it goes on.
"""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu.message import Message

from sandbox.doors import free_port
from sandbox.embedded_redis import EmbeddedRedis
from worker import settings as settings_module
from worker.ledger.script_runner import Scripts
from worker.process.consumer import Request
from worker.servers import connect

ROOT = Path(__file__).parents[1]
LIMIT = 30.0
"""Seconds that a loaded machine may need for what takes milliseconds."""
LOST_LIMIT = 1.0
"""Seconds that we look for the letter of a message that is known to be lost."""
SECRET_STREET = "Secret-Street-5"
HEX = "5499362b1fb35e73548b45af"


def until(condition: Callable[[], Any], limit: float = LIMIT) -> Any:
    """Looks again and again until `condition` holds; what it last said."""
    end = time.monotonic() + limit
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def on_database(url: str, number: int) -> str:
    return re.sub(r"/\d*$", "", url) + f"/{number}"


def confirm(order_id: str = "T-1", **changed: Any) -> dict[str, Any]:
    created = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    return {
        "supplier": "relograde",
        "order_id": order_id,
        "reference": "shop-1",
        "created_at": created,
        **changed,
    }


def headers(task: Any = "orders.confirm", **changed: Any) -> dict[str, Any]:
    one = str(uuid.uuid4())
    given = {
        "lang": "py",
        "task": task,
        "id": one,
        "root_id": one,
        "retries": 0,
        "eta": None,
        "expires": None,
    }
    return {**given, "timelimit": [None, None], "argsrepr": "()", "kwargsrepr": "{}", **changed}


def envelope(body: Any, head: Any = None, kind: str | None = "application/json") -> dict[str, Any]:
    """A message as kombu lays it into Redis; `body` as bytes goes as it is."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    properties = {
        "correlation_id": "c",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "orders", "routing_key": "orders"},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    message = {
        "body": base64.b64encode(raw).decode(),
        "content-encoding": "utf-8",
        "content-type": kind,
    }
    return {**message, "headers": headers() if head is None else head, "properties": properties}


class Worker:
    """One worker process with its database, as the Procfile starts it."""

    def __init__(self, url: str, log: Path, **environment: str) -> None:
        self.client = connect(url)
        self.scripts = Scripts(self.client, "countersign")
        self.log = log
        self.url = url
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(settings_module.PREFIXES)
            and name not in ("LEDGER_URL", "RETRY_SECONDS")
        }
        self.environment = {
            **clean,
            "REDIS_URL": url,
            "RELOGRADE_URL": "http://127.0.0.1:9",
            "RELOGRADE_API_KEY": "key",
            "LOGITRAIL_URLS": "http://127.0.0.1:9",
            "LOGITRAIL_MERCHANT_ID": "m",
            "LOGITRAIL_SECRET": "s",
            "COUNTERSIGN_CONCURRENCY": "10",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.numbers = iter(range(10**6))

    def start(self) -> None:
        command = (
            "-A worker worker -Q orders,relograde,logitrail --without-mingle "
            "--without-gossip --loglevel=INFO"
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).parent / "celery"), *command.split()],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
        if process is not None:
            process.wait()

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ready(self) -> None:
        """Running, on an empty queue; what killed an earlier one is taken out of its way."""
        if not self.alive():
            self.client.delete("orders", "unacked", "unacked_index")
            self.start()
        assert self.takes_a_good_one()

    def push(self, message: dict[str, Any] | str) -> None:
        self.client.lpush("orders", message if isinstance(message, str) else json.dumps(message))

    def takes_a_good_one(self, limit: float = LIMIT) -> bool:
        """True when an order that is sent now is accepted; false at once when the worker is
        gone.
        """
        order_id = f"good-{next(self.numbers)}-{uuid.uuid4().hex[:8]}"
        self.push(envelope([[], confirm(order_id), {}]))
        until(lambda: self.has_order(order_id) or not self.alive(), limit)
        return self.alive() and self.has_order(order_id)

    def has_order(self, order_id: str, supplier: str = "relograde") -> bool:
        return bool(self.client.exists(self.scripts.key(supplier, "order", order_id)))

    def letters(self) -> list[dict[str, str]]:
        number = int(self.client.get(self.scripts.key("messages", "counter")) or 0)
        return [
            self.client.hgetall(self.scripts.key("messages", "order", str(n)))
            for n in range(1, number + 1)
        ]

    def refused(self) -> int:
        return sum(int(letter["count"]) for letter in self.letters())

    def forget(self) -> None:
        """No letters; the queue and the orders stay."""
        keys = list(self.client.scan_iter("countersign:{messages}:*"))
        if keys:
            self.client.delete(*keys)

    def close(self) -> None:
        self.stop()
        self.client.close()


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """A supplier that takes connections and never answers; its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def running(
    server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory, silent: int
) -> Iterator[Worker]:
    worker = Worker(
        on_database(server.url, 5),
        tmp_path_factory.mktemp("worker") / "log",
        LOGITRAIL_URLS=f"http://127.0.0.1:{silent}",
        LOGITRAIL_READ_TIMEOUT="4",
        OUTCOME_TASK="shop.outcome",
    )
    worker.client.flushdb()
    yield worker
    worker.close()


@pytest.fixture
def worker(running: Worker) -> Worker:
    running.ready()
    running.forget()
    return running


UNREADABLE, INVALID = "unreadable_message", "invalid_message"
CHAIN = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
DEEP = b'[[],{"details":' + b"[" * 100_000 + b"]" * 100_000 + b"},{}]"
REFUSED = [
    ("bytes garbage", UNREADABLE, envelope(b"\xff\xfe\x00 garbage")),
    ("text that is not JSON", UNREADABLE, envelope(b"not json")),
    ("half a document", UNREADABLE, envelope(b'[[], {"supplier": ')),
    ("nested too deep to read", UNREADABLE, envelope(DEEP)),
    ("pickle", UNREADABLE, envelope(b"\x80\x04N.", kind="application/x-python-serialize")),
    ("a kind that nobody knows", UNREADABLE, envelope([[], confirm(), {}], kind="application/foo")),
    (
        "compression that it has not",
        UNREADABLE,
        envelope([[], confirm(), {}], headers(compression="gzip")),
    ),
    (
        "no headers",
        UNREADABLE,
        {k: v for k, v in envelope([[], confirm(), {}]).items() if k != "headers"},
    ),
    ("empty headers", UNREADABLE, envelope([[], confirm(), {}], {})),
    ("an unknown task", INVALID, envelope([[], confirm(), CHAIN], headers("orders.refund"))),
    ("a task that is a number", INVALID, envelope([[], confirm(), CHAIN], headers(5))),
    ("positional arguments", INVALID, envelope([["relograde", "T-1", "shop-1"], {}, CHAIN])),
    ("positional beside named arguments", INVALID, envelope([["relograde"], confirm(), CHAIN])),
    ("an unknown field", INVALID, envelope([[], confirm(retail_price=12), CHAIN])),
    (
        "2 MB of details",
        INVALID,
        envelope([[], confirm(HEX, supplier="logitrail", details={"n": "x" * 2_000_000}), {}]),
    ),
    ("an eta that is none", INVALID, envelope([[], confirm(), {}], headers(eta="soon"))),
    ("an expiry that is none", UNREADABLE, envelope([[], confirm(), {}], headers(expires="soon"))),
    (
        "arguments of the first protocol that are none",
        UNREADABLE,
        envelope({"task": "orders.confirm", "kwargs": 5}, {}),
    ),
]


@pytest.mark.parametrize(
    ("reason", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_bad_message_becomes_a_letter_and_the_worker_goes_on(
    worker: Worker, reason: str, message: dict
) -> None:
    """One letter, whatever it was; the next message is taken; nothing stays with the broker."""
    worker.push(message)
    assert worker.takes_a_good_one()
    assert until(worker.refused) == 1
    [letter] = worker.letters()
    assert letter["reason"] == reason
    assert ": " in letter["detail"]
    assert until(lambda: worker.client.hlen("unacked") == 0)
    assert not worker.has_order("T-1")


KILLS = [
    ("JSON that is a number", envelope(5)),
    ("an empty object", envelope({})),
    ("a task that is a list", envelope([[], confirm(), {}], headers([]))),
    ("no content type", envelope([[], confirm(), {}], kind=None)),
    ("a time limit that is none", envelope([[], confirm(), {}], headers(timelimit=5))),
    ("a body that is not base64", {**envelope(0), "body": "!!!"}),
    ("not an envelope at all", "garbage"),
    ("an envelope that is a list", "[]"),
]
LOSES = [
    ("a string as body", envelope("text")),
    ("args and kwargs exchanged", envelope([{}, [], {}])),
    ("named arguments that are a list", envelope([[], [1], {}])),
    ("named arguments that are null", envelope([[], None, {}])),
    ("an embed that is a number", envelope([[], confirm(), 5])),
    (
        "an eta beyond the calendar",
        envelope([[], confirm(), {}], headers(eta="9999-12-31T23:59:59-23:00")),
    ),
    ("a lone surrogate", envelope([[], confirm(reference="\ud800"), {}])),
    (
        "a Decimal in details",
        envelope(
            [
                [],
                confirm(
                    HEX,
                    supplier="logitrail",
                    details={"p": {"__type__": "decimal", "__value__": "1"}},
                ),
                {},
            ]
        ),
    ),
    ("an empty envelope", "{}"),
]
STOPS = [
    ("no id in the headers", envelope([[], confirm("T-no-id"), {}], {"task": "orders.confirm"}))
]


def _named(rows: list[tuple[str, Any]]) -> list[Any]:
    return [pytest.param(message, id=name) for name, message in rows]


@pytest.mark.parametrize("message", _named(KILLS + STOPS))
def test_a_hostile_message_does_not_end_the_worker(worker: Worker, message: Any) -> None:
    """The next order is taken, by this very process."""
    process = worker.process
    worker.push(message)
    try:
        assert worker.takes_a_good_one(limit=4)
        assert worker.process is process
        assert until(worker.refused, LOST_LIMIT) == 1
    finally:
        if not until(lambda: not worker.alive(), 0.3):
            worker.stop()


@pytest.mark.parametrize("message", _named(LOSES))
def test_a_hostile_message_is_not_lost(worker: Worker, message: Any) -> None:
    """Accepted, or a letter."""
    before = {
        key for key in worker.client.scan_iter("countersign:*:order:*") if ":good-" not in key
    }
    worker.push(message)
    try:
        assert worker.takes_a_good_one()

        def accounted_for() -> bool:
            now = {
                key
                for key in worker.client.scan_iter("countersign:*:order:*")
                if ":good-" not in key
            }
            return worker.refused() > 0 or now != before

        assert until(accounted_for, LOST_LIMIT)
    finally:
        worker.client.delete("unacked", "unacked_index", "orders")


def test_an_unreadable_message_is_kept_whole(worker: Worker) -> None:
    """A person must be able to see what it was; another one is another letter."""
    worker.push(envelope(b"first \xff"))
    worker.push(envelope(b"second \xff"))
    assert until(lambda: worker.refused() == 2)
    bodies = [json.loads(letter["body"])["raw"] for letter in worker.letters()]
    assert {base64.b64decode(body) for body in bodies} == {b"first \xff", b"second \xff"}


def test_a_message_of_the_first_protocol_is_taken_or_kept(worker: Worker) -> None:
    """The contract says protocol 2; what an old sender meant is not dropped in silence."""
    worker.push(
        envelope(
            {"task": "orders.confirm", "id": "i", "args": [], "kwargs": confirm("T-proto-1")}, {}
        )
    )
    assert worker.takes_a_good_one()
    assert until(lambda: worker.has_order("T-proto-1") or worker.refused() == 1)


def test_a_flood_of_one_bad_message_is_one_letter(worker: Worker) -> None:
    """With its count; the good one behind it is taken."""
    for _ in range(60):
        worker.push(
            envelope([[], confirm("T-flood", amount="ten", created_at="2027-01-15T08:00:00Z"), {}])
        )
    assert worker.takes_a_good_one()
    assert until(lambda: worker.refused() == 60)
    assert [letter["count"] for letter in worker.letters()] == ["60"]


def _app(worker: Worker) -> Celery:
    app = Celery("shop", broker=worker.url, set_as_current=False)
    app.conf.update(task_send_sent_event=False, broker_connection_retry_on_startup=True)
    return app


def test_events_and_inspect_show_which_order_and_nothing_personal(worker: Worker) -> None:
    """What Flower, `celery events` and `celery inspect` see, while a confirm with details is under
    way.
    """
    app, events, stopped = _app(worker), [], threading.Event()

    def listen() -> None:
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": events.append})
            for _ in receiver.consume(limit=None, timeout=LIMIT, wakeup=True):
                if stopped.is_set():
                    return

    listener = threading.Thread(target=_quietly, args=(listen, stopped))
    listener.start()
    try:
        # Events are there only for who listens: a heartbeat shows that somebody does.
        assert until(lambda: events)
        order_id = uuid.uuid4().hex[:24]
        request = confirm(
            order_id, supplier="logitrail", details={"street": SECRET_STREET}, created_at=None
        )
        app.send_task("orders.confirm", kwargs=request, queue="orders")
        app.send_task("orders.confirm", args=[SECRET_STREET], queue="orders")
        assert until(
            lambda: worker.client.exists(worker.scripts.key("logitrail", "order", order_id))
        )
        inspect = app.control.inspect(timeout=1.0)
        seen = [inspect.active(), inspect.reserved(), inspect.scheduled()]
        assert SECRET_STREET not in json.dumps(seen)
        assert until(
            lambda: [event for event in events if event["type"] == "task-succeeded"], 2 * LIMIT
        )
    finally:
        stopped.set()
        listener.join(LIMIT)
        app.close()
    received = [event for event in events if event["type"] == "task-received"]
    assert any(order_id in event["kwargs"] for event in received)
    assert SECRET_STREET not in json.dumps(events, default=str)
    assert SECRET_STREET not in worker.log.read_text()


def test_inspect_never_shows_raw_arguments() -> None:
    """`celery inspect` and Flower's worker page ask a request for its `info`, and not for the safe
    form of it.
    """
    body = json.dumps(
        [[], confirm(HEX, supplier="logitrail", details={"street": SECRET_STREET}), {}]
    )
    message = Message(
        body,
        content_type="application/json",
        content_encoding="utf-8",
        headers=headers(),
        delivery_info={},
    )
    request = Request(
        message, task=_app_task(), hostname="h", headers=headers(), body=body, decoded=False
    )
    for safe in (False, True):
        assert SECRET_STREET not in json.dumps(request.info(safe=safe), default=str)
        assert HEX in json.dumps(request.info(safe=safe), default=str)


def _app_task() -> Any:
    app = Celery("shown", set_as_current=False)

    @app.task(name="shown.door")
    def door() -> None:
        """Never called."""

    app.finalize()
    return app.tasks["shown.door"]


def _quietly(listen: Callable[[], None], stopped: threading.Event) -> None:
    try:
        listen()
    except TimeoutError:
        assert stopped.is_set()


def test_an_outage_of_the_ledger_loses_no_message(server: EmbeddedRedis, tmp_path: Path) -> None:
    """Good and bad ones wait with the broker; the worker says so, and goes on by itself when the
    ledger is back.
    """
    own = EmbeddedRedis(tmp_path / "ledger", free_port("127.0.0.1"), own=True)
    own.start()
    worker = Worker(on_database(server.url, 6), tmp_path / "log", LEDGER_URL=own.url)
    ledger = connect(own.url)
    scripts = Scripts(ledger, "countersign")

    def accepted(order_id: str) -> bool:
        return bool(ledger.exists(scripts.key("relograde", "order", order_id)))

    try:
        worker.client.flushdb()
        worker.push(envelope([[], confirm("T-before"), {}]))
        worker.start()
        assert until(lambda: accepted("T-before"))
        own.stop()
        for number in range(5):
            worker.push(envelope([[], confirm(f"T-{number}"), {}]))
        worker.push(envelope([[], confirm("T-bad", amount="ten"), {}]))
        assert until(lambda: "ledger_unreachable" in worker.log.read_text())
        own.start()
        assert until(lambda: all(accepted(f"T-{number}") for number in range(5)))
        assert until(lambda: ledger.zcard(scripts.key("messages", "letters", INVALID)) == 1)
        assert until(lambda: worker.client.hlen("unacked") == 0)
        assert worker.alive()
    finally:
        worker.close()
        ledger.close()
        own.stop()
