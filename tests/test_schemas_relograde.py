"""Relograde's documents load and dump without loss, except for a line's secrets, which never
load.
"""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from marshmallow import ValidationError
from marshmallow.experimental.context import Context

from schemas.relograde import (
    SECRETS,
    AccountSchema,
    OrderLineSchema,
    OrderSchema,
    PageSchema,
    WebhookSchema,
)

DATA = Path(__file__).parent / "data"
SEEDS = ["relograde_finished.json", "relograde_pending.json"]


def seed(name):
    return json.loads((DATA / name).read_text(), parse_float=Decimal)


def leaves(document, path=()):
    """Every value by its path; amounts as decimals, so that 24.80 and "24.80" are one."""
    if isinstance(document, dict | list):
        pairs = document.items() if isinstance(document, dict) else enumerate(document)
        return {k: v for name, value in pairs for k, v in leaves(value, (*path, name)).items()}
    return {path: document}


def exactly(document):
    """As text, digit by digit: numbers as written, everything else as it is."""
    return {
        path: str(value)
        if isinstance(value, int | Decimal) and not isinstance(value, bool)
        else value
        for path, value in leaves(document).items()
        if path[-1] not in (*SECRETS, "deliverable", "sealed")
    }


@pytest.mark.parametrize("name", SEEDS)
def test_the_seeds_load_and_dump_without_loss(name):
    """Every field that is no secret comes out as it went in, to the last zero of every price."""
    schema = OrderSchema()
    dumped = json.loads(schema.dumps(schema.load(seed(name))))
    assert exactly(dumped) == exactly(seed(name))


@pytest.mark.parametrize("name", SEEDS)
def test_no_secret_of_the_seeds_survives_loading(name):
    """Neither in what was loaded nor in what is dumped from it."""
    secrets = [value for path, value in leaves(seed(name)).items() if path[-1] in SECRETS]
    loaded = OrderSchema().load(seed(name))
    assert len(secrets) >= 8
    for secret in secrets:
        assert secret not in repr(loaded)
        assert secret not in OrderSchema().dumps(loaded)


@pytest.mark.parametrize(
    ("secrets", "deliverable"),
    [
        ({"voucherCode": "C"}, True),
        ({"token": "T"}, True),
        ({"voucherCode": "", "token": "T"}, True),
        ({"voucherCode": "", "token": None}, False),
        ({"voucherCode": "  "}, False),
        ({"voucherCode": 5}, False),
        ({"voucherSerial": "S", "voucherPin": "P", "voucherUrl": "U"}, False),
        ({}, False),
        ({"deliverable": True, "sealed": "forged"}, False),
    ],
)
def test_a_line_says_whether_there_is_something_to_deliver(secrets, deliverable):
    """A code or a token is; a serial alone is not, and the supplier cannot say so itself."""
    line = OrderLineSchema().load({"tag": "T1", "status": "finished"} | secrets)
    assert line == {"tag": "T1", "status": "finished", "deliverable": deliverable, "sealed": None}


def test_secrets_are_handed_to_the_seal_and_to_nothing_else():
    """All of them, as one JSON document; a line without any has nothing sealed."""
    secrets = {name: f"{name}-value" for name in SECRETS}
    lines = [{"tag": "A", "status": "finished"} | secrets, {"tag": "B", "status": "pending"}]
    document = {"trx": "R", "orderStatus": "finished", "items": [{"orderLines": lines}]}
    sealed = []
    with Context({"seal": lambda plain: sealed.append(plain) or "box"}):
        loaded = OrderSchema().load(document)
    assert [line["sealed"] for line in loaded["items"][0]["order_lines"]] == ["box", None]
    assert [json.loads(plain) for plain in sealed] == [secrets]
    assert lines[0]["token"] == "token-value", "the caller's document is left as it was"


def test_an_error_carries_no_secret():
    """marshmallow would hang the whole document on the exception."""
    line = {"tag": 5, "status": "finished", "voucherCode": "SECRET"}
    with pytest.raises(ValidationError) as caught:
        OrderSchema().load(
            {"trx": "R", "orderStatus": "finished", "items": [{"orderLines": [line]}]}
        )
    error = caught.value
    while error is not None:
        assert "SECRET" not in repr(vars(error)) + repr(error.args)
        error = error.__cause__ or error.__context__


