"""Every kind of order that the demo sends, and its only right end.

`share` is the number among 200 orders; the two kinds that end at once fill up the rest. Ages are in
seconds. The supplier's 24 hours are not shortened: an order near its deadline is as old as that.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DAY = 86400.0
NEVER: dict[str, Any] = {"times": None}  # the behaviour meets every call, not only the first
BEYOND_READ_TIMEOUT: dict[str, Any] = {"hold": 6.0}
PARTS: dict[str, Any] = {"lines": 3, "lines_first": 1}


@dataclass(frozen=True, slots=True)
class Kind:
    """One row: how the sandbox treats such an order, and the only right end of it."""

    name: str
    supplier: str
    behaviour: str
    share: int
    state: str = "confirmed"
    reason: str | None = None
    age: float = 0.0
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def end(self) -> str:
        """The end in words, `dead: out_of_stock` for example."""
        return f"{self.state}: {self.reason}" if self.reason else self.state


def _relograde(
    name: str, behaviour: str, share: int, state: str = "confirmed", **more: Any
) -> Kind:
    return Kind(name, "relograde", behaviour, share, state, **more)


def _logitrail(
    name: str, behaviour: str, share: int, state: str = "confirmed", **more: Any
) -> Kind:
    return Kind(name, "logitrail", behaviour, share, state, **more)


FILLERS = (
    _relograde("finished at once", "finished", 0),
    _logitrail("confirmed at once", "confirmed", 0),
)
KINDS = (
    *FILLERS,
    _relograde("pending, then finished", "pending", 16),
    _relograde("partly delivered, then finished", "partial", 8, params=PARTS),
    _relograde(
        "partly delivered, then cancelled", "partial_cancelled", 3, "cancelled", params=PARTS
    ),
    _relograde("cancelled", "cancelled", 4, "cancelled"),
    _relograde("cancelled, a line delivered late", "cancelled_late_lines", 1, "cancelled"),
    _relograde("finished with tokens only", "token_only", 4),
    _relograde(
        "finished, nothing to deliver", "incomplete", 2, "dead", reason="incomplete_delivery"
    ),
    _relograde(
        "insufficient balance", "insufficient_balance", 4, "dead", reason="insufficient_balance"
    ),
    _relograde("out of stock", "out_of_stock", 4, "dead", reason="out_of_stock"),
    _relograde("offer unavailable", "offer_unavailable", 2, "dead", reason="offer_unavailable"),
    _relograde(
        "several order lines", "multiple_order_lines", 1, "dead", reason="multiple_order_lines"
    ),
    _relograde("an error nobody knows", "unknown_error", 1, "dead", reason="unrecognised_answer"),
    _relograde("forbidden, others pass", "forbidden", 1, "dead", reason="access_denied"),
    _relograde("not found, others are", "not_found", 1, "dead", reason="order_not_found"),
    _relograde(
        "company not verified for a while", "company_not_verified", 2, params={"for_seconds": 4.0}
    ),
    _relograde("429", "rate_limited", 3),
    _relograde("5xx before the effect", "error_before", 4),
    _relograde("5xx after the effect", "error_after", 4),
    _relograde("answer lost after the effect", "lost_answer", 6),
    _relograde("request lost", "lost_request", 3),
    _relograde("no answer in time, effect", "timeout_after", 2, params=BEYOND_READ_TIMEOUT),
    _relograde("no answer in time, no effect", "timeout_before", 2, params=BEYOND_READ_TIMEOUT),
    _relograde("answer cut short", "truncated", 2),
    _relograde("a web page instead of an answer", "html_200", 1),
    _relograde("another order's answer", "wrong_trx", 1),
    _relograde("200, and still created", "created_200", 1),
    _relograde("204 after the effect", "no_content", 1),
    _relograde("`can not be confirmed`, once", "cannot_confirm", 1),
    _relograde("slow", "slow", 3),
    _relograde("older than 24 h", "finished", 4, "dead", reason="deadline_missed", age=DAY + 3600),
    _relograde("a minute before the deadline", "finished", 4, age=DAY - 60),
    _relograde("5xx a minute before the deadline", "error_before", 2, age=DAY - 60),
    _relograde(
        "lost until the deadline",
        "lost_request",
        2,
        "dead",
        reason="deadline_missed",
        age=DAY - 30,
        params=NEVER,
    ),
    _logitrail("confirmed without tracking", "confirmed_without_tracking", 3),
    _logitrail("answer lost after the effect", "lost_answer", 6),
    _logitrail("request lost", "lost_request", 3),
    _logitrail("5xx before the effect", "error_before", 3),
    _logitrail("5xx after the effect", "error_after", 3),
    _logitrail("a broken page with 500", "html_500", 1),
    _logitrail("`success` is false, once", "success_false", 1),
    _logitrail("another order's answer", "wrong_order_id", 1),
    _logitrail("answer cut short", "truncated", 1),
    _logitrail("no answer in time, effect", "timeout_after", 1, params=BEYOND_READ_TIMEOUT),
    _logitrail("no answer in time, no effect", "timeout_before", 1, params=BEYOND_READ_TIMEOUT),
    _logitrail(
        "never an answer", "error_before", 1, "dead", reason="outcome_unknown", params=NEVER
    ),
    _logitrail("order_not_passive", "order_not_passive", 4, "dead", reason="order_not_passive"),
    _logitrail("invalid body", "invalid_body", 2, "dead", reason="invalid_request"),
    _logitrail("access denied, others pass", "access_denied", 1, "dead", reason="access_denied"),
    _logitrail("not found, others are", "not_found", 1, "dead", reason="order_not_found"),
    _logitrail("429", "rate_limited", 2),
    _logitrail("slow", "slow", 2),
)


def chosen(orders: int, dice: random.Random) -> list[Kind]:
    """The kinds of that many orders, shuffled; each kind comes at least once."""
    picked = [kind for kind in KINDS for _ in range(max(1, round(kind.share * orders / 200)))]
    picked += [FILLERS[n % 3 == 2] for n in range(orders - len(picked))]
    dice.shuffle(picked)
    return picked


def wanted(kind: Kind, dice: random.Random) -> dict[str, Any]:
    """The description of an order for the sandbox's admin route."""
    params = dict(kind.params)
    lines = params.pop("lines", dice.randint(1, 4))
    if kind.supplier == "relograde":
        params["finish_after"] = round(dice.uniform(1.0, 6.0), 1)
    more = {"lines": lines} if kind.supplier == "relograde" else {}
    return {
        "supplier": kind.supplier,
        "behaviour": kind.behaviour,
        "age_seconds": kind.age,
        "params": params,
        **more,
    }
