"""`celery -A worker health`: exit 0 only when every worker of this machine makes progress.

A stopping worker counts as healthy for as long as its calls in hand may take: a process manager
must not kill it in the middle of one. The command reads files alone. A ledger that is away is no
worker's fault, and one that hangs must not hang this command.
"""

import sys
from typing import Any

import click

from worker.commands.output import document, fail, json_option, table
from worker.process import health as progress_of
from worker.service import service


@click.command()
@click.option("--pid", type=int, help="Only this worker process.")
@json_option
def health(pid: int | None, as_json: bool) -> None:
    """When did the workers of this machine last make progress?"""
    found = progress_of.workers_here(service().settings.countersign_prefix)
    rows: list[dict[str, Any]] = [
        {
            "pid": number,
            "seconds_since_progress": round(progress.age(), 1),
            "stopping": progress.stopping(),
            "well": progress.well(),
        }
        for number, progress in found
        if pid in (None, number)
    ]
    document(rows) if as_json else table(
        rows, ("pid", "seconds_since_progress", "stopping", "well")
    )
    if not rows:
        fail(
            "no worker of this machine is ready"
            if pid is None
            else f"worker {pid} is not ready, or gone"
        )
    if not all(row["well"] for row in rows):
        sys.exit(1)
