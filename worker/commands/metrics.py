"""`celery -A worker metrics`: the ledger's numbers for Prometheus."""

import click
from prometheus_client import generate_latest, start_http_server

from worker.commands.gauges import registry
from worker.commands.output import command, fail
from worker.service import Service


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Serve them there at /metrics, until stopped, instead of printing.")
@command
def metrics(here: Service, listen: str | None) -> None:
    """Print the metrics in Prometheus' text format, or serve them."""
    if listen is None:
        return click.echo(generate_latest(registry(here.views)).decode(), nl=False)
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        return fail("--listen: needs HOST:PORT")
    try:
        _, thread = start_http_server(int(port), host, registry(here.views))
    except OSError as error:
        return fail(f"--listen: {error.strerror or error}")
    click.echo(f"metrics on http://{listen}/metrics", err=True)
    return thread.join()
