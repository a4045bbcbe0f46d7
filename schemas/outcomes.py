"""The body of an outcome to the web app, in the shape that the contract pins."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, fields, validate

TYPES = (
    "order.accepted",
    "order.pending",
    "order.confirmed",
    "order.cancelled",
    "order.dead_lettered",
    "order.withdrawn",
    "order.resolved",
    "order.deadline_warning",
    "order.updated",
)


def iso(seconds: float | str | None) -> str | None:
    """ISO 8601 UTC with `Z` from seconds since the epoch; None stays None."""
    if seconds is None:
        return None
    return (
        datetime.fromtimestamp(float(seconds), UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


class LineSchema(Schema):
    """One order line; `sealed` only when the web app gave us a public key."""

    tag = fields.String(required=True)
    status = fields.String(required=True)
    expires_at = fields.Function(lambda line: iso(line.get("expires_at")))
    sealed = fields.String(allow_none=True)


class OutcomeData(Schema):
    """The order as it stood when the outcome was written."""

    supplier = fields.String(required=True)
    order_id = fields.String(required=True)
    account = fields.String(allow_none=True)
    reference = fields.String(allow_none=True)
    state = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)
    sequence = fields.Integer(allow_none=True)
    attempts = fields.Integer(required=True)
    inferred = fields.Boolean(required=True)
    details_applied = fields.Boolean(allow_none=True)
    tracking_code = fields.String(allow_none=True)
    tracking_url = fields.String(allow_none=True)
    lines_total = fields.Integer(allow_none=True)
    lines_finished = fields.Integer(allow_none=True)
    lines = fields.List(fields.Nested(LineSchema))
    key = fields.String()


class OutcomeSchema(Schema):
    """One outcome: the same id on each delivery, `data.sequence` orders them per order."""

    id = fields.String(required=True)
    type = fields.String(required=True, validate=validate.OneOf(TYPES))
    timestamp = fields.String(required=True)
    data = fields.Nested(OutcomeData, required=True)


_SCHEMA = OutcomeSchema()


def dump(body: dict[str, Any]) -> dict[str, Any]:
    """The body as plain JSON."""
    dumped: dict[str, Any] = _SCHEMA.dump(body)
    return dumped
