"""The Celery app (found by `celery -A worker`); each option beside Celery's default has its reason.

The broker is a work queue and nothing more: no countdowns, no results, JSON only. The ledger knows
when an order is looked at again, so a message that is lost, doubled or late changes nothing.
"""

import atexit
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery, signals
from kombu import Exchange, Queue
from kombu.exceptions import ChannelError, OperationalError

from worker.process import broker, logs
from worker.process.consumer import Events
from worker.process.health import HUNG, STOPPING, Progress, Watch, away, queue_name
from worker.process.loops import Loop
from worker.service import service
from worker.settings import SettingsError
from worker.turns.dispatcher import Dispatcher

DOORS_QUEUE = "orders"
DOORBELL_EXPIRES = 30
"""Seconds after which a doorbell that nobody heard is dropped: the ledger rings again after five.
"""
log = logging.getLogger("countersign.worker")

try:
    settings = service().settings
except SettingsError as error:
    sys.exit(f"countersign: {error}")

broker.install()
broker_url, master = broker.address(settings.redis_url)
app = Celery(
    "countersign", include=["tasks.orders", "tasks.webhooks", "tasks.outcomes", "tasks.workers"]
)
app.conf.update(
    broker_url=broker_url,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        **master,
        # Longer than the longest call, short enough that a killed worker's messages come back soon.
        "visibility_timeout": 180,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 30,
        "unacked_restore_limit": 1000,
        # A publish on a dead link must not hang for ever.
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "priority_steps": [0],
    },
    task_queues=[
        Queue(name, Exchange(name), routing_key=name)
        for name in (DOORS_QUEUE, "relograde", "logitrail")
    ],
    task_default_queue=DOORS_QUEUE,
    task_default_exchange=DOORS_QUEUE,
    task_default_routing_key=DOORS_QUEUE,
    task_create_missing_queues=False,
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=True,
    # A failure must not loop: the ledger decides what comes next.
    task_acks_on_failure=True,
    task_acks_on_timeout=True,
    task_publish_retry_policy={
        "max_retries": 2,
        "interval_start": 0.1,
        "interval_step": 0.2,
        "interval_max": 0.5,
    },
    task_repr_maxlevels=1,
    # Calls block for up to 30 s: threads cost kilobytes, processes megabytes.
    worker_pool="threads",
    worker_concurrency=settings.countersign_concurrency,
    worker_prefetch_multiplier=1,
    worker_eta_task_limit=200,
    # A supplier call is never cut in the middle; its fence makes a second start harmless.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_consumer="worker.process.consumer:Consumer",
    worker_send_task_events=True,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    timezone="UTC",
    enable_utc=True,
)
app.steps["consumer"].add(Events)
progress = Progress(settings.countersign_prefix, os.getpid())
outcome_queue = Queue(
    settings.outcome_queue, Exchange(settings.outcome_queue), routing_key=settings.outcome_queue
)
_loops: list[Loop] = []


def ring(supplier: str, order_ids: list[str]) -> None:
    """Rings doorbells.

    A lost one is rung again, so a broker that is away is only reported.
    """
    try:
        with _together() as producer:
            for order_id in order_ids:
                app.send_task(
                    "orders.step",
                    kwargs={"supplier": supplier, "order_id": order_id},
                    queue=supplier,
                    expires=DOORBELL_EXPIRES,
                    producer=producer,
                    retry=False,
                )
    except OperationalError as error:
        log.warning("doorbells_not_rung", extra={"fields": {"error": type(error).__name__}})


def publish_outcomes(bodies: list[dict[str, Any]]) -> None:
    """Sends outcomes to the web app's task, all or none. Flower shows their ids and no more.

    `send_task` would look up a route and make a result for every message.
    """
    name, declare = settings.outcome_task, [outcome_queue]
    with _together() as producer:
        for body in bodies:
            message = app.amqp.create_task_message(
                body["id"], name, (), {"outcome": body}, argsrepr="()", kwargsrepr=body["id"]
            )
            app.amqp.send_task_message(
                producer, name, message, queue=outcome_queue, declare=declare, retry=False
            )
            declare = []


@contextmanager
def _together() -> Iterator[Any]:
    """A producer whose messages leave in one round trip, at the end.

    It makes no retries, since the ledger sends again.
    """
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        yield producer


def backlog() -> int:
    """Messages that wait: outcomes in the web app's queue, or receipts in ours; 0 if unknown."""
    return max(_waiting(outcome_queue), _waiting(app.amqp.queues[DOORS_QUEUE]))


def _waiting(queue: Queue) -> int:
    try:
        with app.pool.acquire() as connection:
            return int(queue(connection.default_channel).queue_declare(passive=True).message_count)
    except (OperationalError, ChannelError):
        return 0


def beat() -> bool:
    """Sends this worker a message; False when the broker is away."""
    try:
        queue = Queue(queue_name(os.getpid()), Exchange(""), routing_key=queue_name(os.getpid()))
        app.send_task("workers.beat", queue=queue, expires=DOORBELL_EXPIRES)
    except OperationalError as error:
        return not away(error)
    return True


@signals.setup_logging.connect
def configure_logs(loglevel: int | None = None, **kwargs: Any) -> None:
    """Our one format for every line, instead of Celery's."""
    logs.configure(loglevel or logging.INFO)


@signals.celeryd_init.connect
def name_worker(instance: Any, **kwargs: Any) -> None:
    """Several workers of one machine need names of their own, or Flower shows them as one."""
    name, _, host = instance.hostname.partition("@")
    if name == "celery":
        instance.hostname = f"worker-{os.getpid()}@{host}"


@signals.worker_ready.connect
def start_loops(sender: Any, **kwargs: Any) -> None:
    """Starts dispatching, telling and beating. A worker that cannot must not go on without."""
    try:
        _start_loops(sender)
    except Exception:
        log.critical("worker_cannot_start", exc_info=True)
        os._exit(HUNG)


def _start_loops(sender: Any) -> None:
    here = service()
    threads = here.threads
    dispatcher = Dispatcher(
        here.ledger, here.lanes, ring, here.look_at_server, start=threads.start, page=threads.page
    )
    teller = here.teller(publish_outcomes, backlog)

    sender.add_task_queue(
        queue_name(os.getpid()), exchange="", exchange_type="direct", auto_delete=True
    )
    for supplier in here.policies:
        here.ledger.learn_spellings(supplier)
    progress.begin()
    atexit.register(progress.forget)
    watch = Watch(progress, beat)
    _loops[:] = [
        Loop("dispatcher", dispatcher.turn),
        Loop("beat", watch.beat),
        Loop("health", watch.judge),
    ]
    _loops.extend(Loop("accounts", look.turn) for look in here.balance_looks)
    _loops.extend(Loop("known", look.turn) for look in here.known_looks)
    if settings.channels:
        _loops.append(Loop("teller", teller.turn))
    for loop in _loops:
        loop.start()


@signals.worker_shutting_down.connect
def stop_loops(**kwargs: Any) -> None:
    """A stopping worker rings no more; it finishes its calls and reports healthy until then."""
    for loop in _loops:
        loop.stop()
    if _loops:
        progress.stop(
            max(limits.call_budget for limits in service().ledger.limits.values()) + STOPPING
        )
