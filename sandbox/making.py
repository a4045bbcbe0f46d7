"""Makes orders, for the admin routes and for the suppliers' own create calls."""

import secrets
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox.behaviours import TABLES, Behaviour, named, params_of
from sandbox.books import Item, Order
from sandbox.clock import epoch, iso
from sandbox.endings import ENDINGS, new_line, new_order_id, new_trx
from sandbox.state import State, now

SLUG = "rewarble-ww-eur-5"
PRICE = Decimal("4.96")
FIELDS = frozenset(
    {
        "account_key",
        "age_seconds",
        "amount",
        "behaviour",
        "created_at",
        "currency",
        "lines",
        "order_id",
        "params",
        "reference",
        "supplier",
    }
)


def make(state: State, wanted: Mapping[str, Any]) -> Order:
    """An order as POST /_sandbox/orders describes it, not yet in the books.

    ValueError names the fault of a description that cannot be met.
    """
    if unknown := set(wanted) - FIELDS:
        raise ValueError(
            f"unknown fields {', '.join(sorted(unknown))}; there are {', '.join(sorted(FIELDS))}"
        )
    supplier = wanted.get("supplier", "relograde")
    if supplier not in TABLES:
        raise ValueError(f"supplier is one of {', '.join(TABLES)}")
    lines = int(wanted.get("lines") or 2)
    amount = _amount(wanted.get("amount"), PRICE * lines)
    items = _items(amount, lines) if supplier == "relograde" else []
    return _order(state, supplier, wanted, amount, items)


def _items(amount: Decimal, lines: int) -> list[Item]:
    return [Item(SLUG, _single(amount, lines), [new_line() for _ in range(lines)])]


def make_through_api(
    state: State, supplier: str, key: str, amount: Decimal, currency: str, **more: Any
) -> Order:
    """An order of the default behaviour, as the supplier's own create call makes it."""
    behaviour = state.switches(supplier).create_behaviour
    wanted = {"behaviour": behaviour, "currency": currency, "account_key": key}
    order = _order(state, supplier, wanted, amount, more.get("items", []))
    order.reference, order.details = more.get("reference"), more.get("details", {})
    state.books.open(order)
    return order


def _order(
    state: State, supplier: str, wanted: Mapping[str, Any], amount: Decimal, items: list[Item]
) -> Order:
    name = named(supplier, wanted.get("behaviour", "mix"), state.dice)
    row = TABLES[supplier][name]
    params = params_of(row, state.switches(supplier).defaults, wanted.get("params") or {})
    endings = (None, *ENDINGS) if supplier == "relograde" else (None,)
    if params["ending"] not in endings:
        raise ValueError(f"ending is one of {', '.join(ENDINGS)}, at Relograde only")
    new_id = new_trx if supplier == "relograde" else new_order_id
    return Order(
        supplier=supplier,
        order_id=wanted.get("order_id") or new_id(),
        behaviour=name,
        params=params,
        created_at=_created_at(state, wanted, name),
        registered_at=now(),
        amount=amount,
        currency=str(wanted.get("currency") or "EUR").upper(),
        key=_key(state, supplier, wanted.get("account_key")),
        status=_first_status(supplier, row, params),
        reference=wanted.get("reference"),
        hidden=row.hidden,
        items=items,
        tracking_code=new_tracking_code() if row.starts_as else None,
    )


def new_tracking_code() -> str:
    return "JJFI" + "".join(secrets.choice("0123456789") for _ in range(17))


def _first_status(supplier: str, row: Behaviour, params: Mapping[str, Any]) -> str:
    new = "created" if supplier == "relograde" else "passive"
    return str(params["status"]) if row.starts_as else new


def _created_at(state: State, wanted: Mapping[str, Any], behaviour: str) -> float:
    """Cut to the millisecond, the precision that the supplier shows."""
    if wanted.get("created_at"):
        return epoch(wanted["created_at"])
    age = wanted.get("age_seconds")
    if age is None:
        age = state.relograde.confirm_within_seconds + 3600 if behaviour == "expired" else 0
    return epoch(iso(now() - float(age)))


def _amount(wanted: Any, usual: Decimal) -> Decimal:
    try:
        return usual if wanted is None else Decimal(str(wanted))
    except InvalidOperation:
        raise ValueError(f"amount is a number, not {wanted!r}") from None


def _single(amount: Decimal, lines: int) -> Decimal:
    """The price of one line: in cents where that divides, else with six decimals."""
    cents = (amount / lines).quantize(Decimal("0.01"))
    return cents if cents * lines == amount else (amount / lines).quantize(Decimal("0.000001"))


def _key(state: State, supplier: str, wanted: str | None) -> str:
    """The label of a key, which is given as key or label; the first key for None."""
    if supplier == "logitrail":
        return "merchant"
    labels = [state.key_label(key) for key in state.relograde_keys]
    if wanted is None:
        return labels[0]
    label = wanted if wanted in labels else state.key_label(wanted)
    if label not in labels:
        raise ValueError(f"account_key is one of {', '.join(labels)}, or the key itself")
    return label
