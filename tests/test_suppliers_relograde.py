"""Relograde's answers, over real HTTP: each status and body becomes exactly one of ours."""

import copy
import json
import time
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from marshmallow import ValidationError
from nacl.public import PrivateKey, SealedBox
from wire_server import WireServer, http, says

from worker.rules.answers import (
    Blocked,
    Cancelled,
    Confirmed,
    Created,
    NotFound,
    Pending,
    Rejected,
    Unavailable,
    Unknown,
)
from worker.suppliers.http import BODY_MAX, Gate
from worker.suppliers.relograde import Relograde, hinted_orders
from worker.suppliers.sealing import Sealer

DATA = Path(__file__).parent / "data"
FINISHED = json.loads((DATA / "relograde_finished.json").read_text())
PENDING = json.loads((DATA / "relograde_pending.json").read_text())
TRX = FINISHED["trx"]
KEY = "relograde-api-key"
CREATED_AT = datetime(2025, 4, 14, 8, 5, 34, tzinfo=UTC)


def order(status, **changes):
    return copy.deepcopy(FINISHED) | {"orderStatus": status} | changes


def with_lines(*lines, status="finished", amount=None):
    item = {"amount": amount or len(lines), "orderLines": list(lines)}
    return order(status, items=[item])


def a_gate():
    return Gate(time.monotonic(), 5.0)


def ask(call, *responses, seal=None, trx=TRX):
    """The answer of one call (`confirm` or `find`) to these responses, and what the server was
    sent.
    """
    with WireServer(says(*responses)) as server, closing(_client(server.url, seal)) as client:
        return getattr(client, call)(trx, a_gate()), server.requests


def _client(url, seal=None):
    return Relograde(url + "/", "1.02", KEY, 2.0, 2.0, pool_size=2, seal=seal)


def test_the_requests_are_the_documented_ones():
    """PATCH without a body to confirm, GET to find, page and limit together, the key as a
    bearer.
    """
    with WireServer(says(http(500))) as server, closing(_client(server.url)) as client:
        client.confirm(TRX, a_gate(), host=1, details={"ignored": True})
        client.find("a/b", a_gate())
        client.find_page(3, a_gate())
        client.accounts(a_gate())
        heads = [request.split(b"\r\n")[0].decode() for request in server.requests]
        assert all(
            b"\r\nAuthorization: Bearer relograde-api-key\r\n" in request
            for request in server.requests
        )
        assert all(request.endswith(b"\r\n\r\n") for request in server.requests)
    assert heads == [
        f"PATCH /api/1.02/order/confirm/{TRX} HTTP/1.1",
        "GET /api/1.02/order/a%2Fb HTTP/1.1",
        "GET /api/1.02/order?limit=100&page=3 HTTP/1.1",
        "GET /api/1.02/account HTTP/1.1",
    ]


@pytest.mark.parametrize("call", ["confirm", "find"])
def test_the_finished_seed_is_confirmed_and_complete(call):
    """Five lines with a code each, two with an expiry date."""
    answer, _ = ask(call, http(200, FINISHED))
    assert isinstance(answer, Confirmed)
    assert answer.complete
    assert answer.created_at == CREATED_AT
    assert [line.tag for line in answer.lines] == [
        line["tag"] for line in FINISHED["items"][0]["orderLines"]
    ]
    assert (
        sum(line.expires_at == datetime(2026, 4, 14, 8, 5, 41, tzinfo=UTC) for line in answer.lines)
        == 2
    )


@pytest.mark.parametrize("call", ["confirm", "find"])
def test_the_pending_seed_is_pending_with_four_lines_to_deliver(call):
    """Pending answers carry finished lines already."""
    answer, _ = ask(call, http(200, PENDING), trx=PENDING["trx"])
    assert isinstance(answer, Pending)
    assert [line.deliverable for line in answer.lines] == [True] * 4 + [False]
    assert [line.final for line in answer.lines] == [True] * 4 + [False]


@pytest.mark.parametrize("call", ["confirm", "find"])
def test_no_secret_of_a_line_comes_out(call):
    """Neither codes nor serials nor tokens are anywhere in an answer."""
    line = {
        "tag": "T",
        "status": "finished",
        "voucherCode": "SECRET1",
        "voucherSerial": "SECRET2",
        "token": "SECRET3",
    }
    answer, _ = ask(call, http(200, with_lines(line)))
    assert answer.complete
    assert "SECRET" not in repr(answer)


