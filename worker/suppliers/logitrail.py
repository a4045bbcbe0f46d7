"""Logitrail (the 2015-01-01 API): confirms an order, and reads what a webhook proves.

The facts are in `docs/suppliers.md` §2 and §3.2. An error's `code` decides, whatever its HTTP
status. There is no documented read, so a second confirm is the question. The policy judges its
`order_not_passive`.
"""

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from marshmallow import ValidationError

from schemas.logitrail import (
    ORDER_EVENTS,
    ORDER_SHIPPED,
    ConfirmationSchema,
    ErrorSchema,
    OddEvent,
    load_events,
)
from worker.rules.answers import Answer, Blocked, Cancelled, Confirmed, NotFound, Rejected, Unknown
from worker.suppliers.http import Gate, Http, HttpReply, segment

_NOT_PASSIVE = "order_not_passive"

_CODES: dict[str, Answer] = {
    "unknown": Unknown("unknown", outage=True),
    "access_denied": Blocked("forbidden", detail="access_denied"),
    "method_not_allowed": Blocked("misconfigured", detail="method_not_allowed"),
}

_STATUSES: dict[int, Answer] = {
    401: Blocked("unauthorized", detail="HTTP 401"),
    403: Blocked("forbidden", detail="HTTP 403"),
    404: NotFound("HTTP 404"),
    405: Blocked("misconfigured", detail="HTTP 405"),
    408: Unknown("HTTP 408", outage=True),
}

_BAD_FIELD = re.compile(r"product\..+|.*required|.*missing|.*invalid.*")
_CODE = re.compile(r"[a-z_.]{1,64}")

_CONFIRMED = frozenset({"confirmed", "waiting_products", "processing", "processed"})
_CANCELLED = frozenset({"cancelled", "deleted"})


class Logitrail:
    """One merchant at Logitrail's parallel hosts; `host` counts through `base_urls`."""

    def __init__(
        self,
        base_urls: tuple[str, ...],
        merchant_id: str,
        secret: str,
        connect_timeout: float,
        read_timeout: float,
        pool_size: int = 10,
    ) -> None:
        credentials = base64.b64encode(f"M-{merchant_id}:{secret}".encode()).decode("ascii")
        self._http = Http(
            {"Authorization": f"Basic {credentials}"}, connect_timeout, read_timeout, pool_size
        )
        self._roots = tuple(url.rstrip("/") for url in base_urls)
        self._secret = secret.lower()

    def confirm(
        self, order_id: str, gate: Gate, host: int = 0, details: dict[str, Any] | None = None
    ) -> Answer:
        """Confirms an order. Without `details` there is no body, as every public client does it."""
        url = f"{self._roots[host % len(self._roots)]}/orders/{segment(order_id)}/_confirm"
        try:
            document = (
                None
                if details is None
                else json.dumps(details, allow_nan=False, default=str).encode()
            )
        except ValueError:
            return Rejected("invalid_request", "details are not JSON")
        reply = self._http.call("POST", url, gate, document)
        if isinstance(reply, HttpReply):
            return self._meaning(reply, order_id)
        return reply

    def close(self) -> None:
        self._http.close()

    def _meaning(self, reply: HttpReply, order_id: str) -> Answer:
        document = reply.json()
        code = _code(document)
        if code == _NOT_PASSIVE and not _success(document):
            return Rejected(_NOT_PASSIVE, _NOT_PASSIVE)
        if reply.status == 200:
            return _confirmation(document, order_id)
        if reply.status == 429:
            return Blocked("rate_limited", reply.retry_after, "HTTP 429")
        if not 400 <= reply.status < 500:
            return Unknown(f"HTTP {reply.status}", outage=True)
        return _refusal(reply.status, code, self._detail(code, reply.status))

    def _detail(self, code: str, status: int) -> str:
        """The code helps a person, unless it is a long text or contains our own secret."""
        echo = self._secret and self._secret in code
        if _CODE.fullmatch(code) and not echo:
            return code
        return f"HTTP {status}"


def _success(document: Any) -> bool:
    return isinstance(document, dict) and document.get("success") is True


def _code(document: Any) -> str:
    try:
        return (ErrorSchema(only=("code",)).load(document).get("code") or "").lower()
    except ValidationError:
        return ""


def _confirmation(document: Any, order_id: str) -> Answer:
    try:
        confirmation = ConfirmationSchema().load(document)
    except ValidationError:
        return Unknown("unreadable confirmation", outage=not isinstance(document, dict))
    if not confirmation["success"]:
        return Unknown("success is not true")
    if confirmation["order_id"].lower() != order_id.lower():
        return Unknown("another order")
    return _with_tracking(confirmation)


def _with_tracking(document: dict[str, Any]) -> Confirmed:
    return Confirmed(
        tracking_code=document.get("tracking_code"), tracking_url=document.get("tracking_url")
    )


def _refusal(status: int, code: str, detail: str) -> Answer:
    known = (_STATUSES[401] if status == 401 else _CODES.get(code)) or _STATUSES.get(status)
    if known is not None:
        return known
    if status == 400 and _BAD_FIELD.fullmatch(code):
        return Rejected("invalid_request", detail)
    return Rejected("unrecognised_answer", detail, certain=False)


class Webhook(NamedTuple):
    """The order events of one webhook."""

    proofs: list[tuple[str, Answer | None]]
    """Order id and what the event proves, oldest first; None when it proves nothing."""
    odd: list[OddEvent]


def webhook(payload: Any) -> Webhook:
    """What each order event of a webhook proves, and the events that do not fit.

    Raises `ValidationError` when the whole is malformed.
    """
    events, odd = load_events(payload)
    known = [event for event in events if event["event_type"] in ORDER_EVENTS]
    known.sort(key=lambda event: event.get("ts") or datetime.min.replace(tzinfo=UTC))
    return Webhook([(event["payload"]["order"]["id"], _proof(event)) for event in known], odd)


def _proof(event: dict[str, Any]) -> Answer | None:
    order = event["payload"]["order"]
    status = (order.get("status") or "").lower()
    if status in _CANCELLED:
        return Cancelled()
    if status in _CONFIRMED or event["event_type"] == ORDER_SHIPPED:
        return _with_tracking(order)
    return None
