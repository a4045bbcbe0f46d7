"""Relograde's wire shapes: the order with items and lines, accounts, a list page, the webhook.

The facts are in `docs/suppliers.md`, section 1. A line's secrets end here: loading removes them, or
seals them to the web app's key when the caller gives a way to (`Context({"seal": callable})`).
"""

import json
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, pre_load, validate
from marshmallow.experimental.context import Context

from schemas.wire import CamelSchema, Count, Money, SupplierTime

SECRETS = ("voucherCode", "voucherSerial", "token", "voucherPin", "voucherUrl")
DELIVERABLE = ("voucherCode", "token")
"""What a customer can redeem. A serial alone is nothing to hand over."""

FINISHED = "ORDER_FINISHED"
CATALOGUE_UPDATED = "PRODUCT_CATALOGUE_UPDATED"

_IDENTIFIER = validate.Length(min=1, max=128)


class ProductSchema(CamelSchema):
    slug = fields.String(allow_none=True)
    name = fields.String(allow_none=True)
    brand = fields.String(allow_none=True)
    product_type = fields.String(allow_none=True)
    region = fields.String(allow_none=True)
    face_value_amount = Money(allow_none=True)
    face_value_min = Money(allow_none=True)
    face_value_max = Money(allow_none=True)
    face_value_currency = fields.String(allow_none=True)
    main_category = fields.String(allow_none=True)
    redeem_type = fields.String(allow_none=True)
    is_stocked = fields.Boolean(allow_none=True)


