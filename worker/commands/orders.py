"""`celery -A worker orders …`"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import click

from schemas.messages import SUPPLIERS
from schemas.order import STATES
from worker.commands.output import command, document, fail, json_option, pairs, table
from worker.service import Service

COLUMNS = (
    "supplier",
    "order_id",
    "account",
    "state",
    "reason",
    "attempts",
    "deadline_at",
    "next_look_at",
)
supplier_argument = click.argument("supplier", type=click.Choice(SUPPLIERS))


@click.group()
def orders() -> None:
    """Show, list, count, confirm and withdraw orders."""


@orders.command()
@supplier_argument
@click.argument("order_id")
@json_option
@command
def show(service: Service, supplier: str, order_id: str, as_json: bool) -> None:
    """One order with its timeline."""
    order = service.views.show(supplier, service.ledger.known_id(supplier, order_id))
    if order is None:
        return fail(f"no such order: {supplier}/{order_id}")
    if as_json:
        return document(order)
    timeline = order.pop("timeline")
    pairs(order)
    click.echo("\ntimeline")
    for entry in timeline:
        more = " ".join(
            f"{name}={value}" for name, value in entry.items() if name not in ("at", "event")
        )
        click.echo(f"  {entry['at']}  {entry['event']}  {more}".rstrip())
    return None


@orders.command("list")
@click.option("--state", type=click.Choice(STATES))
@click.option("--supplier", type=click.Choice(SUPPLIERS))
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@json_option
@command
def list_(
    service: Service, state: str | None, supplier: str | None, limit: int, as_json: bool
) -> None:
    """Orders in every state, newest first."""
    rows = [service.views.brief(order) for order in service.views.orders(state, supplier, limit)]
    document(rows) if as_json else table(rows, COLUMNS)


@orders.command()
@json_option
@command
def stats(service: Service, as_json: bool) -> None:
    """How many orders are where, the budgets, and what will be missed."""
    counts = service.views.stats()
    if as_json:
        return document(counts)
    pairs(counts["states"])
    click.echo()
    table([{"lane": name, **lane} for name, lane in counts["lanes"].items()], LANE_COLUMNS)
    click.echo()
    pairs(
        {
            name: counts[name]
            for name in ("dead_letters", "minimum_slack_seconds", "predicted_misses")
        }
    )
    return None


@orders.command()
@json_option
@command
def forecast(service: Service, as_json: bool) -> None:
    """What will be lost at the present budget, and for want of money."""
    seen = service.views.forecast()
    if as_json:
        return document(seen)
    for name, lane in seen["lanes"].items():
        for line in _lane_lines(name, lane):
            click.echo(line)
    for short in seen["money"]:
        click.echo(f"{short['lane']}: {_money_line(short)}")
    if not seen["exact"]:
        click.echo(
            "So many orders wait that not all were read one by one: the numbers are near, not "
            "exact."
        )
    return None


def _lane_lines(name: str, lane: dict[str, Any]) -> Iterator[str]:
    waiting = lane["to_confirm"]
    if waiting is None:
        yield f"{name}: its orders have no deadline"
        return
    if not waiting:
        yield f"{name}: no order waits for a confirm"
        return
    yield f"{name}: {_misses(lane) if lane['predicted_misses'] else _no_misses(lane)}"
    pressed = lane["predicted_misses_if_pending"]
    if pressed > lane["predicted_misses"]:
        why = "if most confirms are answered pending: a tenth of the calls is for re-checks"
        yield f"{name}: {'it' if waiting == 1 else f'{pressed} of them'} will {why}"
    if lane["held"]:
        yield f"{name}: {_cost_of_hold(lane)}"


def _pace(lane: dict[str, Any]) -> str:
    pace = "without a limit of calls"
    if lane["calls_per_minute"]:
        pace = f"at {lane['calls_per_minute']} calls a minute"
    if lane["held"]:
        return f"{pace}, once the lane is released"
    return pace


def _misses(lane: dict[str, Any]) -> str:
    who = "the one order that waits will miss its"
    if lane["to_confirm"] > 1:
        who = f"{lane['predicted_misses']} of {lane['to_confirm']} orders will miss their"
    return f"{who} deadline {_pace(lane)}, the first {lane['first_miss_at']}"


def _no_misses(lane: dict[str, Any]) -> str:
    who = "the one order that waits will not miss"
    if lane["to_confirm"] > 1:
        who = f"none of {lane['to_confirm']} orders will miss"
    spare = f"the tightest has {lane['spare_seconds']:.0f} s to spare"
    return f"{who} its deadline {_pace(lane)}: done {lane['done_at']}, {spare}"


def _cost_of_hold(lane: dict[str, Any]) -> str:
    cost = f"held, and while it is all are lost, the first {lane['first_miss_if_held_at']}"
    if not lane["release_before"]:
        return cost
    return f"{cost}; release it before {lane['release_before']}"


def _money_line(short: dict[str, Any]) -> str:
    currency, missing, lost = (
        short["currency"] or "(no currency)",
        Decimal(short["missing"]),
        short["orders_lost"],
    )
    unless = (
        f"before {short['top_up_before']} or {lost} {'orders are' if lost > 1 else 'order is'} lost"
    )
    unknown, waiting = short["orders_without_amount"], short["orders_waiting"]
    balance = f"the balance of {Decimal(short['balance'] or 0):,f} {currency}"
    if missing:
        at_least = "at least " if unknown or not short["exact"] else ""
        told = (
            f"; {waiting} of them {'wait' if waiting > 1 else 'waits'}, and {balance} is "
            f"of {short['balance_at']}"
        )
        return f"top up {at_least}{missing:,f} {currency} {unless}{told if waiting else ''}"
    if unknown:
        return f"top up {currency} {unless}; the amount of {unknown} is not known"
    return f"{balance} pays for its dead letters: requeue them {unless}"


LANE_COLUMNS = (
    "lane",
    "held",
    "cause",
    "in_flight",
    "calls_per_minute",
    "calls_left",
    "waiting",
    "due",
)


@orders.command()
@supplier_argument
@click.argument("order_id")
@click.option("--reference", required=True)
@click.option("--created-at", help="ISO 8601 with offset; required for Relograde.")
@click.option("--paid-at")
@click.option("--amount")
@click.option("--currency")
@click.option("--account")
@json_option
@command
def confirm(service: Service, supplier: str, order_id: str, as_json: bool, **given: Any) -> None:
    """Accept a paid order, as the door would; a worker confirms it."""
    request = {name: value for name, value in given.items() if value is not None}
    _answer(
        service.doors.check_in({"supplier": supplier, "order_id": order_id, **request}), as_json
    )


@orders.command()
@supplier_argument
@click.argument("order_id")
@json_option
@command
def withdraw(service: Service, supplier: str, order_id: str, as_json: bool) -> None:
    """Do not confirm this order, if it is not too late for that."""
    result = service.doors.withdraw_now({"supplier": supplier, "order_id": order_id})
    done = result.startswith("withdrawn")
    _answer(result if done or result.startswith("refused") else f"refused: {result}", as_json)


def _answer(result: str, as_json: bool) -> None:
    if result.startswith("refused"):
        fail(result)
    document({"result": result}) if as_json else click.echo(result)
