"""What a supplier may do with one call, by name, and the answers that the worker's client would
make of it.
"""

from worker.rules import answers as say

HELD = 33.0
"""The longest that a supplier takes between a confirm's arrival and its effect; the settle time is
longer.
"""

REFUSALS = {
    name: say.Rejected(name)
    for name in (
        "insufficient_balance",
        "out_of_stock",
        "offer_unavailable",
        "multiple_order_lines",
    )
}
BLOCKS = {
    "unauthorized": say.Blocked("unauthorized"),
    "forbidden": say.Blocked("forbidden"),
    "rate_limited": say.Blocked("rate_limited", 20.0),
    "misconfigured": say.Blocked("misconfigured"),
    "company_not_verified": say.Blocked("company_not_verified"),
}
TROUBLE = {
    "error_before": say.Unknown("HTTP 503", outage=True),
    "spoiled_before": say.Unknown("unreadable order"),
}
BEFORE = {
    **BLOCKS,
    **TROUBLE,
    "not_found": say.NotFound("HTTP 404"),
    "unrecognised_before": say.Rejected("unrecognised_answer", certain=False),
}
"""No effect at the supplier, this answer."""
AFTER = {
    "error_after": say.Unknown("HTTP 504", outage=True),
    "spoiled_after": say.Unknown("unreadable order"),
    "unrecognised_after": say.Rejected("unrecognised_answer", certain=False),
}
"""The effect, and then this answer."""
LOST = say.Unknown("read timeout", outage=True)
RESET = say.Unknown("connection lost", outage=True)
UNSENT = say.Unavailable("connect refused")
TOO_LATE = say.Unavailable("too late", late=True)

NO_EFFECT = {
    "relograde": {
        **BEFORE,
        **REFUSALS,
        "created_200": say.Unknown("created after confirm"),
        "cannot_confirm": say.Unknown("can not be confirmed", refused=True),
    },
    "logitrail": {**BEFORE, "invalid_request": say.Rejected("invalid_request")},
}
CONFIRMS = {
    supplier: (
        "ok",
        "slow",
        "slow_reset",
        "unavailable",
        "lost_request",
        "lost_answer",
        *answers,
        *AFTER,
    )
    for supplier, answers in NO_EFFECT.items()
}
READS = (
    "ok",
    "slow_read",
    "unavailable",
    "lost_answer",
    "says_created",
    *BLOCKS,
    *TROUBLE,
    "not_found",
)
TRANSIENT = tuple(
    name
    for name in CONFIRMS["relograde"]
    if name not in ("ok", *REFUSALS, "unrecognised_before", "unrecognised_after")
)
"""Behaviours that one order may meet again and again and still come to its end by itself."""
ENDINGS = {
    "relograde": (
        "finished", "pending", "cancelled", "pending_cancelled", "incomplete", "incomplete_once",
        "half_cancelled",
    ),
    "logitrail": ("confirmed", "elsewhere"),
}  # fmt: skip


def certain(answer: say.Answer | None) -> bool:
    """True when this answer to a confirm proves that this very confirm did nothing."""
    if isinstance(answer, say.Rejected):
        return answer.certain
    return isinstance(answer, say.Blocked | say.Unavailable | say.NotFound)
