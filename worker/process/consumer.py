"""What Celery does with a message before a task sees it.

Nothing unreadable is dropped, and nothing personal is shown.
"""

import base64
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import redis
from celery import bootsteps
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.consumer.events import Events as CeleryEvents
from celery.worker.request import Request as CeleryRequest

from worker import boundaries
from worker.service import service
from worker.web_app.refusals import Refused

log = logging.getLogger("countersign.consumer")
SHOWN = ("supplier", "order_id", "id")
"""The arguments that Flower, events and logs may show; they fit a column of Flower's table."""
SHOWN_LENGTH = 64
EVENTS_EVERY = 0.5
"""Seconds between two publications of events."""
EVENTS_TOGETHER = 200
"""Events that go at once, without waiting for that."""
ETA_AHEAD = timedelta(hours=1)
"""A message that asks to be held longer than this is refused: it would sit in one worker's memory.
"""


class Request(CeleryRequest):
    """A request that shows its supplier and order id alone: `details` are personal data."""

    def __init__(self, message: Any, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self._argsrepr = "()"
        self._kwargsrepr = _shown(message)

    def acknowledge(self) -> None:
        """Tells the broker that the message is done."""
        super().acknowledge()
        boundaries.reach(boundaries.MESSAGE_ACKNOWLEDGED)

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What `inspect` and Flower's worker page show: never the raw arguments."""
        return {**super().info(safe=True), "args": self._argsrepr, "kwargs": self._kwargsrepr}


class Fault(NamedTuple):
    """Why a message is refused: the reason, and the field at fault."""

    reason: str
    detail: str


NO_TASK = Fault("unreadable_message", "headers: Not a task message.")


class Consumer(CeleryConsumer):
    """Keeps each message that Celery would drop or die of as a dead letter, whole."""

    def on_send_event_buffered(self) -> None:
        """Celery would publish after every event; `Events` does it now and then."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Celery's handler behind a check of the message's shape."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> None:
            fault = _fault(message)
            if fault:
                return self._keep(message, *fault)
            try:
                handle(message)
            except self.connection_errors:
                raise
            except Exception:
                log.exception("message_not_handled")
                return self._keep(
                    message, "unreadable_message", "message: Not one that Celery can take."
                )

        return on_task_received

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._keep(message, "unreadable_message", "body: Not JSON.")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._keep(message, "unreadable_message", "headers: Not a task message.")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._keep(message, "invalid_message", "task: Unknown task.")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._keep(message, "unreadable_message", "body: Not a task message.")

    def _keep(self, message: Any, reason: str, detail: str) -> None:
        """Acknowledged only when the ledger has it; otherwise the broker delivers it again."""
        task = (message.headers or {}).get("task", "")
        args, kwargs = _arguments(message)
        raw = None if kwargs else _raw(message)
        try:
            service().doors.refuse(Refused(reason, detail), str(task)[:100], args, kwargs, raw=raw)
        except redis.RedisError as error:
            log.error("message_not_kept", extra={"fields": {"error": type(error).__name__}})
            time.sleep(0.5)
            message.requeue()
        else:
            message.ack_log_error(log, self.connection_errors)


class Events(bootsteps.StartStopStep):
    """Publishes Flower's events together: singly, each would cost as much as a task."""

    requires = (CeleryEvents,)

    def start(self, c: Any) -> None:
        """Begins again with each connection."""
        self.stop(c)
        c.event_dispatcher.buffer_limit = EVENTS_TOGETHER
        c.publishing_events = c.timer.call_repeatedly(EVENTS_EVERY, c._flush_events)

    def stop(self, c: Any) -> None:
        """What is buffered by then is sent by Celery's own step."""
        if getattr(c, "publishing_events", None):
            c.publishing_events.cancel()


def _fault(message: Any) -> Fault | None:
    """Why Celery would choke on a message; None when the message may be handed over."""
    headers, payload = message.headers or {}, _payload(message)
    if message.content_type != "application/json" or payload is None:
        return Fault("unreadable_message", "body: Not JSON.")
    if "task" not in headers:
        # Protocol 1 keeps the task's name in the body.
        if isinstance(payload, dict):
            return None
        return NO_TASK
    if not isinstance(headers["task"], str):
        return Fault("invalid_message", "task: Unknown task.")
    if not isinstance(headers.get("id"), str):
        return Fault("unreadable_message", "headers: id must be text.")
    if not _is_call(payload):
        return Fault("unreadable_message", "body: Not [args, kwargs, embed].")
    if not _comes_soon(headers):
        return Fault("invalid_message", "eta: A message is delivered at once, or within an hour.")
    return None


def _is_call(payload: Any) -> bool:
    """True for the body of protocol 2: [args, kwargs, embed]."""
    if not isinstance(payload, list | tuple) or len(payload) != 3:
        return False
    args, kwargs, embed = payload
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict):
        return False
    return isinstance(embed, dict | None)


def _comes_soon(headers: Mapping[str, Any]) -> bool:
    limits = headers.get("timelimit") or []
    return isinstance(limits, list | tuple) and _eta_is_near(headers.get("eta"))


def _eta_is_near(eta: Any) -> bool:
    if eta is None:
        return True
    try:
        moment = datetime.fromisoformat(eta)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment < datetime.now(UTC) + ETA_AHEAD
    except (TypeError, ValueError, OverflowError):
        return False


def _payload(message: Any) -> Any:
    try:
        return message.payload
    except Exception:
        return None


def _arguments(message: Any) -> tuple[Any, dict[str, Any]]:
    """The positional and keyword arguments, as far as they can be read."""
    if message.content_type != "application/json":
        return [], {}
    payload = _payload(message)
    if isinstance(payload, dict) and isinstance(payload.get("kwargs"), dict):
        return payload.get("args") or [], payload["kwargs"]
    if not isinstance(payload, list) or len(payload) < 2:
        return [], {}
    args, kwargs = payload[:2]
    if not isinstance(kwargs, dict):
        return [], {}
    if not isinstance(args, list):
        args = []
    return args, kwargs


def _raw(message: Any) -> str:
    body = message.body
    if not isinstance(body, bytes):
        body = str(body).encode("utf-8", "replace")
    return base64.b64encode(body).decode()


def _shown(message: Any) -> str:
    _, given = _arguments(message)
    shown = [given.get(name) for name in SHOWN]
    return "/".join(
        value for value in shown if isinstance(value, str) and len(value) <= SHOWN_LENGTH
    )