class LineProduct(fields.Nested):
    """A line's product: an object, or a string of JSON as recorded; anything else is dropped."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any
    ) -> Any:
        if isinstance(value, str):
            try:
                value = json.loads(value, parse_float=Decimal)
            except (ValueError, RecursionError):
                return None
        return (
            super()._deserialize(value, attr, data, partial, **kwargs)
            if isinstance(value, dict)
            else None
        )


class OrderLineSchema(CamelSchema):
    """One voucher. `deliverable` and `sealed` are ours, in the place of what the supplier sent."""

    tag = fields.String(required=True, validate=_IDENTIFIER)
    status = fields.String(required=True, validate=_IDENTIFIER)
    deliverable = fields.Boolean(required=True)
    sealed = fields.String(required=True, allow_none=True)
    voucher_date_expired = SupplierTime(allow_none=True)
    allow_async_delivery = fields.Boolean(allow_none=True)

    # Recorded on lines of version 1.02 and documented nowhere.
    id = Count(allow_none=True)
    order_id = Count(allow_none=True)
    entity_id = Count(allow_none=True)
    brand_slug = fields.String(allow_none=True)
    date_created = SupplierTime(allow_none=True)
    date_updated = SupplierTime(allow_none=True)
    external_supplier = fields.String(allow_none=True)
    offer_id = Count(allow_none=True)
    price_amount = Money(allow_none=True)
    price_incl_vat = Money(allow_none=True)
    price_amount_in_payment_currency = Money(allow_none=True)
    price_incl_vat_in_payment_currency = Money(allow_none=True)
    price_vat_amount_in_payment_currency = Money(allow_none=True)
    price_vat_turnover = Money(allow_none=True)
    price_vat_turnover_in_payment_currency = Money(allow_none=True)
    price_currency = fields.String(allow_none=True)
    price_fx = Money(allow_none=True)
    payment_currency = fields.String(allow_none=True)
    payment_currency_fx = Money(allow_none=True)
    product = LineProduct(ProductSchema, allow_none=True)
    product_slug = fields.String(allow_none=True)
    product_region = fields.String(allow_none=True)
    product_facevalue_amount = Money(allow_none=True)
    product_facevalue_currency = fields.String(allow_none=True)
    product_facevalue_fx = Money(allow_none=True)
    state = fields.String(allow_none=True)

    @pre_load
    def take_secrets_out(self, data: Any, **kwargs: Any) -> Any:
        if not isinstance(data, dict):
            return data
        secrets = {name: data[name] for name in SECRETS if data.get(name) is not None}
        line = {name: value for name, value in data.items() if name not in SECRETS}
        return line | {"deliverable": _deliverable(secrets), "sealed": _sealed(secrets)}


def _deliverable(secrets: dict[str, Any]) -> bool:
    values = (secrets.get(name) for name in DELIVERABLE)
    return any(isinstance(value, str) and value.strip() for value in values)


def _sealed(secrets: dict[str, Any]) -> str | None:
    context: Any = Context.get(default=None)
    seal = context.get("seal") if isinstance(context, dict) else None
    return seal(json.dumps(secrets, default=str).encode()) if seal and secrets else None


class ItemSchema(CamelSchema):
    product = fields.Nested(ProductSchema, allow_none=True)
    amount = Count(allow_none=True)
    price_currency = fields.String(allow_none=True)
    single_price_amount = Money(allow_none=True)
    total_price_amount = Money(allow_none=True)
    total_price_vat = Money(allow_none=True)
    total_price_incl_vat = Money(allow_none=True)
    price_fx = Money(allow_none=True)
    payment_currency = fields.String(allow_none=True)
    single_price_amount_in_payment_currency = Money(allow_none=True)
    total_price_amount_in_payment_currency = Money(allow_none=True)
    total_price_vat_in_payment_currency = Money(allow_none=True)
    total_price_incl_vat_in_payment_currency = Money(allow_none=True)
    order_lines = fields.List(fields.Nested(OrderLineSchema), allow_none=True)
    lines_completed = Count(allow_none=True)
    product_slug = fields.String(allow_none=True)
    face_value_amount = Money(allow_none=True)
    face_value_currency = fields.String(allow_none=True)
    face_value_fx = Money(allow_none=True)


class OrderSchema(CamelSchema):
    """A currency code as it came: `eur` up to version 1.02, `EUR` in 1.03."""

    trx = fields.String(required=True, validate=_IDENTIFIER)
    price_currency = fields.String(allow_none=True)
    price_amount = Money(allow_none=True)
    price_vat = Money(allow_none=True)
    price_incl_vat = Money(allow_none=True)
    price_fx = Money(allow_none=True)
    date_created = SupplierTime(allow_none=True)
    payment_status = fields.String(allow_none=True)
    type = fields.String(allow_none=True)
    reference = fields.String(allow_none=True)
    state = fields.String(allow_none=True)
    order_status = fields.String(required=True)
    is_balance_payment = fields.Boolean(allow_none=True)
    downloaded = fields.Boolean(allow_none=True)
    items = fields.List(fields.Nested(ItemSchema), allow_none=True)


class PaginationSchema(CamelSchema):
    total = Count(allow_none=True)
    page = Count(allow_none=True)
    limit = Count(allow_none=True)
    pages = Count(allow_none=True)


class PageSchema(CamelSchema):
    data = fields.List(fields.Nested(OrderSchema), required=True)
    pagination = fields.Nested(PaginationSchema, allow_none=True)


class AccountSchema(CamelSchema):
    """The answer to `GET account` is a bare array of these."""

    currency = fields.String(required=True, validate=_IDENTIFIER)
    state = fields.String(allow_none=True)
    total_amount = Money(required=True)


class FinishedSchema(CamelSchema):
    trx = fields.String(required=True, validate=_IDENTIFIER)
    reference = fields.String(allow_none=True)


class WebhookData(fields.Field[Any]):
    """A finished order's object or the catalogue's slugs; of other events nothing is kept."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        event = data.get("event")
        if event == FINISHED or (event is None and isinstance(value, dict)):
            return FinishedSchema().load(value)
        if event == CATALOGUE_UPDATED:
            return fields.List(fields.String()).deserialize(value, attr, data)
        return None


class WebhookSchema(CamelSchema):
    """A webhook: unsigned and sent once, so a hint to look and never a proof.

    `event` may be null, which means finished.
    """

    event = fields.String(allow_none=True)
    state = fields.String(allow_none=True)
    api_key_description = fields.String()
    data = WebhookData(allow_none=True)

    @pre_load
    def only_objects(self, data: Any, **kwargs: Any) -> Any:
        if not isinstance(data, dict):
            raise ValidationError("not an object")
        return data
