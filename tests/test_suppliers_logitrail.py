"""Logitrail's answers, over real HTTP: the code in the body decides before the status."""

import base64
import json
import time
from contextlib import closing
from dataclasses import fields

import pytest
from marshmallow import ValidationError
from wire_server import WireServer, http, says

from worker.rules.answers import (
    Blocked,
    Cancelled,
    Confirmed,
    NotFound,
    Rejected,
    Unavailable,
    Unknown,
)
from worker.suppliers.http import Gate
from worker.suppliers.logitrail import Logitrail, webhook

ID = "5499362b1fb35e73548b45af"
SECRET = "logitrail-secret"
DONE = {
    "success": True,
    "order_id": ID,
    "tracking_code": "JJFI1",
    "tracking_url": "https://track.example/JJFI1",
}


def a_gate():
    return Gate(time.monotonic(), 5.0)


def _client(*urls, secret=SECRET):
    return Logitrail(urls, "shop.example", secret, 2.0, 2.0, pool_size=2)


def confirm(response, **arguments):
    with WireServer(says(response)) as server, closing(_client(server.url)) as client:
        return client.confirm(ID, a_gate(), **arguments)


def without_detail(answer):
    return {field.name: getattr(answer, field.name) for field in fields(answer)} | {
        "detail": "",
        "": type(answer),
    }


def test_a_confirm_has_no_body_and_no_content_type():
    """As every public client sends it, with the merchant's Basic credentials."""
    with (
        WireServer(says(http(200, DONE))) as server,
        closing(_client(server.url + "/2015-01-01/")) as client,
    ):
        client.confirm(ID, a_gate())
        request = server.requests[0]
    credentials = base64.b64encode(f"M-shop.example:{SECRET}".encode())
    assert request.startswith(f"POST /2015-01-01/orders/{ID}/_confirm HTTP/1.1\r\n".encode())
    assert b"\r\nAuthorization: Basic " + credentials + b"\r\n" in request
    assert b"Content-Type" not in request
    assert request.endswith(b"\r\n\r\n")


def test_details_go_as_json():
    """The web app's own document, whole."""
    details = {"customer": {"firstName": "Päivi"}, "own": [1, 2.5, None]}
    with WireServer(says(http(200, DONE))) as server, closing(_client(server.url)) as client:
        client.confirm(ID, a_gate(), details=details)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: application/json" in head
    assert json.loads(body) == details


def test_details_that_are_no_json_are_refused_before_anything_is_sent():
    """Not a number is not JSON, and the supplier need not be asked about it."""
    with WireServer(says(http(200, DONE))) as server, closing(_client(server.url)) as client:
        gate = a_gate()
        assert client.confirm(ID, gate, details={"x": float("nan")}).reason == "invalid_request"
        assert (server.received, gate.sent_at) == (b"", None)


def test_the_host_counts_through_the_addresses():
    """So that a repeat can stay on the host of the first attempt, or change."""
    with WireServer(says(http(503))) as one, WireServer(says(http(200, DONE))) as two:
        with closing(_client(one.url, two.url)) as client:
            kinds = [type(client.confirm(ID, a_gate(), host=host)) for host in range(4)]
        assert kinds == [Unknown, Confirmed, Unknown, Confirmed]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Confirmed(tracking_code="JJFI1", tracking_url="https://track.example/JJFI1")),
        ({"tracking_code": None, "tracking_url": None}, Confirmed()),
        (
            {"tracking_code": 12345, "tracking_url": "javascript:alert(1)"},
            Confirmed(tracking_code="12345"),
        ),
        ({"tracking_code": "x" * 200, "tracking_url": "http://" + "x" * 3000}, Confirmed()),
        ({"tracking_code": ["x"], "tracking_url": "https://a b"}, Confirmed()),
        ({"tracking_code": "", "tracking_url": "http://[::1"}, Confirmed()),
        (
            {
                "order_id": ID.upper(),
                "tracking_code": None,
                "tracking_url": "http://t/1",
                "more": 1,
            },
            Confirmed(),
        ),
        ({"success": False}, Unknown()),
        ({"success": "true"}, Unknown()),
        ({"success": None}, Unknown()),
        ({"order_id": "0" * 24}, Unknown()),
        ({"order_id": None}, Unknown()),
        ({"code": "access_denied", "success": False}, Unknown()),
        ({"code": "order_not_passive", "success": False}, Rejected("order_not_passive")),
    ],
)
def test_a_200_is_believed_only_for_this_order(changes, expected):
    """Success, the same id, and tracking only where it can be shown to a customer."""
    answer = confirm(http(200, DONE | changes))
    if "more" in changes:
        assert answer.tracking_url == "http://t/1"
    elif isinstance(expected, Confirmed):
        assert answer == expected
    else:
        assert without_detail(answer) == without_detail(expected)


