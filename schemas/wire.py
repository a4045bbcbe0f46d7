"""What the wire shapes of both suppliers share.

They are tolerant of answers, exact about money, and silent about values.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields

_HUGE = 30
"""Digits of a price on either side of the point: `1e999999999`, written out, fills memory."""


class Money(fields.Decimal):
    """An exact amount.

    Load the JSON with `parse_float=Decimal`; it goes out as a string with all its digits.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(as_string=True, **kwargs)

    def _validated(self, value: Any) -> Decimal:
        amount = super()._validated(value)
        if abs(amount.adjusted()) > _HUGE or len(amount.as_tuple().digits) > _HUGE:
            raise self.make_error("too_large", input=None)
        return amount


class Count(fields.Integer):
    """A number of things. `int(Decimal("1e999999999"))` would run for ever."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, Decimal) and (not value.is_finite() or value.adjusted() > _HUGE):
            raise self.make_error("too_large", input=None)
        return super()._validated(value)


class SupplierTime(fields.Field[datetime | None]):
    """An instant, aware and in UTC, written with or without milliseconds.

    An unreadable one becomes None: a strange expiry date must not spoil the proof of delivery
    around it.
    """

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> datetime | None:
        try:
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            return None

    def _serialize(
        self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any
    ) -> str | None:
        if value is None:
            return None
        precision = "microseconds" if value.microsecond % 1000 else "milliseconds"
        return value.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


class SupplierSchema(Schema):
    """A shape that drops unknown fields; its errors carry no document, which may hold vouchers."""

    class Meta:
        unknown = EXCLUDE

    def handle_error(self, error: ValidationError, data: Any, *, many: bool, **kwargs: Any) -> None:
        error.data = None
        error.valid_data = None

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """Reads a key of the loaded dict: marshmallow would find a dict's method `items`."""
        return obj.get(attr, default)


class CamelSchema(SupplierSchema):
    """Our `price_incl_vat` is the supplier's `priceInclVat`."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.data_key = re.sub(
            "_([a-z])", lambda match: match[1].upper(), field_obj.data_key or field_name
        )
