"""`celery -A worker health`: for process managers; exit 0 only when every worker of this machine
makes progress.

A stopping one counts for as long as its calls in hand may take: it must not be killed in the middle
of one.

It looks at files alone. A ledger that cannot be reached is no worker's fault, and one that hangs
must not hang this.
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
