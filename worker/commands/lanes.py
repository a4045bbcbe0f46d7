"""`celery -A worker lanes …`"""

import click

from worker.commands.output import command, document, fail, json_option, lane_or_fail, table
from worker.service import Service

COLUMNS = (
    "lane", "held", "cause", "since", "next_probe_at", "note", "in_flight", "calls_per_minute",
    "calls_left",
    "waiting", "due", "pages", "pages_since", "pages_note",
)  # fmt: skip


@click.group()
def lanes() -> None:
    """What is sent to one supplier account: its budget, its holds."""


@lanes.command()
@json_option
@command
def show(service: Service, as_json: bool) -> None:
    """Every lane."""
    now = service.ledger.time()
    rows = [{"lane": lane.name, **service.views.lane(lane, now)} for lane in service.lanes]
    document(rows) if as_json else table(rows, COLUMNS)


@lanes.command()
@click.argument("lane")
@click.option("--note", required=True, help="Why, for those who come later.")
@json_option
@command
def hold(service: Service, lane: str, note: str, as_json: bool) -> None:
    """Send nothing until a person releases the lane; deadlines go on."""
    service.ledger.hold(lane_or_fail(service, lane), note)
    document({"lane": lane, "held": True}) if as_json else click.echo(f"{lane}  held")


@lanes.command()
@click.argument("lane")
@json_option
@command
def release(service: Service, lane: str, as_json: bool) -> None:
    """End a hold, whatever its cause."""
    service.ledger.release(lane_or_fail(service, lane))
    document({"lane": lane, "held": False}) if as_json else click.echo(f"{lane}  released")


@lanes.command()
@click.argument("lane")
@click.argument("switch", type=click.Choice(["on", "off"]))
@json_option
@command
def pages(service: Service, lane: str, switch: str, as_json: bool) -> None:
    """Let pages of the supplier's list answer for pending orders, or not; they are learnt anew."""
    known = lane_or_fail(service, lane)
    if not service.shelf.limits[known.supplier].pages:
        fail(
            f"no pages are used for {lane}: its calls have no limit, or "
            "RELOGRADE_BATCH_RECHECK is off"
        )
    service.pages.switch(known, on=switch == "on")
    document({"lane": lane, "pages": switch}) if as_json else click.echo(f"{lane}  pages {switch}")
