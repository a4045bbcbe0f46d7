"""`celery -A worker dead-letters …`"""

import sys

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
def list_(here: Service, reason: str | None, as_json: bool) -> None:
    """All of them, oldest first."""
    rows = here.views.letters(reason)
    document(rows) if as_json else table(rows, COLUMNS)


@dead_letters.command()
@click.argument("key")
@json_option
@command
def show(here: Service, key: str, as_json: bool) -> None:
    """One of them, whole."""
    letter = here.dead_letters.show(key)
    if letter is None:
        return fail(f"no such dead letter: {key}")
    return document(letter) if as_json else pairs(letter)


@dead_letters.command()
@click.argument("keys", nargs=-1)
@click.option("--reason", type=click.Choice(REASONS), help="All with this reason.")
@click.option("--supplier", type=click.Choice(SUPPLIERS))
@click.option("--dry-run", is_flag=True, help="Only say which.")
@json_option
@command
def requeue(
    here: Service,
    keys: tuple[str, ...],
    reason: str | None,
    supplier: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put dead letters back: the supplier is asked before anything is confirmed."""
    if bool(keys) == bool(reason):
        return fail("give KEYs, or --reason")
    chosen = (
        [letter["key"] for letter in here.views.letters(reason, supplier)] if reason else list(keys)
    )
    act = here.dead_letters.exists if dry_run else here.dead_letters.requeue
    results = [{"key": key, "error": act(key)} for key in chosen]
    if as_json:
        document(
            [{**result, "requeued": not dry_run and result["error"] is None} for result in results]
        )
    else:
        for result in results:
            word = result["error"] or ("would be requeued" if dry_run else "requeued")
            click.echo(f"{result['key']}  {word}")
    return sys.exit(1) if any(result["error"] for result in results) else None


@dead_letters.command()
@click.argument("key")
@click.option("--note", required=True, help="What was done about it, for those who come later.")
@json_option
@command
def resolve(here: Service, key: str, note: str, as_json: bool) -> None:
    """Close one with a note: a person has dealt with it elsewhere."""
    error = here.dead_letters.resolve(key, note)
    if error:
        return fail(f"{error}: {key}")
    return document({"key": key, "resolved": True}) if as_json else click.echo(f"{key}  resolved")
