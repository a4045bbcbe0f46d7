"""What Celery does with a message before a task sees it: nothing unreadable is dropped, nothing personal is shown."""

import base64
import logging
from typing import Any

import redis
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.request import Request as CeleryRequest

from worker import boundaries
from worker.doors import Refused
from worker.service import service

log = logging.getLogger("countersign.consumer")
SHOWN = ("supplier", "order_id", "id")
"""The arguments that Flower, events and logs may show."""
SHOWN_LENGTH = 64


class Request(CeleryRequest):
    """A request whose arguments are shown by supplier and order id only; `details` are personal data."""

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


class Consumer(CeleryConsumer):
    """Keeps what Celery would log and drop: each such message becomes a dead letter, whole."""

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
        try:
            task = str((message.headers or {}).get("task", ""))
            service().doors.refuse(Refused(reason, detail), task, (), _kwargs(message) or _raw(message))
        except redis.RedisError as error:
            log.error("message_not_kept", extra={"fields": {"error": type(error).__name__}})
            message.requeue()
        else:
            message.ack_log_error(log, self.connection_errors)


def _payload(message: Any) -> Any:
    try:
        return message.payload
    except Exception:
        return None


def _kwargs(message: Any) -> dict[str, Any] | None:
    payload = _payload(message)
    if isinstance(payload, list) and len(payload) > 1 and isinstance(payload[1], dict):
        return payload[1]
    return None


def _raw(message: Any) -> dict[str, str]:
    body = message.body
    raw = body if isinstance(body, bytes) else str(body).encode()
    return {"body": base64.b64encode(raw).decode()}


def _shown(message: Any) -> str:
    given = _kwargs(message) or {}
    shown = {
        name: value
        for name, value in given.items()
        if name in SHOWN and isinstance(value, str) and len(value) <= SHOWN_LENGTH
    }
    return repr(shown)
