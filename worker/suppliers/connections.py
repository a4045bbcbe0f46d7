"""Connections that ask a gate before their first byte, and that end when the call must.

The gate, and not an exception's class, divides *nothing was sent* from *it may have happened*. Both
limits reach the connection by a context variable, since requests and urllib3 hand nothing from a
call to its socket.
"""

import http.client
import io
import socket
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import create_connection

from worker import boundaries

_PIECE = 16 * 1024
"""A TLS socket restarts its timeout for every record of this size: each gets the time left."""


class TooLate(Exception):  # noqa: N818 - it reads as what happened
    """The moment until which the ledger permitted this call has passed; nothing was sent."""


@dataclass(slots=True)
class Gate:
    """The ledger's permission for one call.

    `opened_at` is `time.monotonic()` from before the script that gave it.
    """

    opened_at: float
    send_within: float
    sent_at: float | None = None
    """`time.monotonic()` right before the first byte; None while nothing has left."""

    def sent_at_from(self, now: float) -> float | None:
        """When the first byte left, on a clock that said `now` when the gate was opened."""
        if self.sent_at is None:
            return None
        return now + (self.sent_at - self.opened_at)

    def check(self) -> None:
        """Passes and remembers when, or raises `TooLate` after `send_within` seconds.

        A call whose first byte has left goes on.
        """
        now = time.monotonic()
        if self.sent_at is None:
            if now > self.opened_at + self.send_within:
                raise TooLate
            self.sent_at = now


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What one call may take: two instants of `time.monotonic()`, and the seconds of one read."""

    gate: Gate
    connect_by: float
    end_by: float
    read_timeout: float

    def to_connect(self) -> float:
        return _left_until(min(self.connect_by, self.end_by))

    def to_read(self) -> float:
        return min(self.read_timeout, _left_until(self.end_by))


def _left_until(instant: float) -> float:
    left = instant - time.monotonic()
    if left <= 0:
        raise TimeoutError("the call has used up its time")
    return left


CURRENT: ContextVar[CallLimits] = ContextVar("limits of the call under way")
"""Unset outside a call: then a connection raises LookupError and sends nothing."""


class _TimedReader(io.RawIOBase):
    """A socket's bytes; no wait for them exceeds what remains of the call."""

    def __init__(self, sock: socket.socket, limits: CallLimits) -> None:
        self._sock = sock
        self._limits = limits
        # makefile, since it keeps the socket open until the answer is read even when the connection
        # is closed before.
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._limits.to_read())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_TimedReader(sock, CURRENT.get()))

    def begin(self) -> None:
        super().begin()
        # urllib3 logs the text of headers that it cannot parse, and a supplier may echo our key
        # there.
        self.headers.defects.clear()
        self.headers.set_payload("")


class _GatedConnection(HTTPConnection):
    response_class = _TimedResponse

    def _new_conn(self) -> socket.socket:
        """Tries each address of the host with what is left; urllib3 would give each all of it."""
        failure: OSError = socket.gaierror("no address")
        for *_, address in socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM):
            try:
                return self._open(str(address[0]), CURRENT.get())
            except OSError as error:
                failure = error
        raise failure

    def _open(self, address: str, limits: CallLimits) -> socket.socket:
        sock = create_connection(
            (address, self.port or 0), limits.to_connect(), socket_options=self.socket_options
        )
        try:
            sock.settimeout(limits.to_connect())  # what is left is for the TLS handshake
        except OSError:
            sock.close()
            raise
        return sock

    def send(self, data: Any) -> None:
        """Connects if need be, passes the gate, and only then lets bytes leave."""
        limits = CURRENT.get()
        if self.sock is None:
            self.connect()
        self.sock.settimeout(limits.to_read())
        limits.gate.check()
        for start in range(0, len(data), _PIECE):
            self.sock.settimeout(limits.to_read())
            super().send(data[start : start + _PIECE])
        boundaries.reach(boundaries.BYTES_SENT)


class _GatedTlsConnection(_GatedConnection, HTTPSConnection):
    pass


class _GatedPool(HTTPConnectionPool):
    ConnectionCls = _GatedConnection


class _GatedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _GatedTlsConnection


class GatedAdapter(HTTPAdapter):
    """Mounts the connections above into a requests session; never retries."""

    def __init__(self, pool_size: int) -> None:
        super().__init__(pool_maxsize=pool_size, max_retries=0, pool_block=False)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _GatedPool, "https": _GatedTlsPool}
