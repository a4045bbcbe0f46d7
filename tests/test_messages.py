"""What the web app may send: each bad field is refused by its own name, and types are not
guessed.
"""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from marshmallow import ValidationError

from schemas.messages import DETAILS_MAX, DOORS, first_error

TRX = "T-1700000000-abc"
HEX = "5499362b1fb35e73548b45af"
CREATED = "2027-01-15T08:00:00+00:00"
RELOGRADE = {"supplier": "relograde", "order_id": TRX, "reference": "shop-1", "created_at": CREATED}
LOGITRAIL = {"supplier": "logitrail", "order_id": HEX, "reference": "shop-1"}
GONE = object()
CONFIRM, HINT, WITHDRAW, ACKNOWLEDGE = (
    "orders.confirm",
    "orders.hint",
    "orders.withdraw",
    "outcomes.acknowledge",
)
TWO_MEGABYTES = {"note": "x" * 2_000_000}


def load(door, message):
    return DOORS[door]().load(message)


def fault(door, message):
    """The one line that a person reads about a refused message."""
    with pytest.raises(ValidationError) as caught:
        load(door, message)
    return first_error(caught.value)


def changed(message, **fields):
    return {name: value for name, value in {**message, **fields}.items() if value is not GONE}


BAD_CONFIRMS = [
    ("supplier", RELOGRADE, GONE),
    ("supplier", RELOGRADE, None),
    ("supplier", RELOGRADE, ""),
    ("supplier", RELOGRADE, "amazon"),
    ("supplier", RELOGRADE, "Relograde"),
    ("supplier", RELOGRADE, 5),
    ("supplier", RELOGRADE, ["relograde"]),
    ("supplier", RELOGRADE, {"relograde": 1}),
    ("order_id", RELOGRADE, GONE),
    ("order_id", RELOGRADE, None),
    ("order_id", RELOGRADE, ""),
    ("order_id", RELOGRADE, 12345),
    ("order_id", RELOGRADE, "a" * 65),
    ("order_id", RELOGRADE, "a/b"),
    ("order_id", RELOGRADE, "a b"),
    ("order_id", RELOGRADE, "a|1"),
    ("order_id", RELOGRADE, "../../balance"),
    ("order_id", RELOGRADE, f"{TRX}\n"),
    ("order_id", RELOGRADE, "tröx"),
    ("order_id", LOGITRAIL, TRX),
    ("order_id", LOGITRAIL, HEX[:-1]),
    ("order_id", LOGITRAIL, HEX + "0"),
    ("order_id", LOGITRAIL, HEX[:-1] + "g"),
    ("order_id", LOGITRAIL, HEX + "\n"),
    ("reference", RELOGRADE, GONE),
    ("reference", RELOGRADE, None),
    ("reference", RELOGRADE, ""),
    ("reference", RELOGRADE, "r" * 256),
    ("reference", RELOGRADE, 17),
    ("reference", RELOGRADE, ["shop-1"]),
    ("created_at", RELOGRADE, GONE),
    ("created_at", RELOGRADE, None),
    ("created_at", RELOGRADE, ""),
    ("created_at", RELOGRADE, "yesterday"),
    ("created_at", RELOGRADE, "2027-01-15T08:00:00"),
    ("created_at", RELOGRADE, "2027-01-15"),
    ("created_at", RELOGRADE, 1_800_000_000),
    ("created_at", RELOGRADE, 1_800_000_000.5),
    ("created_at", RELOGRADE, True),
    ("created_at", RELOGRADE, [CREATED]),
    ("created_at", RELOGRADE, "0001-01-01T00:00:00+14:00"),
    ("created_at", RELOGRADE, "9999-12-31T23:59:59-14:00"),
    ("created_at", RELOGRADE, "2027-02-30T08:00:00Z"),
    ("created_at", LOGITRAIL, "2027-01-15T08:00:00"),
    ("paid_at", RELOGRADE, "2027-01-15T08:00:00"),
    ("paid_at", RELOGRADE, 0),
    ("paid_at", LOGITRAIL, "0001-01-01T00:00:00+00:00"),
    ("amount", RELOGRADE, True),
    ("amount", RELOGRADE, False),
    ("amount", RELOGRADE, "ten"),
    ("amount", RELOGRADE, ""),
    ("amount", RELOGRADE, "12,50"),
    ("amount", RELOGRADE, -1),
    ("amount", RELOGRADE, "-0.01"),
    ("amount", RELOGRADE, "NaN"),
    ("amount", RELOGRADE, "sNaN"),
    ("amount", RELOGRADE, float("inf")),
    ("amount", RELOGRADE, 10**15),
    ("amount", RELOGRADE, [1]),
    ("amount", RELOGRADE, {"value": 1}),
    ("currency", RELOGRADE, "EURO"),
    ("currency", RELOGRADE, "E1R"),
    ("currency", RELOGRADE, "eur\n"),
    ("currency", RELOGRADE, 978),
    ("account", RELOGRADE, ""),
    ("account", RELOGRADE, "a" * 33),
    ("account", RELOGRADE, 1),
    ("details", RELOGRADE, {"customer": {}}),
    ("details", LOGITRAIL, "{}"),
    ("details", LOGITRAIL, []),
    ("details", LOGITRAIL, TWO_MEGABYTES),
]


@pytest.mark.parametrize(("field", "message", "value"), BAD_CONFIRMS)
def test_a_bad_confirm_names_the_field_at_fault(field, message, value):
    """Never another one, and never the value."""
    said = fault(CONFIRM, changed(message, **{field: value}))
    assert said.startswith(f"{field}: ")
    assert len(said) < 200