def test_secrets_come_out_sealed_when_there_is_a_key():
    """Only the private key opens them."""
    private = PrivateKey.generate()
    sealer = Sealer(bytes(private.public_key).hex())
    line = {"tag": "T", "status": "finished", "token": "SECRET3"}
    answer, _ = ask("find", http(200, with_lines(line)), seal=sealer.seal)
    box = SealedBox(private)
    assert json.loads(box.decrypt(answer.lines[0].sealed.encode(), encoder=_base64())) == {
        "token": "SECRET3"
    }
    assert "SECRET" not in repr(answer)


def _base64():
    from nacl.encoding import Base64Encoder

    return Base64Encoder


CODE = {"tag": "A", "status": "finished", "voucherCode": "C"}


@pytest.mark.parametrize(
    ("document", "complete"),
    [
        (with_lines(CODE), True),
        (with_lines({"tag": "A", "status": "FINISHED", "token": "t"}), True),
        (with_lines({"tag": "A", "status": "finished", "voucherSerial": "s"}), False),
        (with_lines({"tag": "A", "status": "finished", "voucherCode": "", "token": None}), False),
        (with_lines({"tag": "A", "status": "pending", "voucherCode": "C"}), False),
        (with_lines(CODE, amount=2), False),
        (with_lines(amount=1), False),
        (order("finished", items=[]), False),
        (order("finished", items=None), False),
        (order("finished", items=[{"amount": 1, "orderLines": [CODE]}, {"amount": 1}]), False),
    ],
)
def test_finished_is_complete_only_with_something_to_deliver_on_every_line(document, complete):
    """A finished order that shows fewer lines than were ordered is not complete either."""
    answer, _ = ask("find", http(200, document))
    assert isinstance(answer, Confirmed)
    assert answer.complete is complete


TWO_HUNDREDS = [
    (
        http(200, order("FINISHED", priceCurrency="EUR", dateCreated="2025-04-14T08:05:34Z")),
        Confirmed,
    ),
    (http(200, order("cancelled")), Cancelled),
    (
        http(
            200, order("finished", dateCreated="yesterday", priceAmount="free", type=7, surprise={})
        ),
        Confirmed,
    ),
    (http(200, order("expired")), Unknown),
    (http(200, order("finished", trx="RELOANOTHER")), Unknown),
    (http(200, order("finished", trx=None)), Unknown),
    (http(200, order(None)), Unknown),
    (http(200, order("finished", items="many")), Unknown),
    (http(200, "<html>finished</html>"), Unknown),
    (http(200, json.dumps(FINISHED)[:500]), Unknown),
    (http(200, ""), Unknown),
    (http(200, "[]"), Unknown),
    (http(200, '"finished"'), Unknown),
    (http(200, "x" * 2_000_000), Unknown),
    (http(201, FINISHED), Unknown),
    (http(204), Unknown),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{}", Unknown),
]


@pytest.mark.parametrize("call", ["confirm", "find"])
@pytest.mark.parametrize(("response", "kind"), TWO_HUNDREDS)
def test_a_success_is_believed_only_when_it_can_be_read(call, response, kind):
    """Another order, an unknown status or a broken body is no answer: it may have happened."""
    with (
        WireServer(says(response)) as server,
        closing(Relograde(server.url, "1.02", KEY, 0.3, 0.3)) as client,
    ):
        assert isinstance(getattr(client, call)(TRX, a_gate()), kind)


def test_created_is_an_answer_to_a_question_only():
    """After a confirm it contradicts, and only a read may say it."""
    assert ask("find", http(200, order("created")))[0] == Created(CREATED_AT)
    assert ask("confirm", http(200, order("created")))[0] == Unknown("created after confirm")


