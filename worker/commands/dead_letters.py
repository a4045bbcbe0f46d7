"""`celery -A worker dead-letters …`"""

import sys
from typing import Any

import click

from schemas.messages import SUPPLIERS
from schemas.order import REASONS
from worker.commands.output import command, document, fail, json_option, pairs, table
from worker.service import Service

COLUMNS = ("key", "reason", "since", "deadline_at", "amount", "currency", "detail")


@click.group("dead-letters")
def dead_letters() -> None:
    """Orders, messages and outcomes that wait for a person."""


@dead_letters.command("list")
@click.option("--reason", type=click.Choice(REASONS))
@json_option
@command
def list_(service: Service, reason: str | None, as_json: bool) -> None:
    """All of them, oldest first."""
    rows = service.views.letters(reason)
    document(rows) if as_json else table(rows, COLUMNS)


@dead_letters.command()
@click.argument("key")
@json_option
@command
def show(service: Service, key: str, as_json: bool) -> None:
    """One of them, whole."""
    letter = service.dead_letters.show(key)
    if letter is None:
        return fail(f"no such dead letter: {key}")
    if as_json:
        return document(letter)
    return pairs(letter)


@dead_letters.command()
@click.argument("keys", nargs=-1)
@click.option("--reason", type=click.Choice(REASONS), help="All with this reason.")
@click.option("--supplier", type=click.Choice(SUPPLIERS))
@click.option("--dry-run", is_flag=True, help="Only say which.")
@json_option
@command
def requeue(
    service: Service,
    keys: tuple[str, ...],
    reason: str | None,
    supplier: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put dead letters back: the supplier is asked before anything is confirmed."""
    if bool(keys) == bool(reason):
        fail("give KEYs, or --reason")
    chosen = list(keys)
    if reason:
        chosen = [letter["key"] for letter in service.views.letters(reason, supplier)]
    act = service.dead_letters.exists if dry_run else service.dead_letters.requeue
    results = [{"key": key, "error": act(key)} for key in chosen]
    _say_requeued(results, dry_run=dry_run, as_json=as_json)
    if any(result["error"] for result in results):
        sys.exit(1)


def _say_requeued(results: list[dict[str, Any]], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        document([{**one, "requeued": not dry_run and one["error"] is None} for one in results])
        return
    done = "would be requeued" if dry_run else "requeued"
    for one in results:
        click.echo(f"{one['key']}  {one['error'] or done}")


@dead_letters.command()
@click.argument("key")
@click.option("--note", required=True, help="What was done about it, for those who come later.")
@json_option
@command
def resolve(service: Service, key: str, note: str, as_json: bool) -> None:
    """Close one with a note: a person has dealt with it elsewhere."""
    error = service.dead_letters.resolve(key, note)
    if error:
        return fail(f"{error}: {key}")
    if as_json:
        return document({"key": key, "resolved": True})
    return click.echo(f"{key}  resolved")
