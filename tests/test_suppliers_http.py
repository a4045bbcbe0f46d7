"""One HTTP call over real sockets: whatever the wire does, an answer comes out in time and tells
sent from not sent.
"""

import gzip
import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime

import pytest
from wire_server import Visit, WireServer, http, says
from wires import (
    drips_body,
    drips_chunks,
    drips_headers,
    drips_status,
    hangs_up,
    never_answers,
    resets,
    speaks_nonsense,
    stops_short,
)

from worker.rules.answers import Unavailable, Unknown
from worker.suppliers.http import BODY_MAX, Gate, Http, HttpReply, retry_after, segment

TIMEOUT = 0.2
SLACK = 1.0
"""For a busy machine; what drips here would go on for longer."""
SECRET = "key-0123456789"


def a_gate(send_within=5.0):
    return Gate(opened_at=time.monotonic(), send_within=send_within)


@pytest.fixture
def client():
    """As patient as a busy machine needs."""
    with closing(Http({"Authorization": f"Bearer {SECRET}"}, 5.0, 5.0, pool_size=8)) as patient:
        yield patient


@pytest.fixture
def hasty():
    """Gives up soon, for what takes too long."""
    with closing(Http({"Authorization": f"Bearer {SECRET}"}, TIMEOUT, TIMEOUT)) as impatient:
        yield impatient


@pytest.fixture
def certificate(certificates):
    return certificates.ours


@pytest.fixture
def tls(certificate):
    return certificate.serving()


LOST = Unknown("connection lost", outage=True)
SLOW = Unknown("read timeout", outage=True)
TOO_LATE = Unavailable("too late", late=True)


@pytest.mark.parametrize(
    ("behave", "answer"),
    [
        (resets, LOST),
        (hangs_up, LOST),
        (never_answers, SLOW),
        (drips_status, SLOW),
        (drips_headers, SLOW),
        (drips_body, SLOW),
        (drips_chunks, SLOW),
        (stops_short, LOST),
        (speaks_nonsense, LOST),
    ],
)
def test_after_the_first_byte_every_failure_is_unknown_and_none_outlasts_the_budget(
    hasty, behave, answer
):
    """Reset, silence, drip or half an answer: it may have happened, and we know within connect +
    read timeout.
    """
    gate = a_gate()
    with WireServer(behave) as server:
        started = time.monotonic()
        assert hasty.call("PATCH", server.url, gate) == answer
        assert time.monotonic() - started < 2 * TIMEOUT + SLACK
        assert gate.sent_at is not None
        assert len(server.requests) == 1


def test_a_refused_connection_is_unavailable(client):
    """Nobody listens there: nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    gate = a_gate()
    assert client.call("PATCH", f"http://127.0.0.1:{port}", gate) == Unavailable("connect refused")
    assert gate.sent_at is None


def test_a_connection_that_is_not_taken_is_unavailable(hasty):
    """A full backlog drops our greeting: connect timeout, nothing was sent."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            crowd = stack.enter_context(socket.socket())
            crowd.setblocking(False)
            crowd.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert hasty.call("PATCH", url, a_gate()) == Unavailable("connect timeout")


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("http://name.invalid:1", "dns"),
        ("http://", "not sendable"),
        ("ftp://127.0.0.1", "not sendable"),
        ("http://[::1", "not sendable"),
    ],
)
def test_a_host_that_cannot_be_asked_is_unavailable(client, url, detail):
    """Neither a name without an address nor a broken URL raises."""
    assert client.call("GET", url, a_gate()) == Unavailable(detail)


