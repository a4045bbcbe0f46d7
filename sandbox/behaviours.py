"""The behaviours of orders: closed tables, one row a behaviour, which `confirming.py` carries out.

An order gets its behaviour when it is made. The first `params.times` confirm calls (null: all of
them) meet `first`, later ones `then`. After a call took effect the supplier's own status gate
answers, whatever the row says.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Turn:
    """What one confirm call meets."""

    answer: str = "order"
    effect: bool = True
    delivery: str = "whole"
    hold: str = ""  # wait params.hold seconds "before" or "after" the effect


@dataclass(frozen=True)
class Behaviour:
    first: Turn = Turn()
    then: Turn = Turn()
    ending: str = "finished"
    params: Mapping[str, Any] = field(default_factory=dict)
    weight: int = 0  # in the mix
    starts_as: str = ""  # another status than a new order's
    hidden: bool = False  # the supplier says that there is no such order


def refusal(answer: str, times: int | None = 1, **more: Any) -> Behaviour:
    """No effect for the first `times` calls (None: for all), then an order like any other."""
    weight = more.pop("weight", 0)
    return Behaviour(
        first=Turn(answer, effect=False), params={"times": times, **more}, weight=weight
    )


COMMON_PARAMS: Mapping[str, Any] = {
    "ending": None,
    "finish_after": 3.0,
    "lines_first": 2,
    "read_errors": 0,
}
EVER = None

RELOGRADE: Mapping[str, Behaviour] = {
    "finished": Behaviour(weight=40),
    "pending": Behaviour(ending="pending", weight=20),
    "pending_forever": Behaviour(ending="pending_forever"),
    "partial": Behaviour(ending="partial", weight=4),
    "partial_cancelled": Behaviour(ending="partial_cancelled", weight=1),
    "cancelled": Behaviour(ending="cancelled", weight=2),
    "cancelled_late_lines": Behaviour(ending="cancelled_late_lines", weight=1),
    "token_only": Behaviour(ending="token_only", weight=6),
    "incomplete": Behaviour(ending="incomplete", weight=1),
    "insufficient_balance": refusal("insufficient_balance", EVER, weight=1),
    "insufficient_balance_once": refusal("insufficient_balance"),
    "out_of_stock": refusal("out_of_stock", EVER, weight=1),
    "out_of_stock_once": refusal("out_of_stock"),
    "offer_unavailable": refusal("offer_unavailable", EVER, weight=1),
    "company_not_verified": refusal("company_not_verified", EVER, for_seconds=5.0),
    "rate_limited": refusal("rate_limited", weight=2),
    "error_before": refusal("server_error", status=500, weight=4),
    "error_after": Behaviour(first=Turn("server_error"), params={"status": 500}, weight=4),
    "lost_answer": Behaviour(first=Turn(delivery="drop"), weight=5),
    "lost_request": Behaviour(
        first=Turn(effect=False, delivery="drop"), params={"times": 1}, weight=3
    ),
    "timeout_after": Behaviour(first=Turn(hold="after"), params={"hold": 60.0}),
    "timeout_before": Behaviour(
        first=Turn(effect=False, delivery="drop", hold="before"), params={"times": 1, "hold": 60.0}
    ),
    "truncated": Behaviour(first=Turn(delivery="truncated"), weight=1),
    "html_200": Behaviour(first=Turn("html"), weight=1),
    "wrong_trx": Behaviour(first=Turn("wrong_trx"), weight=1),
    "created_200": Behaviour(first=Turn(effect=False), params={"times": 1}, weight=1),
    "no_content": Behaviour(first=Turn("no_content"), weight=1),
    "redirect": refusal("redirect"),
    "oversized": Behaviour(first=Turn("oversized"), params={"megabytes": 4}),
    "slow_drip": Behaviour(first=Turn(delivery="drip"), params={"interval": 0.05, "chunk": 1}),
    "expired": refusal("expired", EVER, weight=1),
    "unknown_error": refusal("unknown_error", EVER, weight=1),
    "cannot_confirm": refusal("cannot_confirm"),
    "multiple_order_lines": refusal("multiple_order_lines", EVER),
    "not_found": Behaviour(hidden=True),
    "forbidden": refusal("forbidden", EVER),
    "slow": Behaviour(first=Turn(hold="before"), params={"hold": 2.0}, weight=2),
}

LOGITRAIL: Mapping[str, Behaviour] = {
    "confirmed": Behaviour(ending="confirmed", weight=60),
    "confirmed_without_tracking": Behaviour(first=Turn("without_tracking"), weight=4),
    "lost_answer": Behaviour(first=Turn(delivery="drop"), weight=6),
    "lost_request": Behaviour(
        first=Turn(effect=False, delivery="drop"), params={"times": 1}, weight=4
    ),
    "error_before": refusal("server_error", status=500, weight=4),
    "error_after": Behaviour(first=Turn("server_error"), params={"status": 500}, weight=4),
    "timeout_after": Behaviour(first=Turn(hold="after"), params={"hold": 60.0}),
    "timeout_before": Behaviour(
        first=Turn(effect=False, delivery="drop", hold="before"), params={"times": 1, "hold": 60.0}
    ),
    "order_not_passive": Behaviour(starts_as="confirmed", params={"status": "confirmed"}, weight=2),
    "html_500": refusal("html_500", weight=2),
    "success_false": refusal("success_false", weight=1),
    "wrong_order_id": Behaviour(first=Turn("wrong_order_id"), weight=1),
    "invalid_body": refusal("invalid_body", EVER, weight=1),
    "access_denied": refusal("access_denied", EVER),
    "not_found": Behaviour(hidden=True),
    "unknown_error": refusal("unknown_error", weight=1),
    "conflict": refusal("conflict"),
    "rate_limited": refusal("rate_limited", weight=2),
    "slow": Behaviour(first=Turn(hold="before"), params={"hold": 2.0}, weight=2),
    "truncated": Behaviour(first=Turn(delivery="truncated"), weight=1),
    "slow_drip": Behaviour(first=Turn(delivery="drip"), params={"interval": 0.05, "chunk": 1}),
}

TABLES: Mapping[str, Mapping[str, Behaviour]] = {"relograde": RELOGRADE, "logitrail": LOGITRAIL}


def named(supplier: str, name: str, rng: random.Random) -> str:
    """The name itself, or for `mix` a weighted pick; ValueError for an unknown name."""
    table = TABLES[supplier]
    if name == "mix":
        return rng.choices(list(table), [row.weight for row in table.values()])[0]
    if name not in table:
        raise ValueError(f"unknown behaviour {name!r}; {supplier} has mix, {', '.join(table)}")
    return name


def params_of(
    row: Behaviour, defaults: Mapping[str, Any], wanted: Mapping[str, Any]
) -> dict[str, Any]:
    """The params of one order: the row's, overridden by the supplier's, then by the order's."""
    known = {**COMMON_PARAMS, **row.params}
    if unknown := set(wanted) - set(known):
        raise ValueError(
            f"unknown params {', '.join(sorted(unknown))}; there are {', '.join(known)}"
        )
    return {**known, **{name: value for name, value in defaults.items() if name in known}, **wanted}


def turn_for(row: Behaviour, params: Mapping[str, Any], calls_before: int, age: float) -> Turn:
    """The turn that the next confirm meets; `age`: seconds since the sandbox made the order."""
    for_seconds = params.get("for_seconds")
    if for_seconds is not None and age >= for_seconds:
        return row.then
    times = params.get("times")
    return row.first if times is None or calls_before < times else row.then
