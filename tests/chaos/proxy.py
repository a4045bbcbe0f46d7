"""A TCP proxy that can stop passing bytes while every socket stays open, as a lost route or a
frozen server does.
"""

import socket
import threading
from contextlib import suppress


class Proxy:
    """Stands before one port on loopback."""

    def __init__(self, port: int) -> None:
        self._upstream = ("127.0.0.1", port)
        self._gates = [_open()]
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def hang(self) -> None:
        """From now on nothing passes; connections are taken all the same."""
        self._gates[-1].clear()

    def lose(self) -> None:
        """Nothing passes on the connections that there are; new ones work."""
        self._gates.append(_open())
        self._gates[-2].clear()

    def recover(self) -> None:
        """What waited passes on, and everything after it."""
        for gate in self._gates:
            gate.set()

    def close(self) -> None:
        """Ends every connection."""
        self.recover()
        for sock in (self._listener, *self._sockets):
            _shut(sock)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(
                    target=self._join, args=(near, self._gates[-1]), daemon=True
                ).start()

    def _join(self, near: socket.socket, gate: threading.Event) -> None:
        """Both ways, until either end has closed."""
        with near, suppress(OSError), socket.create_connection(self._upstream) as far:
            self._sockets |= {near, far}
            back = threading.Thread(target=_pump, args=(far, near, gate), daemon=True)
            back.start()
            _pump(near, far, gate)
            back.join()
            self._sockets -= {near, far}


def _pump(source: socket.socket, target: socket.socket, gate: threading.Event) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            gate.wait()
            target.sendall(data)
    _shut(source)
    _shut(target)


def _open() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