def test_a_handshake_that_never_ends_is_unavailable(hasty):
    """TLS counts as connecting: a server that accepts and is silent was sent nothing of the
    request.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gate, started = a_gate(), time.monotonic()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        assert hasty.call("PATCH", url, gate) == Unavailable("connect timeout")
        assert time.monotonic() - started < 2 * TIMEOUT + SLACK
        assert gate.sent_at is None


def test_an_untrusted_certificate_is_unavailable(client, tls):
    """Verification is on, and it happens before the request leaves."""
    with WireServer(says(http(200)), tls) as server:
        assert client.call("PATCH", server.url, a_gate()) == Unavailable("tls")
        assert server.requests == []


def test_a_trusted_certificate_lets_the_request_pass_the_gate(certificate, tls):
    """Over TLS the same hook stands before the first byte of the request."""
    gate = a_gate()
    with (
        WireServer(says(http(200, "yes")), tls) as server,
        closing(_trusting(certificate)) as client,
    ):
        assert client.call("PATCH", server.url, gate).body == b"yes"
        assert gate.sent_at is not None


def test_a_drip_over_tls_ends_in_time(certificate, tls):
    """The budget holds above the encryption too."""
    with (
        WireServer(drips_body, tls) as server,
        closing(Http({}, 0.5, 0.3, ca_file=str(certificate.cert))) as client,
    ):
        started = time.monotonic()
        assert client.call("PATCH", server.url, a_gate()) == SLOW
        assert time.monotonic() - started < 0.8 + SLACK


def test_a_late_gate_sends_nothing_over_tls(certificate, tls):
    """The handshake took place; not one byte of the request followed it."""
    gate = a_gate(send_within=0.0)
    with WireServer(says(http(200)), tls) as server, closing(_trusting(certificate)) as client:
        assert client.call("PATCH", server.url, gate) == TOO_LATE
        assert (server.received, server.connections, gate.sent_at) == (b"", 1, None)


def _trusting(certificate):
    return Http({}, 5.0, 5.0, ca_file=str(certificate.cert))


def test_a_late_gate_sends_nothing_on_a_kept_connection(client):
    """A connection that is open already is no way round the gate."""
    with WireServer(says(http(200))) as server:
        assert client.call("GET", server.url, a_gate()).status == 200
        received = server.received
        assert client.call("PATCH", server.url, a_gate(send_within=-1.0)) == TOO_LATE
        assert server.received == received


def test_each_thread_passes_its_own_gate(client):
    """One client serves many threads; the late ones among them send nothing."""
    with WireServer(says(http(200))) as server, ThreadPoolExecutor(8) as threads:
        gates = [a_gate(send_within=5.0 if number % 2 else -1.0) for number in range(40)]
        answers = list(threads.map(lambda gate: client.call("PATCH", server.url, gate), gates))
        assert [isinstance(answer, HttpReply) for answer in answers] == [False, True] * 20
        assert [gate.sent_at is not None for gate in gates] == [False, True] * 20
        assert len(server.requests) == 20


def test_a_connection_used_outside_a_call_sends_nothing(client):
    """Without the limits of a call there is no permission to send."""
    with WireServer(says(http(200))) as server, pytest.raises(LookupError):
        client._session.get(server.url, timeout=TIMEOUT)
    assert server.received == b""


def test_connections_are_reused(client):
    """Three calls, one connection; each passes its own gate."""
    gates = [a_gate() for _ in range(3)]
    with WireServer(says(http(200, "{}"))) as server:
        assert [client.call("GET", server.url, gate).status for gate in gates] == [200] * 3
        assert server.connections == 1
    sent = [gate.sent_at for gate in gates]
    assert sent == sorted(sent)


def test_a_connection_that_the_server_closed_is_replaced(client):
    """A kept connection that has ended is noticed before anything is sent on it."""

    def once(visit: Visit) -> bool:
        visit.sock.sendall(http(200))
        return False

    with WireServer(once) as server:
        for _ in range(2):
            assert client.call("GET", server.url, a_gate()).status == 200
            time.sleep(0.05)
        assert server.connections == 2


def test_a_redirect_is_not_followed(client):
    """Our key goes to no other place, and the redirect's body is not swallowed whole."""
    with WireServer(says(http(302, "x" * 2 * BODY_MAX, location="/elsewhere"))) as server:
        reply = client.call("GET", server.url, a_gate())
        assert (reply.status, reply.body, len(server.requests)) == (302, None, 1)


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (http(200, b"x" * BODY_MAX), b"x" * BODY_MAX),
        (http(200, b"x" * (BODY_MAX + 1)), None),
        (http(200, gzip.compress(b"zipped", mtime=0), content_encoding="gzip"), b"zipped"),
        (http(200, gzip.compress(b"x" * 8 * BODY_MAX, mtime=0), content_encoding="gzip"), None),
        (http(200, b"not zipped", content_encoding="gzip"), None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
    ],
)
def test_a_body_is_bounded(response, body):
    """One mebibyte and no more, unpacked; what cannot be unpacked is unusable, and the status still
    counts.
    """
    with WireServer(says(response)) as server, closing(Http({}, 2.0, 2.0)) as client:
        assert client.call("GET", server.url, a_gate()) == HttpReply(200, body=body)


