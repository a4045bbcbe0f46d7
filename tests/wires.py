"""What the wire can do to one call: hosts that are not there, connections that break, answers that
are none.
"""

import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from wire_server import Behaviour, Visit, WireServer, http, says

# --- behaviours of a server that has read the request ---------------------------------------------


def resets(visit: Visit) -> bool:
    visit.reset()
    return False


def hangs_up(visit: Visit) -> bool:
    return False


def never_answers(visit: Visit) -> bool:
    return visit.server.stopped.wait(10)


def drips_status(visit: Visit) -> bool:
    visit.drip(http(200, "x" * 100), 0.05)
    return False


def drips_headers(visit: Visit) -> bool:
    visit.sock.sendall(b"HTTP/1.1 200 OK\r\n")
    visit.drip(b"X-Slow: 1\r\n" * 50, 0.02)
    return False


def drips_continue(visit: Visit) -> bool:
    visit.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 50, 0.02)
    return False


def drips_body(visit: Visit) -> bool:
    visit.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n")
    visit.drip(b"x" * 200, 0.02)
    return False


def drips_chunks(visit: Visit) -> bool:
    visit.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    visit.drip(b"1\r\nx\r\n" * 100, 0.02)
    return False


def speaks_nonsense(visit: Visit) -> bool:
    visit.sock.sendall(b"key-0123456789\r\n\r\n")
    return False


def cuts(response: bytes) -> Behaviour:
    """Sends this much and closes the connection."""

    def behave(visit: Visit) -> bool:
        visit.sock.sendall(response)
        return False

    return behave


stops_short = cuts(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"trx":')

# --- certificates ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate that nobody trusts unless told."""

    cert: Path
    key: Path

    def serving(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context


def make_certificate(folder: Path, name: str) -> Certificate:
    """One for `name`, such as `IP:127.0.0.1`."""
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout "
        f"{made.key} -out {made.cert}"
    )
    subprocess.run(
        [*command.split(), "-addext", f"subjectAltName={name}"], check=True, capture_output=True
    )
    return made


@dataclass(frozen=True)
class Certificates:
    """One for the address of the tests' servers, and one for somebody else's."""

    ours: Certificate
    others: Certificate


# --- wires: all that one call can meet ------------------------------------------------------------


@dataclass(frozen=True)
class Wire:
    """`place` opens it and gives its base URL. `slow`: it takes longer than any call may last.
    `trusted`: the client is told to trust the server's certificate.
    """

    place: Callable[[Certificates], AbstractContextManager[str]]
    slow: bool = False
    trusted: Callable[[Certificates], Certificate] | None = None


def serves(behave: Behaviour, *, slow: bool = False) -> Wire:
    """A server of plain HTTP."""

    @contextmanager
    def place(_: Certificates) -> Iterator[str]:
        with WireServer(behave) as server:
            yield server.url

    return Wire(place, slow)


def answers(status: int, body: bytes | str | dict | list = b"", **headers: str) -> Wire:
    """A server that gives this answer."""
    return serves(says(http(status, body, **headers)))


def encrypts(
    behave: Behaviour,
    pick: Callable[[Certificates], Certificate],
    *,
    trusted: bool,
    scheme: str = "https",
) -> Wire:
    """A server of TLS, spoken to as `scheme` says."""

    @contextmanager
    def place(certificates: Certificates) -> Iterator[str]:
        with WireServer(behave, pick(certificates).serving()) as server:
            yield server.url.replace("https", scheme)

    return Wire(place, trusted=pick if trusted else None)


def accepts(handle: Callable[[socket.socket], None], scheme: str, *, slow: bool = False) -> Wire:
    """A server that speaks no HTTP: `handle` has the raw socket, which is closed afterwards."""

    @contextmanager
    def place(_: Certificates) -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = Thread(target=_accept, args=(listener, handle))
            thread.start()
            yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    return Wire(place, slow)


def _accept(listener: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    with suppress(OSError):
        while True:
            sock, _ = listener.accept()
            with sock:
                handle(sock)


def _reset_unread(sock: socket.socket) -> None:
    sock.recv(1, socket.MSG_PEEK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _close_unread(sock: socket.socket) -> None:
    sock.recv(65536)


def _speak_plainly(sock: socket.socket) -> None:
    sock.recv(65536)
    sock.sendall(http(400, "this is not TLS"))


@contextmanager
def _no_such_host(_: Certificates) -> Iterator[str]:
    yield "http://name.invalid:1"


@contextmanager
def _refuses(_: Certificates) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@contextmanager
def _takes_nobody(_: Certificates) -> Iterator[str]:
    """A full backlog drops our greeting."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _number in range(4):
            crowd = stack.enter_context(socket.socket())
            crowd.setblocking(False)
            crowd.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def _shakes_no_hands(_: Certificates) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


NO_SUCH_HOST = Wire(_no_such_host)
REFUSES = Wire(_refuses)
TAKES_NOBODY = Wire(_takes_nobody, slow=True)
SHAKES_NO_HANDS = Wire(_shakes_no_hands, slow=True)
SPEAKS_PLAINLY = accepts(_speak_plainly, "https")
RESETS_HANDSHAKE = accepts(_reset_unread, "https")
LEAVES_HANDSHAKE = accepts(_close_unread, "https")
RESETS_UNREAD = accepts(_reset_unread, "http")
UNTRUSTED = encrypts(says(http(200)), lambda known: known.ours, trusted=False)
WRONG_HOST = encrypts(says(http(200)), lambda known: known.others, trusted=True)
EXPECTS_TLS = encrypts(says(http(200)), lambda known: known.ours, trusted=True, scheme="http")