def test_escaped_slashes_are_json():
    """As Logitrail writes them."""
    url = r"https:\/\/t.example\/J"
    body = f'{{"success":true,"order_id":"{ID}","tracking_code":"J","tracking_url":"{url}"}}'
    assert confirm(http(200, body)) == Confirmed(
        tracking_code="J", tracking_url="https://t.example/J"
    )


UNCERTAIN = Rejected("unrecognised_answer", certain=False)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"code": "order_not_passive"}, Rejected("order_not_passive")),
        (409, {"code": "order_not_passive", "success": False}, Rejected("order_not_passive")),
        (500, {"code": "order_not_passive"}, Rejected("order_not_passive")),
        (200, {"code": "order_not_passive"}, Rejected("order_not_passive")),
        (400, {"code": "order_not_passive", "tracking_code": "J"}, Rejected("order_not_passive")),
        (403, {"code": "access_denied"}, Blocked("forbidden")),
        (400, {"code": "access_denied"}, Blocked("forbidden")),
        (409, {"code": "ORDER_NOT_PASSIVE"}, Rejected("order_not_passive")),
        (401, {"code": "access_denied"}, Blocked("unauthorized")),
        (401, "", Blocked("unauthorized")),
        (403, "<html>", Blocked("forbidden")),
        (404, "", NotFound()),
        (404, {"code": "not_found"}, NotFound()),
        (405, {"code": "method_not_allowed"}, Blocked("misconfigured")),
        (405, "", Blocked("misconfigured")),
        (429, "", Blocked("rate_limited")),
        (400, {"code": "product.merchants_id.required"}, Rejected("invalid_request")),
        (400, {"code": "product.dimensions"}, Rejected("invalid_request")),
        (400, {"code": "item_source_id_missing"}, Rejected("invalid_request")),
        (400, {"code": "invalid_json"}, Rejected("invalid_request")),
        (400, {"code": "something_new"}, UNCERTAIN),
        (400, {"code": 7}, UNCERTAIN),
        (400, "not json", UNCERTAIN),
        (409, {"code": "conflict"}, UNCERTAIN),
        (418, "", UNCERTAIN),
        (400, {"code": "unknown"}, Unknown(outage=True)),
        (408, "", Unknown(outage=True)),
        (500, {"code": "unknown", "message": "internal"}, Unknown(outage=True)),
        (500, "<html>", Unknown(outage=True)),
        (503, {"code": "access_denied"}, Unknown(outage=True)),
        (200, "<html>", Unknown(outage=True)),
        (200, "", Unknown(outage=True)),
        (200, "[]", Unknown(outage=True)),
        (201, DONE, Unknown(outage=True)),
        (204, "", Unknown(outage=True)),
        (302, "", Unknown(outage=True)),
    ],
)
def test_every_other_answer(status, body, expected):
    """The table of `docs/suppliers.md` §3.2."""
    assert without_detail(confirm(http(status, body))) == without_detail(expected)


def test_retry_after_is_passed_on():
    """Undocumented, and honoured if it comes."""
    assert confirm(http(429, retry_after="3")).retry_after == 3.0


