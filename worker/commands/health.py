"""`celery -A worker health`: for process managers; exit 0 only when every worker of this machine makes progress."""

import sys
from typing import Any

import click

from worker import health as progress_of
from worker.commands.output import command, document, json_option, table
from worker.service import Service


@click.command()
@click.option("--pid", type=int, help="Only this worker process.")
@json_option
@command
def health(here: Service, pid: int | None, as_json: bool) -> None:
    """When did the workers of this machine last make progress?"""
    found = progress_of.workers_here(here.settings.countersign_prefix)
    rows: list[dict[str, Any]] = [
        {"pid": number, "seconds_since_progress": round(progress.age(), 1), "well": progress.age() <= progress_of.STALE}
        for number, progress in found
        if pid in (None, number)
    ]
    document(rows) if as_json else table(rows, ("pid", "seconds_since_progress", "well"))
    if not rows or not all(row["well"] for row in rows):
        sys.exit(1)
