"""What the web app sends: the arguments of each door.

Unknown fields are refused by name; types are strict.
"""

import json
import re
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any

from marshmallow import (
    RAISE,
    Schema,
    ValidationError,
    fields,
    validate,
    validates,
    validates_schema,
)

SUPPLIERS = ("relograde", "logitrail")
DETAILS_MAX = 256 * 1024
"""Bytes of `details` as JSON."""
AHEAD = timedelta(seconds=300)
"""How far ahead of our clock a `created_at` may be; it then counts as now."""
_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
_ORDER_ID = {
    "relograde": re.compile(r"[A-Za-z0-9_-]{1,64}"),
    "logitrail": re.compile(r"[0-9a-fA-F]{24}"),
}


class Money(fields.Field[Decimal]):
    """An amount as number or string, not negative; a float counts by its shortest decimal form."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:
        plain = not isinstance(value, bool) and isinstance(value, int | float | str | Decimal)
        text = (
            f"{Decimal(repr(value)):f}"
            if isinstance(value, float) and isfinite(value)
            else str(value)
        )
        if not plain or not _AMOUNT.fullmatch(text):
            raise ValidationError("Not a valid amount.")
        return Decimal(text)


class Moment(fields.AwareDateTime):
    """ISO 8601 with offset.

    A Python sender's `datetime` arrives as one, since Celery's JSON restores it.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise self.make_error(
                    "invalid_awareness", awareness=self.AWARENESS, obj_type=self.OBJ_TYPE
                )
            return value
        return super()._deserialize(value, attr, data, **kwargs)


def _supplier() -> fields.String:
    return fields.String(required=True, validate=validate.OneOf(SUPPLIERS))


class OrderName(Schema):
    """`orders.hint` and `orders.withdraw`: which order is meant."""

    class Meta:
        unknown = RAISE

    supplier = _supplier()
    order_id = fields.String(required=True, validate=validate.Length(min=1, max=64))

    @validates_schema(skip_on_field_errors=True)
    def check_id(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not _ORDER_ID[data["supplier"]].fullmatch(data["order_id"]):
            raise ValidationError("Not an id of this supplier.", "order_id")


class ConfirmRequest(OrderName):
    """`orders.confirm`: the payment of this order cleared."""

    reference = fields.String(required=True, validate=validate.Length(min=1, max=255))
    created_at = Moment(load_default=None, allow_none=True)
    paid_at = Moment(load_default=None, allow_none=True)
    amount = Money(load_default=None, allow_none=True)
    currency = fields.String(
        load_default=None, allow_none=True, validate=validate.Regexp(r"\A[A-Za-z]{3}\Z")
    )
    details = fields.Dict(keys=fields.String(), load_default=None, allow_none=True)
    account = fields.String(
        load_default=None, allow_none=True, validate=validate.Length(min=1, max=32)
    )

    @validates("created_at", "paid_at")
    def check_text(self, value: Any, data_key: str) -> None:
        if value is not None and not 2000 <= value.year < 2200:
            raise ValidationError("Not a valid aware datetime.")

    @validates("details")
    def check_size(self, value: Any, data_key: str) -> None:
        if value is not None and len(json.dumps(value, default=str)) > DETAILS_MAX:
            raise ValidationError(f"Longer than {DETAILS_MAX} bytes.")

    @validates_schema(skip_on_field_errors=True)
    def check_supplier(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["supplier"] == "relograde" and data.get("created_at") is None:
            raise ValidationError("Missing data for required field.", "created_at")
        if data["supplier"] == "relograde" and data.get("details") is not None:
            raise ValidationError("Only Logitrail takes details.", "details")


class WebhookRequest(Schema):
    """The two `webhooks` doors: the body of a supplier's webhook, as it came."""

    class Meta:
        unknown = RAISE

    payload = fields.Raw(required=True)


class Acknowledgement(Schema):
    """`outcomes.acknowledge`: the web app has taken this outcome."""

    class Meta:
        unknown = RAISE

    id = fields.String(required=True, validate=validate.Length(min=1, max=200))


DOORS: dict[str, type[Schema]] = {
    "orders.confirm": ConfirmRequest,
    "orders.hint": OrderName,
    "orders.withdraw": OrderName,
    "webhooks.relograde": WebhookRequest,
    "webhooks.logitrail": WebhookRequest,
    "outcomes.acknowledge": Acknowledgement,
}


def first_error(error: ValidationError) -> str:
    """The first field at fault and why, on one line."""
    messages: Any = error.messages
    path = []
    while isinstance(messages, dict) and messages:
        name, messages = next(iter(messages.items()))
        path.append(str(name))
    why = messages[0] if isinstance(messages, list) and messages else str(messages)
    named = ".".join(part for part in path if part != "_schema") or "message"
    return " ".join(f"{named[:100]}: {why}".split())