@pytest.mark.parametrize(
    ("amount", "taken"),
    [
        (10, "10"),
        (12.5, "12.5"),
        (0.1, "0.1"),
        (0, "0"),
        ("10.00", "10.00"),
        ("0.10", "0.10"),
        (Decimal("9.90"), "9.90"),
        (None, "None"),
    ],
)
def test_an_amount_comes_as_number_or_string(amount, taken):
    """A float counts by its shortest decimal form, a string keeps its digits."""
    assert str(load(CONFIRM, changed(RELOGRADE, amount=amount))["amount"]) == taken


@pytest.mark.parametrize("amount", ["1e-1000", "0." + "1" * 500])
def test_an_amount_has_a_bounded_number_of_digits(amount):
    """It is written out in full, so an exponent of minus a billion must not get in."""
    assert fault(CONFIRM, changed(RELOGRADE, amount=amount)).startswith("amount: ")


@pytest.mark.parametrize("amount", ["1_000", " 12 ", "١٢"])
def test_an_amount_is_written_as_in_json(amount):
    """What only Python reads as a number is a typing error at the sender."""
    assert fault(CONFIRM, changed(RELOGRADE, amount=amount)).startswith("amount: ")


UNKNOWN = [
    (CONFIRM, RELOGRADE),
    (HINT, {"supplier": "relograde", "order_id": TRX}),
    (WITHDRAW, {"supplier": "logitrail", "order_id": HEX}),
    ("webhooks.relograde", {"payload": {}}),
    ("webhooks.logitrail", {"payload": []}),
    (ACKNOWLEDGE, {"id": f"relograde.{TRX}.1"}),
]


@pytest.mark.parametrize(("door", "message"), UNKNOWN)
def test_every_door_refuses_an_unknown_field_by_name(door, message):
    """Also one that another door knows."""
    load(door, message)
    assert fault(door, {**message, "retail_price": 12}) == "retail_price: Unknown field."
    if door != CONFIRM:
        assert fault(door, {**message, "reference": "r"}) == "reference: Unknown field."


@pytest.mark.parametrize(("door", "message"), UNKNOWN)
def test_every_door_needs_all_that_is_not_optional(door, message):
    """Each missing field is named."""
    for name in message:
        assert fault(door, changed(message, **{name: GONE})).startswith(f"{name}: ")


@pytest.mark.parametrize("door", sorted(DOORS))
@pytest.mark.parametrize("message", [None, 5, "text", [], [{}]])
def test_arguments_that_are_no_object_are_refused(door, message):
    """The message itself is at fault then."""
    assert fault(door, message).startswith("message: ")


@pytest.mark.parametrize("value", [5, None, "", ["a"], "i" * 201])
def test_an_acknowledgement_names_one_outcome(value):
    """By its id, a bounded string."""
    assert fault(ACKNOWLEDGE, {"id": value}).startswith("id: ")


def test_a_field_name_may_be_long():
    """However long it is; it is cut where it is kept."""
    said = fault(CONFIRM, {**RELOGRADE, "x" * 5000: 1})
    assert said.endswith("Unknown field.")


def test_the_fault_is_one_line_whatever_the_field_is_called():
    """A name with a line break could otherwise write lines of its own into a terminal."""
    assert "\n" not in fault(CONFIRM, {**RELOGRADE, "a\nresolved: yes": 1})


@pytest.mark.parametrize(
    ("message", "field", "loaded"),
    [
        (
            changed(RELOGRADE, created_at="2027-01-15T09:00:00+01:00"),
            "created_at",
            datetime(2027, 1, 15, 8, tzinfo=UTC),
        ),
        (
            changed(RELOGRADE, created_at="2027-01-15T08:00:00Z"),
            "created_at",
            datetime(2027, 1, 15, 8, tzinfo=UTC),
        ),
        (
            changed(RELOGRADE, created_at="2027-01-15T08:00:00.000Z"),
            "created_at",
            datetime(2027, 1, 15, 8, tzinfo=UTC),
        ),
        (LOGITRAIL, "created_at", None),
        (LOGITRAIL, "details", None),
        (changed(LOGITRAIL, details={}), "details", {}),
        (changed(LOGITRAIL, details={"own": [1, None, "ä"]}), "details", {"own": [1, None, "ä"]}),
        (changed(RELOGRADE, account="eu"), "account", "eu"),
        (changed(RELOGRADE, currency="eur"), "currency", "eur"),
        (changed(RELOGRADE, order_id="a" * 64), "order_id", "a" * 64),
        (changed(RELOGRADE, reference="r" * 255), "reference", "r" * 255),
    ],
)
def test_what_is_right_loads(message, field, loaded):
    """Times are aware and keep their instant; what is optional is None."""
    assert load(CONFIRM, message)[field] == loaded


def test_details_are_taken_up_to_their_limit():
    """Measured as JSON; one byte more is refused."""
    room = DETAILS_MAX - len('{"note": ""}')
    load(CONFIRM, changed(LOGITRAIL, details={"note": "x" * room}))
    assert fault(CONFIRM, changed(LOGITRAIL, details={"note": "x" * (room + 1)})).startswith(
        "details: "
    )


@pytest.mark.parametrize("value", [Decimal("1.50"), datetime(2027, 1, 15, tzinfo=UTC), b"raw"])
def test_details_that_are_not_plain_json_are_refused_and_not_an_accident(value):
    """A Python sender's Decimal travels through Celery's JSON as a Decimal; the door takes it or
    refuses it.
    """
    schema = DOORS[CONFIRM]()
    assert set(schema.validate(changed(LOGITRAIL, details={"unit_price": value}))) <= {"details"}