def test_what_was_recorded_and_never_documented_is_read():
    """Lines of 1.02: numbers, amounts, and a product that is a string of JSON; unknown fields are
    dropped.
    """
    product = {"slug": "s", "faceValueAmount": 5.0, "offers": [{"purchasePrice": 4}]}
    raw = {
        "tag": "T",
        "status": "created",
        "orderId": 7,
        "priceFx": Decimal("0.866213"),
        "allowAsyncDelivery": True,
    }
    line = OrderLineSchema().load(raw | {"product": json.dumps(product), "somethingNew": 1})
    assert line["product"] == {"slug": "s", "face_value_amount": Decimal("5.0")}
    assert OrderLineSchema().dump(line)["priceFx"] == "0.866213"
    assert "somethingNew" not in line


@pytest.mark.parametrize(
    ("product", "loaded"),
    [({"slug": "s"}, {"slug": "s"}), ("{broken", None), ("[]", None), (5, None)],
)
def test_a_product_of_a_line_has_more_than_one_type(product, loaded):
    """One that cannot be read is none."""
    assert (
        OrderLineSchema().load({"tag": "T", "status": "created", "product": product})["product"]
        == loaded
    )


@pytest.mark.parametrize(
    ("written", "dumped"),
    [
        ("2025-04-14T08:05:34.000Z", "2025-04-14T08:05:34.000Z"),
        ("2025-01-24T11:30:20Z", "2025-01-24T11:30:20.000Z"),
        ("2025-01-24T11:30:20.123456Z", "2025-01-24T11:30:20.123456Z"),
        ("2025-01-24T13:30:20+02:00", "2025-01-24T11:30:20.000Z"),
        ("2025-01-24T11:30:20", "2025-01-24T11:30:20.000Z"),
        ("2025-01-24", "2025-01-24T00:00:00.000Z"),
        ("0001-01-01T00:00:00+23:00", None),
        ("soon", None),
        ("", None),
        (5, None),
        (None, None),
    ],
)
def test_times_are_utc_and_a_strange_one_is_none(written, dumped):
    """With and without milliseconds; an unreadable date does not spoil the order around it."""
    order = OrderSchema().load({"trx": "R", "orderStatus": "created", "dateCreated": written})
    assert OrderSchema().dump(order)["dateCreated"] == dumped
    assert order["date_created"] is None or order["date_created"].utcoffset().total_seconds() == 0


@pytest.mark.parametrize("currency", ["eur", "EUR"])
def test_both_spellings_of_a_currency_are_kept(currency):
    """Lower case up to 1.02, upper case in 1.03."""
    order = OrderSchema().load({"trx": "R", "orderStatus": "created", "priceCurrency": currency})
    assert OrderSchema().dump(order)["priceCurrency"] == currency


@pytest.mark.parametrize(
    "amount", ["much", True, Decimal("NaN"), Decimal("1e999999999"), "1" * 40, []]
)
def test_an_amount_that_is_none_is_refused(amount):
    """Nor does one take the memory of the process to write down."""
    with pytest.raises(ValidationError):
        AccountSchema().load({"currency": "eur", "totalAmount": amount})


@pytest.mark.parametrize("amount", [Decimal("1e999999999"), Decimal("Infinity"), "some"])
def test_a_count_that_is_none_is_refused(amount):
    """As of an item's vouchers."""
    with pytest.raises(ValidationError):
        OrderSchema().load({"trx": "R", "orderStatus": "created", "items": [{"amount": amount}]})


def test_a_page_has_orders_and_its_place_among_the_others():
    """As find-all answers."""
    page = {
        "data": [seed(SEEDS[0])],
        "pagination": {"total": 1, "page": 1, "limit": 100, "pages": 1},
    }
    dumped = PageSchema().dump(PageSchema().load(page))
    assert dumped["pagination"] == page["pagination"]
    assert exactly(dumped["data"]) == exactly(page["data"])


def test_accounts_are_a_bare_array():
    """Of the key's own state."""
    accounts = [{"currency": "eur", "state": "live", "totalAmount": "10.00"}]
    assert AccountSchema(many=True).dump(AccountSchema(many=True).load(accounts)) == accounts


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        (
            {"event": "ORDER_FINISHED", "data": {"trx": "R", "reference": None}},
            {"trx": "R", "reference": None},
        ),
        ({"event": "PRODUCT_CATALOGUE_UPDATED", "data": ["a", "b"]}, ["a", "b"]),
        ({"event": "UNKNOWN", "data": {"trx": "R", "token": "SECRET"}}, None),
        ({"event": None, "data": None}, None),
    ],
)
def test_the_data_of_a_webhook_depends_on_its_event(payload, data):
    """An object, a list of slugs, or nothing that we would keep."""
    loaded = WebhookSchema().load(payload | {"state": "live", "apiKeyDescription": "shop"})
    assert (loaded["data"], loaded["api_key_description"]) == (data, "shop")
