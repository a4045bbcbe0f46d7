"""`celery -A worker metrics`: the ledger's numbers for Prometheus, read for each scrape.

Flower has Celery's own numbers.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click
import redis
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.registry import Collector

from worker.commands.output import command, fail
from worker.ledger.reads.views import Views
from worker.service import Service

LANE = {
    "in_flight": "Calls under way.",
    "calls_per_minute": "Our share of the supplier's budget; 0: no limit.",
    "calls_left": "Calls that may still be made in the running minute.",
    "waiting": "Orders that are looked at later.",
    "due": "Orders that could be looked at now.",
}


class LedgerCollector(Collector):
    """Collects from one ledger; while it is away, `countersign_ledger_up` is 0 and stands alone."""

    def __init__(self, views: Views) -> None:
        self.views = views

    def describe(self) -> list[Gauge]:
        """Nothing: to register it need not read the ledger."""
        return []

    def collect(self) -> Iterator[Gauge]:
        """Every metric."""
        try:
            counts, forecast = self.views.counts(), self.views.forecast()
        except redis.RedisError:
            yield Gauge("countersign_ledger_up", UP, value=0)
            return
        yield Gauge("countersign_ledger_up", UP, value=1)
        yield _gauge("orders", "Orders by state.", ("state",), counts["states"])
        yield _gauge("dead_letters", "Dead letters by reason.", ("reason",), counts["dead_letters"])
        yield from _lanes(counts["lanes"], forecast["lanes"])
        if forecast["minimum_slack_seconds"] is not None:
            text = "To the nearest last safe moment of an order that waits for its confirm."
            yield Gauge(
                "countersign_minimum_slack_seconds", text, value=forecast["minimum_slack_seconds"]
            )
        yield from _money(forecast["money"])


UP = "Whether the ledger can be read."


def registry(views: Views) -> CollectorRegistry:
    """A registry with the ledger's metrics alone."""
    made = CollectorRegistry()
    made.register(LedgerCollector(views))
    return made


def _lanes(now: dict[str, Any], to_come: dict[str, Any]) -> Iterator[Gauge]:
    held = {(name, lane["cause"] or ""): int(lane["held"]) for name, lane in now.items()}
    yield _gauge("lane_held", "1 while the lane is held, with the cause.", ("lane", "cause"), held)
    for field, text in LANE.items():
        values = {name: lane[field] for name, lane in now.items()}
        yield _gauge(f"lane_{field}", text, ("lane",), values)
    misses = {name: lane["predicted_misses"] for name, lane in to_come.items()}
    yield _gauge(
        "predicted_misses",
        "Orders that will miss their deadline at the present budget.",
        ("lane",),
        misses,
    )
    pressed = {name: lane["predicted_misses_if_pending"] for name, lane in to_come.items()}
    yield _gauge(
        "predicted_misses_if_pending",
        "The same, if most confirms are answered pending.",
        ("lane",),
        pressed,
    )
    firsts = {name: _epoch(lane["first_miss_at"]) for name, lane in to_come.items()}
    yield _gauge(
        "first_miss_timestamp_seconds", "When the first of them is lost.", ("lane",), firsts
    )


def _money(rows: list[dict[str, Any]]) -> Iterator[Gauge]:
    labels = ("lane", "currency")
    named = [((row["lane"], row["currency"] or ""), row) for row in rows]
    missing = {name: float(row["missing"]) for name, row in named}
    text = (
        "What the last known balance lacks for the dead letters that want money and the "
        "orders that wait."
    )
    yield _gauge("money_missing", text, labels, missing)
    orders = {name: row["orders_lost"] for name, row in named}
    yield _gauge(
        "orders_without_money", "Orders that are lost unless it is there in time.", labels, orders
    )
    before = {name: _epoch(row["top_up_before"]) for name, row in named}
    yield _gauge(
        "top_up_before_timestamp_seconds",
        "Until when it must be there for all of them.",
        labels,
        before,
    )


def _gauge(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float | None]
) -> Gauge:
    gauge = Gauge(f"countersign_{name}", text, labels=labels)
    for key, value in values.items():
        if value is not None:
            gauge.add_metric((key,) if isinstance(key, str) else key, value)
    return gauge


def _epoch(text: str | None) -> float | None:
    if text is None:
        return None
    return datetime.fromisoformat(text).timestamp()


@click.command()
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Serve them there at /metrics, until stopped, instead of printing.",
)
@command
def metrics(service: Service, listen: str | None) -> None:
    """Print the metrics in Prometheus' text format, or serve them."""
    if listen is None:
        return click.echo(generate_latest(registry(service.views)).decode(), nl=False)
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        return fail("--listen: needs HOST:PORT")
    try:
        _, thread = start_http_server(int(port), host, registry(service.views))
    except OSError as error:
        return fail(f"--listen: {error.strerror or error}")
    click.echo(f"metrics on http://{listen}/metrics", err=True)
    return thread.join()
