"""Logitrail's wire shapes (the 2015-01-01 API): confirmation, error, Order JSON, webhook events.

The facts are in `docs/suppliers.md`, section 2. The Order JSON is the web app's own document: it
passes through whole, with its unknown fields. Unknown fields from the supplier are dropped.
"""

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from marshmallow import INCLUDE, Schema, ValidationError, fields, validate, validates_schema

from schemas.wire import Count, Money, SupplierSchema, SupplierTime

EVENTS_MAX = 100
ORDER_CHANGED = "order.info.change"
ORDER_SHIPPED = "order.shipped"
ORDER_EVENTS = frozenset({ORDER_CHANGED, ORDER_SHIPPED})

_IDENTIFIER = validate.Length(min=1, max=128)


class TrackingCode(fields.Field[str | None]):
    """A short printable string; anything else counts as no tracking code."""

    max_length = 128

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        text = (
            str(value).strip()
            if isinstance(value, str | int) and not isinstance(value, bool)
            else ""
        )
        return text if self._usable(text) else None

    def _usable(self, text: str) -> bool:
        return 0 < len(text) <= self.max_length and text.isprintable()


class TrackingUrl(TrackingCode):
    """A link that may be shown to a customer: http or https, with a host."""

    max_length = 2048

    def _usable(self, text: str) -> bool:
        try:
            parts = urlsplit(text)
        except ValueError:
            return False
        return (
            super()._usable(text)
            and " " not in text
            and parts.scheme in ("http", "https")
            and bool(parts.netloc)
        )


class ConfirmationSchema(SupplierSchema):
    success = fields.Boolean(required=True, truthy={True}, falsy={False})
    order_id = fields.String(required=True, validate=_IDENTIFIER)
    tracking_code = TrackingCode(allow_none=True)
    tracking_url = TrackingUrl(allow_none=True)


class ErrorSchema(SupplierSchema):
    """`code` says what is wrong, whatever the HTTP status; `success` may be absent."""

    code = fields.String(allow_none=True)
    message = fields.String(allow_none=True)
    success = fields.Boolean(allow_none=True, truthy={True}, falsy={False})


class MerchantsOrder(fields.Field[str | dict[str, Any]]):
    """The merchant's own id: a string, or an object with `id` (and `time`)."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> str | dict[str, Any]:
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and isinstance(value.get("id"), str | int):
            return value
        raise ValidationError("neither a string nor an object with an id")


class Dimensions(fields.Field[str | list[Any]]):
    """Millimetres, as `"W x H x D"` or `[w, h, d]`."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> str | list[Any]:
        if isinstance(value, str) or (isinstance(value, list) and len(value) == 3):
            return value
        raise ValidationError("neither a string nor three numbers")


class DetailsSchema(Schema):
    class Meta:
        unknown = INCLUDE


class CustomerSchema(DetailsSchema):
    last_name = fields.String(data_key="lastName")
    first_name = fields.String(data_key="firstName")
    organization_name = fields.String(data_key="organizationName", allow_none=True)
    address = fields.String()
    postal_code = fields.String(data_key="postalCode")
    city = fields.String()
    country_code = fields.String(data_key="countryCode", allow_none=True)
    email = fields.String(allow_none=True)
    phone_number = fields.String(data_key="phoneNumber", allow_none=True)
    eori = fields.String(allow_none=True)
    vat_id = fields.String(allow_none=True)


class DetailsProductSchema(DetailsSchema):
    qty = Count()
    merchants_id = fields.String()
    unit_price = Money(allow_none=True)
    tax_percent = Money(allow_none=True)
    name = fields.String(allow_none=True)
    gtin = fields.String(allow_none=True)
    fulfillment_by = fields.String(validate=validate.OneOf(["merchant", "logitrail"]))
    best_before = fields.String(allow_none=True)
    weight = Money(allow_none=True)
    dimensions = Dimensions(allow_none=True)
    taric_code = fields.String(allow_none=True)
    manufacturing_country = fields.String(allow_none=True)
    additional_info = fields.Raw(allow_none=True)
    source_id = fields.String(allow_none=True)


class OrderDetailsSchema(DetailsSchema):
    """The fields that may go with a confirm.

    All are optional: they update an order that exists.
    """

    merchants_order = MerchantsOrder()
    customer = fields.Nested(CustomerSchema)
    products = fields.List(fields.Nested(DetailsProductSchema))
    products_all = fields.List(fields.Nested(DetailsProductSchema))
    destination = fields.String()
    not_before = fields.String(allow_none=True)
    not_after = fields.String(allow_none=True)
    tags = fields.List(fields.String())
    tags_all = fields.List(fields.String())
    language = fields.String(validate=validate.OneOf(["fi", "en", "sv"]))
    pricelist = fields.String(allow_none=True)
    currency = fields.String()


class EventMerchantsOrder(MerchantsOrder):
    """The same in an event; an odd one becomes None, so that the proof beside it counts."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return super()._deserialize(value, attr, data, **kwargs)
        except ValidationError:
            return None


class EventOrderSchema(SupplierSchema):
    id = fields.String(required=True, validate=_IDENTIFIER)
    merchants_order = EventMerchantsOrder(allow_none=True)
    status = fields.String(allow_none=True)
    tracking_code = TrackingCode(allow_none=True)
    tracking_url = TrackingUrl(allow_none=True)


class EventShipmentSchema(SupplierSchema):
    id = fields.String(allow_none=True)
    carrier_tracking_code = fields.String(allow_none=True)


class OrderPayloadSchema(SupplierSchema):
    order = fields.Nested(EventOrderSchema, required=True)
    shipment = fields.Nested(EventShipmentSchema, allow_none=True)


class EventPayload(fields.Field[Any]):
    """The fields of an order event; of other events nothing is kept."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return OrderPayloadSchema().load(value) if data.get("event_type") in ORDER_EVENTS else None


class EventSchema(SupplierSchema):
    """The envelope of an event.

    `event_id` with `webhook_id` marks duplicates; `ts` is the first time, at any `retry_count`.
    """

    event_id = fields.String(allow_none=True)
    webhook_id = fields.String(allow_none=True)
    event_type = fields.String(required=True)
    ts = SupplierTime(allow_none=True)
    retry_count = Count(allow_none=True)
    payload = EventPayload(allow_none=True)

    @validates_schema
    def order_events_carry_an_order(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["event_type"] in ORDER_EVENTS and data.get("payload") is None:
            raise ValidationError("an order event without its order", "payload")


class OddEvent(NamedTuple):
    """An event that does not fit, as it came, and why."""

    event: Any
    error: ValidationError


def load_events(payload: Any) -> tuple[list[dict[str, Any]], list[OddEvent]]:
    """One event or a list of up to 100: those that fit, and those that do not.

    Raises `ValidationError` for what is neither, and for one event alone that does not fit.
    """
    schema = EventSchema()
    if not isinstance(payload, list):
        return [schema.load(payload)], []
    if len(payload) > EVENTS_MAX:
        raise ValidationError("more than 100 events")
    fitting, odd = [], []
    for number, event in enumerate(payload):
        try:
            fitting.append(schema.load(event))
        except ValidationError as error:
            odd.append(OddEvent(event, ValidationError({str(number): error.messages})))
    return fitting, odd
