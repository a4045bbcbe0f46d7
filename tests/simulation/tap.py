"""A connection to the ledger's server with next to nothing between: a run is little else than calls to it.

It stands where `redis.Redis` stands in a worker; the scripts and the server behind it are the real ones.
"""

import hashlib
import socket
from collections.abc import Callable
from typing import Any

import redis


class Tap:
    """The few commands that a run needs, RESP2, texts in and out. Raises `redis.ResponseError` as redis-py does."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def call(self, *words: str) -> Any:
        """One command and its reply."""
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            data = word.encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
        self._socket.sendall(b"".join(parts))
        return self._reply()

    def _reply(self) -> Any:
        line = self._file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self._file.read(size + 2)[:-2].decode()
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        if kind == b"-":
            raise redis.ResponseError(rest.decode())
        if kind == b"+":
            return rest.decode()
        raise redis.ConnectionError("the simulation's server is gone")

    def register_script(self, text: str) -> Callable[..., Any]:
        """Loads a script; what comes back calls it with `keys` and `args`."""
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.call("SCRIPT", "LOAD", text)

        def run(keys: list[str], args: list[str]) -> Any:
            return self.call("EVALSHA", sha, str(len(keys)), *keys, *args)

        return run

    def get(self, key: str) -> str | None:
        text: str | None = self.call("GET", key)
        return text

    def hgetall(self, key: str) -> dict[str, str]:
        flat = self.call("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def hexists(self, key: str, field: str) -> bool:
        return bool(self.call("HEXISTS", key, field))

    def close(self) -> None:
        self._file.close()
        self._socket.close()
