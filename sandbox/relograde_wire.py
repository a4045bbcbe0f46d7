"""A Relograde order as JSON, with the field order and number formats of the documented examples."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sandbox.books import Item, Line, Order
from sandbox.clock import iso
from sandbox.switches import RelogradeSwitches

ONE = Decimal("1.00000000")
CENTS = Decimal("0.01")
YEAR_SECONDS = 365 * 86400


def order_json(order: Order, switches: RelogradeSwitches, with_tokens: bool) -> dict[str, Any]:
    """The order's JSON: the documented examples of find have tokens, those of confirm have none."""
    currency = cased(order.currency, switches)
    header: dict[str, Any] = {
        "trx": order.order_id,
        "priceCurrency": currency,
        "priceAmount": _cents(order.amount),
        "priceVat": Decimal("0.00"),
        "priceInclVat": _cents(order.amount),
        "priceFx": ONE,
        "dateCreated": iso(order.created_at, switches.dates_with_millis),
        "paymentStatus": "paid",
        "type": "api",
        "reference": order.reference,
        "state": "sandbox",
        "orderStatus": order.status,
        "isBalancePayment": True,
        "downloaded": False,
        "items": [_item(order, item, switches, with_tokens) for item in order.items],
    }
    absent = {"paymentStatus"} if order.status == "created" else set()
    absent |= {"reference"} if order.reference is None else set()
    return {name: value for name, value in header.items() if name not in absent}


def _item(
    order: Order, item: Item, switches: RelogradeSwitches, with_tokens: bool
) -> dict[str, Any]:
    currency, total = cased(order.currency, switches), _cents(item.price * len(item.lines))
    face_value = face_value_of(item.slug)
    return {
        "product": product_json(item.slug, currency),
        "amount": len(item.lines),
        "priceCurrency": currency,
        "singlePriceAmount": _cents(item.price),
        "totalPriceAmount": total,
        "totalPriceVat": 0,
        "totalPriceInclVat": total,
        "priceFx": ONE,
        "paymentCurrency": currency,
        "singlePriceAmountInPaymentCurrency": _cents(item.price),
        "totalPriceAmountInPaymentCurrency": total,
        "totalPriceVatInPaymentCurrency": Decimal("0.00"),
        "totalPriceInclVatInPaymentCurrency": total,
        "orderLines": [_line(order, item, line, switches, with_tokens) for line in item.lines],
        "linesCompleted": sum(line.status == "finished" for line in item.lines),
        "productSlug": item.slug,
        "faceValueAmount": _cents(face_value),
        "faceValueCurrency": currency,
        "faceValueFx": ONE,
    }


def face_value_of(slug: str) -> Decimal:
    """The last part of a slug, as in `rewarble-ww-eur-5`; 5 where there is no number."""
    last = slug.rsplit("-", 1)[-1]
    return Decimal(last) if last.isdecimal() else Decimal(5)


def product_json(slug: str, currency: str) -> dict[str, Any]:
    brand = slug.split("-", 1)[0]
    face_value = face_value_of(slug)
    return {
        "slug": slug,
        "name": product_name(slug),
        "brand": brand,
        "productType": "topup",
        "region": "ww",
        "faceValueAmount": face_value.quantize(Decimal("0.1")),
        "faceValueCurrency": currency,
        "mainCategory": "giftcard",
        "redeemType": "currency",
        "isStocked": True,
    }


def product_name(slug: str) -> str:
    """`rewarble 5 EUR WW` for `rewarble-ww-eur-5`; any other slug is its own name."""
    parts = slug.split("-")
    if len(parts) != 4:
        return slug
    brand, region, currency, value = parts
    return f"{brand} {value} {currency.upper()} {region.upper()}"


def _line(
    order: Order, item: Item, line: Line, switches: RelogradeSwitches, with_tokens: bool
) -> dict[str, Any]:
    expires = iso(order.registered_at + YEAR_SECONDS, switches.dates_with_millis)
    fields: Mapping[str, Any] = {
        "tag": line.tag,
        "voucherCode": line.code,
        "voucherSerial": line.serial,
        "voucherDateExpired": expires if line.expires else None,
        "token": line.token if with_tokens else None,
        "status": line.status,
    }
    present = {name: value for name, value in fields.items() if value is not None}
    return {**present, **_undocumented(order, item, switches)} if switches.extra_fields else present


def _undocumented(order: Order, item: Item, switches: RelogradeSwitches) -> dict[str, Any]:
    """Fields recorded on lines of 1.02; `product` is text here and an object one level up."""
    currency, date = cased(order.currency, switches), iso(order.created_at)
    return {
        "id": 48213,
        "orderId": 9107,
        "entityId": 512,
        "allowAsyncDelivery": True,
        "brandSlug": item.slug.split("-", 1)[0],
        "dateCreated": date,
        "dateUpdated": date,
        "externalSupplier": "stub",
        "offerId": 77,
        "priceAmount": _cents(item.price),
        "priceInclVat": _cents(item.price),
        "priceVatTurnover": 0,
        "priceCurrency": currency,
        "priceFx": ONE,
        "paymentCurrency": currency,
        "paymentCurrencyFx": ONE,
        "productSlug": item.slug,
        "productRegion": "ww",
        "state": "sandbox",
        "product": json.dumps({"slug": item.slug, "offers": [{"id": 77, "purchasePrice": 4.9}]}),
    }


def cased(currency: str, switches: RelogradeSwitches) -> str:
    return currency.lower() if switches.currency_case == "lower" else currency.upper()


def _cents(amount: Decimal) -> Decimal:
    """The amount with at least two decimals, or more where a price has them."""
    exponent = amount.as_tuple().exponent
    return amount if isinstance(exponent, int) and exponent <= -2 else amount.quantize(CENTS)
