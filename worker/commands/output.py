"""How commands print: a table for people, one JSON document for machines, one line for an error."""

import json
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import click
import redis

from schemas.lane import Lane
from worker.service import Service
from worker.service import service as this_service
from worker.settings import SettingsError

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document, for machines."
)


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the command its service; trouble outside becomes one line and exit code 1."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            current = this_service()
            current.look_at_server()
            return function(current, *args, **kwargs)
        except SettingsError as error:
            fail(str(error))
        except redis.RedisError as error:
            fail(f"the ledger cannot be reached ({type(error).__name__})")

    return run


def fail(message: str) -> None:
    """One line on stderr, exit code 1."""
    click.echo(f"countersign: {message}", err=True)
    sys.exit(1)


def document(value: Any) -> None:
    """JSON for machines."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(rows: Iterable[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Aligned columns, a dash for what is not there."""
    cells = [[_text(row.get(column)) for column in columns] for row in rows]
    heads = [column.replace("_", " ") for column in columns]
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(columns))]
    for line in [heads, *cells]:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


def pairs(record: dict[str, Any]) -> None:
    """One `name  value` line each."""
    width = max(len(name) for name in record)
    for name, value in record.items():
        click.echo(f"{name.replace('_', ' ').ljust(width)}  {_text(value)}")


def _text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        if value:
            return "yes"
        return "no"
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value)


def lane_or_fail(service: Service, name: str) -> Lane:
    """LANE as people type it."""
    supplier, _, account = name.partition("/")
    lane = Lane(supplier, account or None)
    if lane not in service.lanes:
        fail(f"no such lane: {name}")
    return lane
