"""A server of raw sockets on loopback that can misbehave on the wire in every way the tests
need.
"""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

Behaviour = Callable[["Visit"], bool]
"""Answers one request; True keeps the connection."""


class Visit:
    """One request as it came, and the socket to answer it on."""

    def __init__(self, server: "WireServer", sock: socket.socket, request: bytes) -> None:
        self.server, self.sock, self.request = server, sock, request

    def drip(self, data: bytes, pause: float) -> None:
        for byte in data:
            self.sock.sendall(bytes([byte]))
            if self.server.stopped.wait(pause):
                return

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class WireServer:
    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.behave, self._tls = behave, tls
        self.requests: list[bytes] = []
        self.received = b""
        self.connections = 0
        self.stopped = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self.stopped.set()
        for sock in (self._listener, *self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> "WireServer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self.stopped.is_set():
                sock, _ = self._listener.accept()
                self.connections += 1
                self._sockets.append(sock)
                thread = threading.Thread(target=self._serve, args=(sock,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError), sock:
            if self._tls is None:
                self._converse(sock)
            else:
                with self._tls.wrap_socket(sock, server_side=True) as wrapped:
                    self._converse(wrapped)

    def _converse(self, sock: socket.socket) -> None:
        while (request := self._read(sock)) is not None:
            self.requests.append(request)
            if not self.behave(Visit(self, sock, request)):
                return

    def _read(self, sock: socket.socket) -> bytes | None:
        data = b""
        while not _whole(data):
            piece = sock.recv(65536)
            self.received += piece
            if not piece:
                return None
            data += piece
        return data


def _whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    sizes = [
        line.split(b":")[1]
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    ]
    return bool(end) and len(body) >= int(sizes[0] if sizes else 0)


def http(status: int, body: bytes | str | dict | list = b"", **headers: str) -> bytes:
    """A whole response; a dict or list becomes JSON, and `retry_after="5"` the header of that
    name.
    """
    raw = (
        json.dumps(body).encode()
        if isinstance(body, dict | list)
        else body.encode()
        if isinstance(body, str)
        else body
    )
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(raw)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


def says(*responses: bytes) -> Behaviour:
    """Answer with each in turn, the last one for ever."""
    left = list(responses)

    def behave(visit: Visit) -> bool:
        visit.sock.sendall(left.pop(0) if len(left) > 1 else left[0])
        return True

    return behave