def test_a_code_comes_out_only_when_it_looks_like_one():
    """It helps a person; text, personal data and our own secret do not come out."""
    assert confirm(http(400, {"code": "something_new"})).detail == "something_new"
    assert confirm(http(400, {"code": "Matti Meikalainen, required"})).detail == "HTTP 400"
    echo = says(http(400, {"code": "abcdef.invalid"}))
    with WireServer(echo) as server, closing(_client(server.url, secret="abcdef")) as client:
        assert client.confirm(ID, a_gate()) == Rejected("invalid_request", "HTTP 400")


@pytest.mark.parametrize("secret", ["", "access"])
def test_an_odd_secret_hides_no_code(secret):
    """A known code is known, whatever the secret is."""
    denied = says(http(400, {"code": "access_denied"}))
    with WireServer(denied) as server, closing(_client(server.url, secret=secret)) as client:
        assert client.confirm(ID, a_gate()) == Blocked("forbidden", detail="access_denied")


def test_a_late_gate_is_unavailable():
    """Nothing was sent."""
    with WireServer(says(http(200, DONE))) as server, closing(_client(server.url)) as client:
        assert client.confirm(ID, Gate(time.monotonic() - 6, 5.0)) == Unavailable(
            "too late", late=True
        )
        assert server.received == b""


def event(status, event_type="order.info.change", order_id=ID, **changes):
    body = {"id": order_id, "merchants_order": "1001", "status": status, **changes}
    return {
        "event_id": "2016-01-18T08:17:55_5499362b1fb35e73548b45af",
        "webhook_id": "logitrail.com_5499362b1fb35e73118b45ad",
        "event_type": event_type,
        "ts": "2016-01-18T10:17:55+02:00",
        "retry_count": 0,
        "payload": {"order": body},
    }


@pytest.mark.parametrize(
    ("payload", "proof"),
    [
        (
            event("confirmed", tracking_code="J", tracking_url="https://t/J"),
            Confirmed((), "J", "https://t/J"),
        ),
        (event("waiting_products"), Confirmed()),
        (event("processing", merchants_order={"id": "1001", "time": "2016"}), Confirmed()),
        (event("PROCESSED"), Confirmed()),
        (event("processed", "order.shipped"), Confirmed()),
        (event(None, "order.shipped"), Confirmed()),
        (event("cancelled"), Cancelled()),
        (event("deleted"), Cancelled()),
        (event("passive"), None),
        (event("something_new"), None),
        (event(None), None),
    ],
)
def test_what_an_event_proves(payload, proof):
    """Single or in a list, with the merchant's order as a string or an object."""
    assert webhook(payload).proofs == [(ID, proof)]
    assert webhook([payload]).proofs == [(ID, proof)]


def test_events_of_other_types_are_accepted_and_prove_nothing():
    """The docs' own example uses a type that is not in their list."""
    other = {"event_type": "product.info.updated", "payload": {"product": {"id": 1}}}
    assert webhook([other, event("confirmed"), other]).proofs == [(ID, Confirmed())]
    assert webhook(other).proofs == []
    assert webhook([]).proofs == []


def test_events_come_out_oldest_first():
    """They may arrive in any order, and what came last is what holds."""
    late = event("cancelled") | {"ts": "2016-01-18T09:00:00Z"}
    early = event("confirmed") | {"ts": "2016-01-18T10:17:55+02:00"}
    assert webhook([late, early]).proofs == [(ID, Confirmed()), (ID, Cancelled())]


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "text",
        {},
        [event("confirmed")] * 101,
        event("confirmed") | {"payload": None},
        event("confirmed") | {"payload": {"order": {}}},
        event("confirmed") | {"event_type": 5},
        event(7),
        event("confirmed", order_id=None),
    ],
)
def test_a_malformed_webhook_is_refused(payload):
    """It raises, so that the door can keep it as a dead letter."""
    with pytest.raises(ValidationError):
        webhook(payload)
