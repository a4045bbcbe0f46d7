"""`celery -A worker doctor`: refuses unsafe settings, one line each with the remedy."""

import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import click
import redis

from worker.commands.output import command, document, json_option
from worker.servers import connect
from worker.service import Service
from worker.settings import CONFIRM_HOLDS, LOOPBACK, Settings, unsafe
from worker.web_app.teller import SYNC_AGE

FOLLOW_CLOSELY = (
    "set min-replicas-to-write 1 and min-replicas-max-lag 2 on every server of the group"
)


@click.command()
@json_option
@command
def doctor(service: Service, as_json: bool) -> None:
    """Check the settings and the servers; exit 0 only when nothing is unsafe."""
    problems = [
        *settings_problems(service.settings),
        *server_problems(service.settings),
        *lane_problems(service),
    ]
    if as_json:
        document([{"problem": problem, "remedy": remedy} for problem, remedy in problems])
    for problem, remedy in [] if as_json else problems:
        click.echo(f"{problem}: {remedy}")
    if problems:
        sys.exit(1)
    if not as_json:
        click.echo("all well")


def settings_problems(settings: Settings) -> Iterator[tuple[str, str]]:
    """Problems of the environment alone: a sentence and its remedy each."""
    if not any(settings.relograde_keys.values()):
        yield (
            "RELOGRADE_API_KEY is not set",
            "set it, or RELOGRADE_ACCOUNTS, or send no Relograde orders",
        )
    if not (settings.logitrail_merchant_id and settings.logitrail_secret):
        yield (
            "LOGITRAIL_MERCHANT_ID or LOGITRAIL_SECRET is not set",
            "set both, or send no Logitrail orders",
        )
    if _is_clear(settings.relograde_url):
        yield "RELOGRADE_URL sends credentials in clear", "use https"
    for _ in filter(_is_clear, settings.logitrail_urls):
        yield "LOGITRAIL_URLS sends credentials in clear", "use https"
    yield from relograde_problems(settings)
    for name, problem, remedy in unsafe(settings):
        yield f"{name} {problem}", remedy
    if not settings.channels:
        yield "the web app is told nothing", "set OUTCOME_TASK or OUTCOME_URL"
    if _is_clear(settings.outcome_url):
        yield "OUTCOME_URL is not https", "use https"


def _is_clear(url: str) -> bool:
    """True for http to another machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in LOOPBACK


def relograde_problems(settings: Settings) -> Iterator[tuple[str, str]]:
    """Times and budgets that the supplier's own would break."""
    if (
        settings.relograde_url.startswith("https")
        and settings.relograde_read_timeout <= CONFIRM_HOLDS
    ):
        yield "RELOGRADE_READ_TIMEOUT is within the 30 s that a confirm may take", "set 40 or more"
    if settings.relograde_calls_per_minute == 0 or settings.relograde_calls_per_minute > 60:
        yield (
            "RELOGRADE_CALLS_PER_MINUTE is above the supplier's 60",
            "set 50, the rest is for creating orders",
        )
    if settings.relograde_deadline_margin_seconds < 5:
        yield "RELOGRADE_DEADLINE_MARGIN_SECONDS is under the 5 s that a send may take", "set 30"


def server_problems(settings: Settings) -> Iterator[tuple[str, str]]:
    """Problems of the ledger's server, which is the database of record."""
    client = connect(settings.ledger_url or settings.redis_url)
    info = client.info()
    if tuple(int(part) for part in str(info.get("redis_version", "0.0")).split(".")[:2]) < (6, 2):
        yield "the ledger's server is older than 6.2", "use Redis 6.2 or later, or Valkey"
    config = _config(client)
    if config is None:
        yield (
            "the ledger's server does not show its configuration",
            "allow CONFIG GET, or check it by hand",
        )
        return
    if config.get("appendonly") != "yes":
        yield "the ledger does not persist", "set appendonly yes: a restart would lose every order"
    if config.get("appendfsync") == "no":
        yield "the ledger is not synced to disk", "set appendfsync everysec, or always"
    if config.get("maxmemory-policy", "noeviction") != "noeviction":
        yield "the ledger evicts orders when memory is short", "set maxmemory-policy noeviction"
    if settings.replicated and not _follows_closely(config):
        yield "a fail-over may forget orders that were told as accepted", FOLLOW_CLOSELY


def _follows_closely(config: dict[str, str]) -> bool:
    """True when a master whose replicas lag longer than an outcome waits takes no orders."""
    lag = float(config.get("min-replicas-max-lag", 0))
    return int(config.get("min-replicas-to-write", 0)) > 0 and 0 < lag <= SYNC_AGE


def _config(client: Any) -> dict[str, str] | None:
    try:
        asked = ("append*", "maxmemory*", "min-replicas*")
        found: dict[str, str] = {
            name: value for part in asked for name, value in client.config_get(part).items()
        }
    except redis.ResponseError:
        return None
    return found


def lane_problems(service: Service) -> Iterator[tuple[str, str]]:
    """Accounts that have orders and left the settings: nobody would confirm them."""
    known = {lane.key for lane in service.lanes if lane.supplier == "relograde"}
    base = service.scripts.key("relograde", "lane", "")
    for name in service.client.scan_iter(f"{_escaped(base)}*"):
        account = name[len(base) :]
        if account not in known and _has_orders(service, account):
            problem = f"orders wait for the account {account}, which has no key"
            yield problem, "name it in RELOGRADE_ACCOUNTS"


def _has_orders(service: Service, lane: str) -> bool:
    kinds = ("confirm", "ask", "recheck")
    places = [("due", lane), *(("ready", lane, kind) for kind in kinds)]
    keys = [service.scripts.key("relograde", *place) for place in places]
    return bool(service.client.exists(*keys))


def _escaped(pattern: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[]" else letter for letter in pattern)
