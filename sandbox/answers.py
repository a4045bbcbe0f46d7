"""Answers to a confirm apart from the order itself: the suppliers' error tables as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HTML = (
    b"<!DOCTYPE html><html><head><title>One moment</title></head><body><h1>Please "
    b"wait</h1></body></html>"
)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `clean` when the client can know from it whether its call took effect."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    clean: bool = True


PAGE = Answer(200, HTML, "text/html", clean=False)
BROKEN_PAGE = Answer(500, HTML, "text/html", clean=False)
NO_CONTENT = Answer(204, clean=False)
MOVED = Answer(302, b"", "text/plain", {"Location": "https://status.example/"}, clean=False)

# name: (HTTP status, exact message)
RELOGRADE_ERRORS: Mapping[str, tuple[int, str]] = {
    "multiple_order_lines": (400, "MULTIPLE_ORDER_LINES"),
    "not_found": (404, "order not found"),
    "cannot_confirm": (400, "this order can not be confirmed"),
    # Our wording: the error table of cancel is not known.
    "cannot_cancel": (400, "this order can not be cancelled"),
    "expired": (400, "this order has expired, orders need confirmation within 24 hours"),
    "company_not_verified": (400, "company not verified"),
    "offer_unavailable": (422, "some offers not available: {product}"),
    "out_of_stock": (422, "Product {product} is out of stock"),
    "insufficient_balance": (402, "insufficient balance"),
    "bad_request": (400, "bad_request"),
    "unauthorized": (401, "unauthorized"),
    "forbidden": (403, "forbidden"),
    "rate_limited": (429, "rate_limit_exceeded"),
    "server_error": (500, "server_error"),
    "unknown_error": (400, "something went wrong, please contact support"),
}

# name: (HTTP status, code)
LOGITRAIL_ERRORS: Mapping[str, tuple[int, str]] = {
    "order_not_passive": (400, "order_not_passive"),  # the status is a switch
    "access_denied": (403, "access_denied"),
    "method_not_allowed": (405, "method_not_allowed"),
    "not_found": (404, "not_found"),  # the code of a 404 is not documented
    "invalid_body": (400, "product.merchants_id.required"),
    "order_already_cancelled": (400, "order_already_cancelled"),
    "order_already_processing": (400, "order_already_processing"),
    "order_already_processed": (400, "order_already_processed"),
    "conflict": (409, "conflicting_state"),
    "rate_limited": (429, "rate_limited"),
    "server_error": (500, "unknown"),
    "unknown_error": (500, "unknown"),
}

# Errors that promise nothing about the effect: the client has to ask.
UNCLEAR = frozenset(
    {"cannot_confirm", "server_error", "unknown_error", "conflict", "order_not_passive"}
)
