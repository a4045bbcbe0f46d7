"""Reads the broker's queues so that nothing on them can end the worker or vanish.

Celery's transport parses an entry after it has popped it. An entry that is not its envelope raises
there: the entry is lost, and the process ends. Here such an entry is first wrapped into an
envelope, and the consumer keeps it as a letter.
"""

import base64
import binascii
import json
import uuid
from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel as RedisChannel
from kombu.transport.redis import SentinelChannel as RedisSentinelChannel
from kombu.transport.redis import SentinelTransport as RedisSentinelTransport
from kombu.transport.redis import Transport as RedisTransport

from worker import servers

UNREADABLE = "application/octet-stream"
"""Content type of what was wrapped."""


def envelope(entry: bytes | str, queue: str) -> bytes | str:
    """The entry itself when it is one of the transport's envelopes, else an envelope around it."""
    try:
        if _is_envelope(json.loads(entry)):
            return entry
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raw = entry
    if not isinstance(raw, bytes):
        raw = raw.encode("utf-8", "surrogateescape")
    properties = {
        "delivery_tag": str(uuid.uuid4()),
        "delivery_info": {"exchange": queue, "routing_key": queue},
        "delivery_mode": 2,
        "body_encoding": "base64",
    }
    body = base64.b64encode(raw).decode()
    return json.dumps({"body": body, "content-type": UNREADABLE, "content-encoding": "binary",
    "headers": {},
                       "properties": properties})  # fmt: skip


def _is_envelope(found: Any) -> bool:
    properties = found["properties"]
    info = properties["delivery_info"]
    body = found.get("body")
    try:
        if properties.get("body_encoding") == "base64" and body:
            base64.b64decode(body, validate=True)
    except binascii.Error:
        return False
    readable = isinstance(found.get("headers") or {}, dict) and isinstance(body or "", str)
    return readable and isinstance(info, dict) and isinstance(properties["delivery_tag"], str)


class _Sturdy:
    """What our channels do better than the stock ones.

    BRPOP answers with envelopes alone; a lost connection is reported as one; a client is made once
    for a pool, since one for every command would cost more than the command.
    """

    sep: str
    connection: Any
    pool: Any
    _shared: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]
        if self._shared is None or self._shared.connection_pool is not self.pool:
            self._shared = super()._create_client()  # type: ignore[misc]
        return self._shared

    def _get_pool(self, asynchronous: bool = False) -> Any:
        # A thread that acknowledges on a channel whose connection was just given up would end the
        # whole worker: the stock channel then trips over the connection that is not there any more,
        # which nobody expects.
        if self.connection is None or self.connection.client is None:
            raise redis.ConnectionError("the connection to the broker was given up")
        return super()._get_pool(asynchronous)  # type: ignore[misc]

    def _get_client(self) -> Any:
        sep = self.sep

        class Reader(super()._get_client()):  # type: ignore[misc]
            def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
                answer = super().parse_response(connection, command_name, **options)
                if command_name != "BRPOP" or not answer:
                    return answer
                queue = answer[0].decode() if isinstance(answer[0], bytes) else answer[0]
                return answer[0], envelope(answer[1], queue.rsplit(sep, 1)[0])

        return Reader


class Channel(_Sturdy, RedisChannel):
    """The stock channel to one server."""


class SentinelChannel(_Sturdy, RedisSentinelChannel):
    """The stock channel to the master that Sentinels name."""


class Transport(RedisTransport):
    """The stock transport with our channel."""

    Channel = Channel


class SentinelTransport(RedisSentinelTransport):
    """The same over Sentinels."""

    Channel = SentinelChannel


def install() -> None:
    """Makes `redis://`, `rediss://` and `sentinel://` mean these transports."""
    TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "worker.process.broker:Transport"
    TRANSPORT_ALIASES["sentinel"] = "worker.process.broker:SentinelTransport"


def address(url: str) -> tuple[str, dict[str, str]]:
    """(broker URL, transport options) as kombu wants them, for a REDIS_URL."""
    found = servers.group(url)
    if found:
        return (found.broker_url, {"master_name": found.master})
    return (url, {})
