"""Logitrail's documents: strict about what proves something, tolerant about the rest."""

import copy
from decimal import Decimal

import pytest
from marshmallow import ValidationError

from schemas.logitrail import ConfirmationSchema, ErrorSchema, OrderDetailsSchema, load_events

ID = "5499362b1fb35e73548b45af"

DETAILS = {
    "merchants_order": {"id": "1001", "time": "2026-01-01T00:00:00Z"},
    "customer": {
        "lastName": "Meikäläinen",
        "firstName": "Matti",
        "organizationName": None,
        "address": "Katu 1",
        "postalCode": "00100",
        "city": "Helsinki",
        "countryCode": "FI",
        "email": "m@example.fi",
        "phoneNumber": "+358401234567",
        "eori": "FI1",
        "vat_id": "FI2",
        "door": "3 B",
    },
    "products": [
        {
            "qty": 2,
            "merchants_id": "sku-1",
            "unit_price": "12.50",
            "tax_percent": "25.5",
            "name": "Cup",
            "gtin": "0123456789012",
            "fulfillment_by": "logitrail",
            "best_before": "2027-01-01",
            "weight": "300",
            "dimensions": [10, 20, 30],
            "taric_code": "6912",
            "manufacturing_country": "FI",
            "additional_info": {"colour": "blue"},
            "source_id": "s1",
        }
    ],
    "destination": "home",
    "not_before": "2026-01-02",
    "not_after": "2026-01-09",
    "tags": ["a"],
    "tags_all": ["a", "b"],
    "language": "fi",
    "pricelist": "retail",
    "currency": "EUR",
    "something_of_the_shop": [1, {"x": None}],
}


def test_details_load_and_dump_without_loss():
    """Every documented field, and of the unknown ones at least none refused."""
    loaded = OrderDetailsSchema().load(copy.deepcopy(DETAILS))
    dumped = OrderDetailsSchema().dump(loaded)
    known = {name: value for name, value in DETAILS.items() if name != "something_of_the_shop"}
    known["customer"] = {
        name: value for name, value in DETAILS["customer"].items() if name != "door"
    }
    assert dumped == known
    assert loaded["something_of_the_shop"] == DETAILS["something_of_the_shop"]
    assert loaded["customer"]["door"] == "3 B"
    assert loaded["products"][0]["unit_price"] == Decimal("12.50")


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"merchants_order": "1001"},
        {"products_all": []},
        {"products": [{"dimensions": "1 x 2 x 3", "unit_price": 1.5}]},
    ],
)
def test_details_are_an_update_and_may_be_partial(details):
    """No field is required."""
    OrderDetailsSchema().load(details)


@pytest.mark.parametrize(
    "details",
    [
        None,
        [],
        {"merchants_order": 5},
        {"merchants_order": {"time": "now"}},
        {"customer": "Matti"},
        {"products": {"qty": 1}},
        {"products": [{"qty": "many"}]},
        {"products": [{"dimensions": [1, 2]}]},
        {"language": "de"},
        {"tags": "a"},
    ],
)
def test_details_of_a_wrong_type_are_refused(details):
    """The known fields are typed."""
    with pytest.raises(ValidationError):
        OrderDetailsSchema().load(details)


def test_a_confirmation_drops_what_it_does_not_know():
    """And keeps the four documented fields."""
    answer = {"success": True, "order_id": ID, "tracking_code": "J", "tracking_url": "https://t/J"}
    assert ConfirmationSchema().load(answer | {"price": 5}) == answer
    assert ConfirmationSchema().dump(answer) == answer


@pytest.mark.parametrize(
    "answer", [{"success": True}, {"order_id": ID}, {"success": "yes", "order_id": ID}, []]
)
def test_a_confirmation_without_success_or_id_is_none(answer):
    """Nor is one whose success is a word."""
    with pytest.raises(ValidationError):
        ConfirmationSchema().load(answer)


def test_an_error_has_a_code():
    """Whether `success` comes with it is unknown."""
    assert ErrorSchema().load({"code": "order_not_passive", "id": 1}) == {
        "code": "order_not_passive"
    }
    assert ErrorSchema().load({"success": False, "message": None}) == {
        "success": False,
        "message": None,
    }


def test_an_event_is_loaded_with_its_order_and_shipment():
    """The envelope's times are aware; unknown fields go."""
    order = {
        "id": ID,
        "merchants_order": {"id": "1001"},
        "status": "processed",
        "tracking_code": "J",
    }
    event = {
        "event_id": "2016-01-18T08:17:55_5499362b1fb35e73548b45af",
        "webhook_id": "logitrail.com_5499362b1fb35e73118b45ad",
        "event_type": "order.shipped",
        "ts": "2016-01-18T10:17:55+02:00",
        "retry_count": 3,
        "payload": {
            "order": order | {"weight": 1},
            "shipment": {"id": "s", "carrier_tracking_code": "C"},
        },
        "new": True,
    }
    [loaded], _ = load_events(event)
    assert loaded["payload"] == {
        "order": order,
        "shipment": {"id": "s", "carrier_tracking_code": "C"},
    }
    assert loaded["ts"].isoformat() == "2016-01-18T08:17:55+00:00"
    assert "new" not in loaded
    assert load_events([event] * 100) == ([loaded] * 100, [])


def test_an_event_of_an_unknown_type_keeps_nothing_of_its_payload():
    """Whatever it is, even nothing."""
    for payload in ({"customer": "Matti"}, [1], None):
        [loaded], _ = load_events({"event_type": "product.info.updated", "payload": payload})
        assert loaded["payload"] is None
    [loaded], _ = load_events({"event_type": "inbound_shipment.received"})
    assert loaded == {"event_type": "inbound_shipment.received"}


def test_more_than_a_hundred_events_are_refused():
    """As documented; one call is one list."""
    with pytest.raises(ValidationError):
        load_events([{"event_type": "x"}] * 101)
