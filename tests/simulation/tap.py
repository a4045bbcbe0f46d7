"""A connection to the ledger's server with next to nothing between: a run is little else than calls
to it.

It stands where `redis.Redis` stands in a worker; the scripts and the server behind it are the real
ones.
"""

import hashlib
import socket
from collections.abc import Callable
from typing import Any

import redis


class Tap:
    """The few commands that a run needs, RESP2, texts in and out.

    Raises `redis.ResponseError` as redis-py does.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._data, self._at = b"", 0

    def call(self, *words: str) -> Any:
        """One command and its reply."""
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            data = word.encode()
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
        self._socket.sendall(b"".join(parts))
        self._data, self._at = b"", 0
        return self._reply()

    def _reply(self) -> Any:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self._bulk(size).decode()
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        if kind == b"-":
            raise redis.ResponseError(rest.decode())
        return rest.decode()

    def _line(self) -> bytes:
        while (end := self._data.find(b"\r\n", self._at)) < 0:
            self._more()
        line = self._data[self._at : end]
        self._at = end + 2
        return line

    def _bulk(self, size: int) -> bytes:
        end = self._at + size
        while len(self._data) < end + 2:
            self._more()
        found = self._data[self._at : end]
        self._at = end + 2
        return found

    def _more(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise redis.ConnectionError("the simulation's server is gone")
        self._data += data

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
        self._socket.close()