MESSAGES = [
    (400, "this order can not be confirmed", Unknown(refused=True)),
    (
        400,
        "this order has expired, orders need confirmation within 24 hours",
        Rejected("order_expired"),
    ),
    (400, "company not verified", Blocked("company_not_verified")),
    (400, "MULTIPLE_ORDER_LINES", Rejected("multiple_order_lines")),
    (402, "insufficient balance", Rejected("insufficient_balance")),
    (400, "insufficient balance", Rejected("insufficient_balance")),
    (402, "", Rejected("insufficient_balance")),
    (422, "Product rewarble 5 EUR WW is out of stock", Rejected("out_of_stock")),
    (400, "Product rewarble 5 EUR WW is out of stock", Rejected("out_of_stock")),
    (422, "some offers not available: rewarble", Rejected("offer_unavailable")),
    (400, "some offers not available: rewarble", Rejected("offer_unavailable")),
    (404, "order not found", NotFound()),
    (404, "", NotFound()),
    (401, "unauthorized", Blocked("unauthorized")),
    (401, "key has expired", Blocked("unauthorized")),
    (403, "forbidden", Blocked("forbidden")),
    (405, "", Blocked("misconfigured")),
    (429, "rate_limit_exceeded", Blocked("rate_limited")),
    (400, "something new", Rejected("unrecognised_answer", certain=False)),
    (400, "<p>page not available</p>", Rejected("unrecognised_answer", certain=False)),
    (418, "", Rejected("unrecognised_answer", certain=False)),
    (408, "", Unknown(outage=True)),
    (500, "server_error", Unknown(outage=True)),
    (503, "service not available", Unknown(outage=True)),
    (599, "", Unknown(outage=True)),
    (301, "", Unknown(outage=True)),
    (204, "", Unknown(outage=True)),
]


def without_detail(answer):
    return {field.name: getattr(answer, field.name) for field in fields(answer)} | {
        "detail": "",
        "": type(answer),
    }


@pytest.mark.parametrize("shape", ["text", "upper", "message", "error", "list"])
@pytest.mark.parametrize(("status", "message", "expected"), MESSAGES)
def test_a_refused_confirm(status, message, expected, shape):
    """The documented message decides, in text and JSON, in either case; else the status does."""
    answer, _ = ask("confirm", http(status, _shaped(message, shape)))
    assert without_detail(answer) == without_detail(expected)
    assert "rewarble" not in repr(answer)


def _shaped(message, shape):
    shapes = {
        "text": f"  {message}\n",
        "upper": message.upper(),
        "message": {"statusCode": 400, "message": message, "error": "Bad Request"},
        "error": {"error": message},
        "list": {"message": [message, "and more"]},
    }
    return shapes[shape]


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (400, "this order can not be confirmed", Unknown()),
        (400, "this order has expired", Unknown()),
        (400, "something new", Unknown()),
        (402, "insufficient balance", Unknown()),
        (422, "out of stock", Unknown()),
        (400, "company not verified", Blocked("company_not_verified")),
        (404, "order not found", NotFound()),
        (401, "", Blocked("unauthorized")),
        (403, "", Blocked("forbidden")),
        (405, "", Blocked("misconfigured")),
        (302, "", Blocked("misconfigured")),
        (429, "", Blocked("rate_limited")),
        (408, "", Unknown(outage=True)),
        (502, "<html>", Unknown(outage=True)),
    ],
)
def test_a_failed_question_never_changes_an_order(status, message, expected):
    """Nothing that a read is refused with is a refusal of the order."""
    answer, _ = ask("find", http(status, message))
    assert without_detail(answer) == without_detail(expected)


@pytest.mark.parametrize("call", ["confirm", "find"])
def test_retry_after_is_passed_on(call):
    """In seconds, as the supplier asked."""
    answer, _ = ask(call, http(429, "rate_limit_exceeded", retry_after="17"))
    assert answer == Blocked("rate_limited", 17.0, "HTTP 429")
    assert ask(call, http(429))[0].retry_after is None


def test_a_body_that_echoes_the_key_does_not_come_out():
    """An answer holds our own words only."""
    for status in (200, 302, 400, 401, 404, 422, 500):
        for call in ("confirm", "find"):
            answer, _ = ask(call, http(status, f"no such key: {KEY} is out of stock"))
            assert KEY not in repr(answer)


def test_a_page_is_read_order_by_order():
    """One that cannot be read spoils only itself."""
    page = {
        "data": [
            FINISHED,
            PENDING,
            order("created", trx="C"),
            order("strange", trx="S"),
            {"trx": 5},
            None,
        ],
        "pagination": {"total": 6, "page": 1, "limit": 100, "pages": 1},
    }
    with WireServer(says(http(200, page))) as server, closing(_client(server.url)) as client:
        answers = client.find_page(1, a_gate())
    kinds = {TRX: Confirmed, PENDING["trx"]: Pending, "C": Created, "S": Unknown}
    assert {trx: type(answer) for trx, answer in answers.items()} == kinds


