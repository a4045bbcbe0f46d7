"""The record of an order, as the ledger's hash keeps it."""

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from schemas.order import Order, dump_order, load_order

LINE = {
    "tag": "TAG-1",
    "status": "finished",
    "deliverable": True,
    "expires_at": 1.5,
    "sealed": None,
}
VALUES: dict[Any, some.SearchStrategy[Any]] = {
    str: some.text(),
    int: some.integers(0, 2**53),
    bool: some.booleans(),
    float: some.integers(0, 4 * 10**15).map(lambda microseconds: microseconds / 1_000_000),
    list[dict[str, Any]]: some.just([LINE]) | some.just([]),
}
ORDERS = some.fixed_dictionaries(
    {"supplier": some.just("relograde"), "order_id": some.text(min_size=1)},
    optional={
        field.name: VALUES[next(kind for kind in VALUES if field.type in (kind, kind | None))]
        for field in dataclasses.fields(Order)
        if field.name not in ("supplier", "order_id")
    },
).map(lambda given: Order(**given))


@given(ORDERS)
def test_a_record_comes_back_as_it_was_written(order: Order) -> None:
    """Each field, whatever its type; the hash holds texts alone."""
    written = dump_order(order)
    assert all(isinstance(text, str) for text in written.values())
    assert load_order(order.supplier, order.order_id, written) == order


def test_a_default_takes_no_room() -> None:
    """A waiting order is a few fields: what is at its default is not written."""
    assert dump_order(Order(supplier="relograde", order_id="R1")) == {
        "supplier": "relograde",
        "order_id": "R1",
    }


def test_a_false_that_is_no_default_is_written() -> None:
    """`details_applied` is unknown, yes or no."""
    assert (
        dump_order(Order(supplier="logitrail", order_id="L1", details_applied=False))[
            "details_applied"
        ]
        == "0"
    )


def test_what_is_no_field_of_an_order_is_passed_over() -> None:
    """The ledger keeps its own beside them: the claim, the lease, where the order waits."""
    order = load_order(
        "relograde", "R1", {"claim": "c", "kind": "ask", "attempts": "2", "supplier": "another"}
    )
    assert order == Order(supplier="relograde", order_id="R1", attempts=2)
