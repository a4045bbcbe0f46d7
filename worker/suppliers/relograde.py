"""Relograde: confirms an order, finds one or a page of them, reads accounts and webhooks.

The facts are in `docs/suppliers.md` §1 and §3.1. The same 400 may mean three things, and its body
is plain text or JSON: a documented message wins over the status that it came with. A failed
*question* is never a refusal.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError
from marshmallow.experimental.context import Context

from schemas.relograde import FINISHED, AccountSchema, OrderSchema, WebhookSchema
from worker.rules.answers import (
    Answer,
    Blocked,
    Cancelled,
    Confirmed,
    Created,
    Line,
    NotFound,
    Pending,
    Rejected,
    Unknown,
)
from worker.rules.page_search import PAGE_SIZE
from worker.suppliers.http import BODY_MAX, Gate, Http, HttpReply, segment

# Documented messages of confirm, by a stable fragment in lower case. The first that occurs decides.
REFUSALS: tuple[tuple[str, Answer], ...] = (
    ("can not be confirmed", Unknown("can not be confirmed", refused=True)),
    ("has expired", Rejected("order_expired", "has expired")),
    ("not verified", Blocked("company_not_verified", detail="not verified")),
    ("multiple_order_lines", Rejected("multiple_order_lines", "multiple_order_lines")),
    ("insufficient balance", Rejected("insufficient_balance", "insufficient balance")),
    ("out of stock", Rejected("out_of_stock", "out of stock")),
    ("not available", Rejected("offer_unavailable", "not available")),
    ("order not found", NotFound("order not found")),
)

# A message decides only where one is documented: `key has expired` with a 401 is not about the
# order.
_EXPLAINED = frozenset({400, 402, 409, 422})

_STATUSES: dict[int, Answer] = {
    401: Blocked("unauthorized", detail="HTTP 401"),
    402: Rejected("insufficient_balance", "HTTP 402"),
    403: Blocked("forbidden", detail="HTTP 403"),
    404: NotFound("HTTP 404"),
    405: Blocked("misconfigured", detail="HTTP 405"),
    408: Unknown("HTTP 408", outage=True),
}

_MESSAGE_MAX = 2000
_ENTRY_MAX = 100_000
"""Bytes of one order on a page: its lines were recorded with a whole product inside each."""

_ORDER = OrderSchema(
    only=(
        "trx",
        "order_status",
        "date_created",
        "items.amount",
        "items.order_lines.tag",
        "items.order_lines.status",
        "items.order_lines.deliverable",
        "items.order_lines.sealed",
        "items.order_lines.voucher_date_expired",
    )
)
"""The fields that decide; an odd value in any other field must not spoil the proof."""


class Relograde:
    """One account at Relograde.

    `seal` turns a line's secrets into a string that only the web app can open.
    """

    def __init__(
        self,
        base_url: str,
        version: str,
        api_key: str,
        connect_timeout: float,
        read_timeout: float,
        pool_size: int = 10,
        seal: Callable[[bytes], str] | None = None,
    ) -> None:
        self._root = f"{base_url.rstrip('/')}/api/{segment(version)}"
        self._http = Http(
            {"Authorization": f"Bearer {api_key}"}, connect_timeout, read_timeout, pool_size
        )
        self._seal = seal

    def confirm(
        self, order_id: str, gate: Gate, host: int = 0, details: dict[str, Any] | None = None
    ) -> Answer:
        """Confirms an order. Relograde has one host and takes no body: both go unused."""
        reply = self._http.call("PATCH", f"{self._root}/order/confirm/{segment(order_id)}", gate)
        if not isinstance(reply, HttpReply):
            return reply
        if reply.status != 200:
            return _refused_confirm(reply)
        answer = self._named(reply.json(), order_id)
        if isinstance(answer, Created):
            return Unknown("created after confirm")
        return answer

    def find(self, order_id: str, gate: Gate) -> Answer:
        reply = self._http.call("GET", f"{self._root}/order/{segment(order_id)}", gate)
        if not isinstance(reply, HttpReply):
            return reply
        if reply.status == 200:
            return self._named(reply.json(), order_id)
        return _failed_question(reply)

    def find_page(self, page: int, gate: Gate) -> dict[str, Answer] | Answer:
        """The answers of one page of up to 100 orders, by trx; an unreadable order is left out."""
        document = self._ask(
            f"order?limit={PAGE_SIZE}&page={page}", gate, body_max=PAGE_SIZE * _ENTRY_MAX
        )
        if isinstance(document, Answer):
            return document
        entries = document.get("data") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            return Unknown("unreadable page")
        return dict(filter(None, (self._order(entry) for entry in entries)))

    def accounts(self, gate: Gate) -> dict[str, Decimal] | Answer:
        """The balance of each account that this key sees, by currency code in upper case."""
        document = self._ask("account", gate)
        if isinstance(document, Answer):
            return document
        try:
            accounts = AccountSchema(many=True).load(document)
        except ValidationError:
            return Unknown("unreadable accounts")
        named = [(account["currency"].upper(), account["total_amount"]) for account in accounts]
        often = Counter(currency for currency, _ in named)
        # Which of two is the balance is not known: such a currency counts as not told.
        return {currency: amount for currency, amount in named if often[currency] == 1}

    def close(self) -> None:
        self._http.close()

    def _ask(self, path: str, gate: Gate, body_max: int = BODY_MAX) -> Any:
        """The document that answers a question about no single order."""
        reply = self._http.call("GET", f"{self._root}/{path}", gate, body_max=body_max)
        if not isinstance(reply, HttpReply):
            return reply
        if reply.status == 200:
            document = reply.json()
            if document is None:
                return Unknown("not JSON", outage=True)
            return document
        answer = _failed_question(reply)
        if isinstance(answer, NotFound):
            return Blocked("misconfigured", detail=answer.detail)
        return answer

    def _named(self, document: Any, order_id: str) -> Answer:
        trx, answer = self._order(document) or (
            "",
            Unknown("unreadable order", outage=not isinstance(document, dict)),
        )
        if trx in (order_id, ""):
            return answer
        return Unknown("another order")

    def _order(self, document: Any) -> tuple[str, Answer] | None:
        with Context({"seal": self._seal}):
            try:
                order = _ORDER.load(document)
            except ValidationError:
                return None
        return order["trx"], _meaning(order)


def hinted_orders(payload: Any) -> list[str]:
    """The orders that a webhook names; none for an event about something else.

    Raises `ValidationError` when the webhook is malformed.
    """
    hint = WebhookSchema().load(payload)
    data = hint.get("data")
    if hint.get("event") in (None, FINISHED) and data:
        return [data["trx"]]
    return []


def _meaning(order: dict[str, Any]) -> Answer:
    created_at = order.get("date_created")
    match order["order_status"].lower():
        case "finished":
            return Confirmed((*_lines(order), *_missing(order)), created_at=created_at)
        case "pending":
            return Pending(_lines(order), created_at)
        case "cancelled":
            return Cancelled(_lines(order), created_at)
        case "created":
            return Created(created_at)
    return Unknown("unknown status")


def _lines(order: dict[str, Any]) -> tuple[Line, ...]:
    return tuple(
        Line(
            tag=line["tag"],
            status=line["status"].lower(),
            deliverable=line["deliverable"],
            expires_at=line.get("voucher_date_expired"),
            sealed=line["sealed"],
        )
        for item in order.get("items") or []
        for line in item.get("order_lines") or []
    )


def _missing(order: dict[str, Any]) -> tuple[Line, ...]:
    """Stands for what a finished order should show: the order then reads as incomplete."""
    items = order.get("items") or [{}]
    return tuple(
        Line(tag=f"missing-{number}", status="missing")
        for number, item in enumerate(items, 1)
        if len(item.get("order_lines") or []) < max(item.get("amount") or 1, 1)
    )


def _refused_confirm(reply: HttpReply) -> Answer:
    if reply.status == 429:
        return Blocked("rate_limited", reply.retry_after, "HTTP 429")
    if reply.status in _EXPLAINED:
        message = _message(reply)
        explained = next((answer for fragment, answer in REFUSALS if fragment in message), None)
        if explained is not None:
            return explained
    return _STATUSES.get(reply.status) or _undocumented(reply.status)


def _undocumented(status: int) -> Answer:
    if 400 <= status < 500:
        return Rejected("unrecognised_answer", f"HTTP {status}", certain=False)
    return Unknown(f"HTTP {status}", outage=True)


def _failed_question(reply: HttpReply) -> Answer:
    """A read that was refused says nothing about the order, except that there is none."""
    if 300 <= reply.status < 400:
        return Blocked("misconfigured", detail=f"HTTP {reply.status}")
    answer = _refused_confirm(reply)
    if isinstance(answer, Rejected):
        return Unknown(answer.detail)
    if isinstance(answer, Unknown):
        return replace(answer, refused=False)
    return answer


def _message(reply: HttpReply) -> str:
    """What an error says, in lower case: JSON, else plain text. A web page says nothing."""
    text = _texts(reply.json()) or (reply.body or b"").decode("utf-8", "replace").strip()
    if text.startswith("<"):
        return ""
    return text[:_MESSAGE_MAX].lower()


def _texts(document: Any) -> str:
    if isinstance(document, dict):
        return "\n".join(
            filter(None, (_texts(document.get("message")), _texts(document.get("error"))))
        )
    if isinstance(document, list):
        return "\n".join(part for part in document if isinstance(part, str))
    if isinstance(document, str):
        return document.strip()
    return ""