def test_a_page_may_be_longer_than_an_order():
    """A hundred orders with a whole product in each line; but no reply is read without end."""
    for padding, expected in ((3 * BODY_MAX, {"C": Created}), (11 * BODY_MAX, Unknown)):
        page = {"data": [order("created", trx="C")], "padding": "x" * padding}
        with WireServer(says(http(200, page))) as server, closing(_client(server.url)) as client:
            answer = client.find_page(1, a_gate())
        assert (
            {trx: type(one) for trx, one in answer.items()}
            if isinstance(answer, dict)
            else type(answer)
        ) == expected


def test_a_currency_that_comes_twice_is_not_told():
    """Which of the two is the balance is not known, and orders must not die of the wrong one."""
    body = (
        '[{"currency": "eur", "totalAmount": 500}, {"currency": "EUR", "totalAmount": 0}, '
        '{"currency": "usd", "totalAmount": 7}]'
    )
    with WireServer(says(http(200, body))) as server, closing(_client(server.url)) as client:
        assert client.accounts(a_gate()) == {"USD": Decimal(7)}


def test_accounts_are_totals_by_currency_in_upper_case():
    """Exact to the digit."""
    body = (
        '[{"currency": "eur", "state": "live", "totalAmount": 1234567890.10}, {"currency": '
        '"USD", "totalAmount": 0}]'
    )
    with WireServer(says(http(200, body))) as server, closing(_client(server.url)) as client:
        assert client.accounts(a_gate()) == {"EUR": Decimal("1234567890.10"), "USD": Decimal(0)}


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (http(200, "{}"), Unknown()),
        (http(200, "nonsense"), Unknown(outage=True)),
        (http(200, {"data": {}}), Unknown()),
        (http(200, [{"currency": "eur", "totalAmount": "much"}]), Unknown()),
        (http(401), Blocked("unauthorized")),
        (http(404), Blocked("misconfigured")),
        (http(302), Blocked("misconfigured")),
        (http(500), Unknown(outage=True)),
    ],
)
def test_a_failed_page_or_account_is_one_answer(response, expected):
    """A path that is not there means a wrong address, not a missing order."""
    with WireServer(says(response)) as server, closing(_client(server.url)) as client:
        for answer in (client.find_page(1, a_gate()), client.accounts(a_gate())):
            assert without_detail(answer) == without_detail(expected)


def test_a_late_gate_makes_every_call_unavailable():
    """No question and no confirm leaves after its time."""
    with WireServer(says(http(200, FINISHED))) as server, closing(_client(server.url)) as client:
        calls = (lambda g: client.confirm(TRX, g), lambda g: client.find(TRX, g), client.accounts)
        for call in (*calls, lambda g: client.find_page(1, g)):
            assert call(Gate(time.monotonic() - 6, 5.0)) == Unavailable("too late", late=True)
        assert server.received == b""


@pytest.mark.parametrize(
    ("payload", "orders"),
    [
        (
            {
                "event": "ORDER_FINISHED",
                "state": "live",
                "apiKeyDescription": "k",
                "data": {"trx": "R"},
            },
            ["R"],
        ),
        ({"event": None, "apiKeyDescription": "k", "data": {"trx": "R", "reference": None}}, ["R"]),
        ({"event": "ORDER_FINISHED", "data": {"trx": "R"}, "new": 1}, ["R"]),
        ({"event": "ORDER_FINISHED", "data": None}, []),
        ({"event": "PRODUCT_CATALOGUE_UPDATED", "data": ["slug-a", "slug-b"]}, []),
        ({"event": "SOMETHING_NEW", "data": 7}, []),
        ({"event": "SOMETHING_NEW", "data": {"trx": "R"}}, []),
        ({}, []),
    ],
)
def test_a_webhook_hints_at_orders(payload, orders):
    """Only a finished order is a hint; what we do not know is nothing."""
    assert hinted_orders(payload) == orders


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "ORDER_FINISHED",
        {"event": 5},
        {"event": "ORDER_FINISHED", "data": []},
        {"event": "ORDER_FINISHED", "data": {}},
        {"event": "ORDER_FINISHED", "data": {"trx": ""}},
        {"event": "ORDER_FINISHED", "data": {"trx": {"$ne": 1}}},
        {"event": "PRODUCT_CATALOGUE_UPDATED", "data": {"trx": "R"}},
    ],
)
def test_a_malformed_webhook_is_refused(payload):
    """It raises, so that the door can keep it as a dead letter."""
    with pytest.raises(ValidationError):
        hinted_orders(payload)