def test_the_environment_changes_nothing(client, monkeypatch, tmp_path):
    """Neither a .netrc nor a proxy variable touches our credentials or our way."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with WireServer(says(http(200))) as server:
        assert client.call("GET", server.url, a_gate()).status == 200
        assert f"Authorization: Bearer {SECRET}".encode() in server.requests[0]


def test_what_a_request_says(client):
    """No compression, our name, no cookie from an earlier answer, and a content type only with a
    document.
    """
    with WireServer(says(http(200, set_cookie="a=b; Path=/"))) as server:
        client.call("PATCH", f"{server.url}/x", a_gate())
        client.call("POST", f"{server.url}/x", a_gate(), b'{"a": 1}')
        plain, document = server.requests
    assert plain.startswith(b"PATCH /x HTTP/1.1\r\n")
    assert b"\r\nAccept-Encoding: identity\r\n" in plain
    assert b"\r\nUser-Agent: countersign/" in plain
    assert b"Content-Type" not in plain
    assert b"\r\nContent-Length: 0\r\n" in plain
    assert b"\r\nContent-Type: application/json\r\n" in document
    assert document.endswith(b'\r\n\r\n{"a": 1}')
    assert b"Cookie" not in document


def test_a_large_document_arrives_whole(client):
    """It is sent in pieces, under one gate."""
    document = b"x" * 100_000
    with WireServer(says(http(200))) as server:
        assert client.call("POST", server.url, a_gate(), document).status == 200
        assert server.requests[0].endswith(document)


def test_nothing_secret_is_logged(client, caplog):
    """Not even when a supplier echoes our key in headers that cannot be parsed."""
    caplog.set_level(logging.INFO)
    echo = f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nno colon {SECRET}\r\n\r\n".encode()
    for behave in (says(echo), speaks_nonsense, resets):
        with WireServer(behave) as server:
            answer = client.call("PATCH", server.url, a_gate())
            assert SECRET not in repr(answer)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "document", [b"", b"<html>", b"\xff\xfe\xfa", b"[" * 200_000, b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_what_is_not_json_is_none(document):
    """However it is broken, reading it raises nothing."""
    assert HttpReply(200, body=document).json() is None


NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("0", 0.0),
        ("30", 30.0),
        (" 30 ", 30.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("86400000", 86400000.0),
        ("9" * 400, None),
        ("1e3", None),
        ("nan", None),
        ("Sun, 22 Nov 2026 12:01:00 GMT", 60.0),
        ("Sun, 22 Nov 2026 12:01:00 -0000", 60.0),
        ("Sun, 22 Nov 2026 13:01:00 +0100", 60.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 99 Nov 2026 11:00:00 GMT", None),
        ("Sun, 22 Nov 99999 11:00:00 GMT", None),
    ],
)
def test_retry_after(header, seconds):
    """Seconds or a date; never negative, and None when it makes no sense."""
    assert retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    ("order_id", "path"),
    [
        ("RELO1", "/o/RELO1"),
        ("a/../b?c#d", "/o/a%2F..%2Fb%3Fc%23d"),
        ("..", "/o/%252E%252E"),
        (".", "/o/%252E"),
    ],
)
def test_an_order_id_cannot_leave_its_place_in_the_path(client, order_id, path):
    """Whatever an id holds, the request goes to one order."""
    with WireServer(says(http(404))) as server:
        client.call("GET", f"{server.url}/o/{segment(order_id)}", a_gate())
        assert server.requests[0].split(b" ")[1].decode() == path
