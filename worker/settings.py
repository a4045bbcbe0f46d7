"""One frozen Settings, read once from the environment.

Every variable of the public contract is a field of `Settings`; the README's table is printed from
them. A variable that begins like ours and is not a field stops the start, so that a typing error
cannot silently mean a default.
"""

import base64
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import redis.connection
from environs import Env, EnvError, FileAwareEnv
from standardwebhooks import Webhook

from worker.servers import group
from worker.suppliers.sealing import Sealer

PREFIXES = ("RELOGRADE_", "LOGITRAIL_", "OUTCOME_", "COUNTERSIGN_")
ACCOUNT_NAME = re.compile(r"[a-z0-9_]{1,32}")
CONFIRM_HOLDS = 30.0
"""Seconds for which a supplier may hold a confirm (Relograde's documentation)."""
CONFIRM_WITHIN = 86400.0
"""Seconds from creation after which Relograde takes no confirm (its documentation)."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LONGEST_TIMEOUT = 120.0
"""Seconds; a call that hangs keeps its order and a thread for that long."""


class SettingsError(Exception):
    """A missing or malformed variable; the message is one line that names it."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: how it is read, its default as text, and what it means."""

    name: str
    kind: str
    default: str
    meaning: str

    @property
    def secret(self) -> bool:
        """True when it may come from a file instead: `NAME_FILE`."""
        return self.kind in ("secret", "redis")


def _setting(kind: str, default: str, meaning: str) -> Any:
    """A field of `Settings`, with the row of the README's table that describes it."""
    return field(metadata={"kind": kind, "default": default, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What is set for the calls to one supplier; times in seconds."""

    calls_per_minute: int
    max_in_flight: int
    connect_timeout: float
    read_timeout: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """The values of the environment. Each field but the last is the variable of the same name."""

    redis_url: str = _setting(
        "redis",
        "redis://127.0.0.1:6379/0",
        "broker, and the ledger unless LEDGER_URL is set; or redis+sentinel://HOST:PORT,…/MASTER",
    )
    ledger_url: str = _setting("redis", "", "the ledger's Redis; empty: the same as REDIS_URL")
    countersign_prefix: str = _setting(
        "prefix", "countersign", "first part of every key of the ledger"
    )
    countersign_concurrency: int = _setting("count", "150", "threads of one worker process")
    relograde_url: str = _setting("url", "https://connect.relograde.com", "base URL")
    relograde_api_version: str = _setting("text", "1.02", "version in the path")
    relograde_api_key: str = _setting("secret", "", "API key when there is one account")
    relograde_accounts: tuple[str, ...] = _setting(
        "names", "", "several API keys, by name, comma separated; RELOGRADE_API_KEY_<NAME> each"
    )
    relograde_calls_per_minute: int = _setting(
        "count", "50", "our share of the supplier's 60; 0: no limit"
    )
    relograde_max_in_flight: int = _setting("count", "60", "calls at once, per lane")
    relograde_connect_timeout: float = _setting("seconds", "5", "seconds to connect")
    relograde_read_timeout: float = _setting(
        "seconds", "45", "seconds for the answer; a confirm holds up to 30"
    )
    relograde_settle_seconds: float = _setting(
        "seconds", "40", "after a confirm can have left, before `created` is believed"
    )
    relograde_confirm_within_seconds: float = _setting(
        "seconds", "86400", "from creation to the supplier's deadline"
    )
    relograde_deadline_margin_seconds: float = _setting(
        "seconds", "30", "kept before the deadline: the last safe moment"
    )
    relograde_recheck_seconds: tuple[float, ...] = _setting(
        "schedule", "15,30,60,120,300,600,1200,1800", "re-checks of a pending order"
    )
    relograde_pending_limit_seconds: float = _setting(
        "seconds", "604800", "pending longer is a dead letter"
    )
    relograde_batch_recheck: bool = _setting(
        "switch", "on", "one page of the list answers for several pending orders"
    )
    relograde_requeue_on_funds: bool = _setting(
        "switch",
        "off",
        "requeue insufficient_balance by itself, as far as the balance pays, when it has come back",
    )
    logitrail_urls: tuple[str, ...] = _setting(
        "urls",
        "https://api-1.logitrail.com/2015-01-01,https://api-2.logitrail.com/2015-01-01",
        "the parallel hosts, comma separated",
    )
    logitrail_merchant_id: str = _setting("text", "", "merchant id, without the `M-`")
    logitrail_secret: str = _setting("secret", "", "the merchant's shared secret")
    logitrail_calls_per_minute: int = _setting("count", "0", "0: no limit")
    logitrail_max_in_flight: int = _setting("count", "60", "calls at once")
    logitrail_connect_timeout: float = _setting("seconds", "5", "seconds to connect")
    logitrail_read_timeout: float = _setting("seconds", "30", "seconds for the answer")
    logitrail_settle_seconds: float = _setting(
        "seconds", "60", "after a confirm can have left, before it is repeated to ask"
    )
    logitrail_give_up_seconds: float = _setting(
        "seconds", "259200", "from acceptance or requeue, then a dead letter"
    )
    retry_seconds: tuple[float, ...] = _setting(
        "schedule", "2,10,30,60,300,900", "after a failure; the last repeats"
    )
    deadline_warning_seconds: float = _setting(
        "seconds", "7200", "order.deadline_warning is told this long before"
    )
    retention_days: float = _setting("seconds", "30", "days that an ended order stays readable")
    outcome_task: str = _setting("text", "", "Celery task that is told each outcome, by name")
    outcome_queue: str = _setting("text", "outcomes", "the queue that this task is sent to")
    outcome_url: str = _setting("url", "", "URL that each outcome is POSTed to")
    outcome_secret: str = _setting(
        "secret", "", "Standard Webhooks secret (whsec_…) that signs the POST"
    )
    voucher_public_key: str = _setting(
        "text", "", "X25519 key (base64 or hex): vouchers are sealed to it; empty: dropped"
    )
    countersign_unsafe: tuple[str, ...] = _setting(
        "variables", "", "variables whose values may be unsafe, comma separated"
    )
    flower_basic_auth: str = _setting("secret", "", "user:password of Flower; empty: loopback only")
    relograde_keys: Mapping[str | None, str]
    """The API keys by account; None is the account without a name."""

    def __repr__(self) -> str:
        return "Settings(…)"

    @cached_property
    def accounts(self) -> dict[str, tuple[str | None, ...]]:
        """The accounts of each supplier: one lane each."""
        return {"relograde": tuple(self.relograde_keys), "logitrail": (None,)}

    @cached_property
    def replicated(self) -> bool:
        """True when Sentinels name the ledger's server: another one may take its place."""
        return group(self.ledger_url or self.redis_url) is not None

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """The ways to the web app: task, post, both or none."""
        ways = (("task", self.outcome_task), ("post", self.outcome_url))
        return tuple(name for name, on in ways if on)

    @cached_property
    def calls(self) -> dict[str, CallSettings]:
        """What is set for the calls to each supplier."""
        return {
            "relograde": CallSettings(
                self.relograde_calls_per_minute,
                self.relograde_max_in_flight,
                self.relograde_connect_timeout,
                self.relograde_read_timeout,
            ),
            "logitrail": CallSettings(
                self.logitrail_calls_per_minute,
                self.logitrail_max_in_flight,
                self.logitrail_connect_timeout,
                self.logitrail_read_timeout,
            ),
        }


VARIABLES = tuple(
    Variable(one.name.upper(), **one.metadata) for one in fields(Settings) if one.metadata
)
_BY_NAME = {variable.name: variable for variable in VARIABLES}


def table() -> str:
    """The settings as a Markdown table, as the README shows it: `python -m worker.settings`."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for variable in VARIABLES:
        default = f"`{variable.default}`" if variable.default else "(empty)"
        secret = "; a secret, or `" + variable.name + "_FILE`" if variable.secret else ""
        rows.append(f"| `{variable.name}` | {default} | {variable.meaning}{secret} |")
    return "\n".join(rows)


def _redis(value: str) -> str:
    if value:
        try:
            if group(value):
                return value
            redis.connection.parse_url(value)
            database = urlsplit(value).path.strip("/")
        except (ValueError, TypeError):
            raise ValueError("is not a redis:// or redis+sentinel:// URL") from None
        if not value.startswith("unix") and database and not database.isdigit():
            raise ValueError("needs a number for its database")
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    try:
        parts.port  # noqa: B018 - it raises for a port that is none
    except ValueError:
        raise ValueError("is not an http(s) URL") from None
    if value and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("is not an http(s) URL")
    if parts.username or parts.password:
        raise ValueError("must not carry credentials")
    return value.rstrip("/")


def _urls(value: str) -> tuple[str, ...]:
    urls = tuple(_url(part.strip()) for part in value.split(",") if part.strip())
    if not urls:
        raise ValueError("needs at least one URL")
    return urls


def _seconds(value: str) -> float:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError("must not be negative")
    return number


def _schedule(value: str) -> tuple[float, ...]:
    steps = tuple(_seconds(part) for part in value.split(","))
    if any(step <= 0 for step in steps):
        raise ValueError("needs numbers above 0")
    return steps


def _count(value: str) -> int:
    number = int(value)
    if number < 0:
        raise ValueError("must not be negative")
    return number


def _secret(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise ValueError("must be printable ASCII")
    return value


def _names(value: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    if len(set(names)) != len(names) or not all(
        ACCOUNT_NAME.fullmatch(name) and not name.endswith("file") for name in names
    ):
        raise ValueError("needs different names of a-z, 0-9 and _, none that ends in `file`")
    return names


def _variables(value: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    for name in names:
        if name not in _BY_NAME:
            raise ValueError(f"needs names of settings, and {name[:100]!r} is none")
    return names


def _prefix(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value):
        raise ValueError("needs 1 to 64 of A-Z a-z 0-9 _ . -")
    return value


def _switch(value: str) -> bool:
    words = {"on": True, "off": False, "1": True, "0": False, "true": True, "false": False}
    if value.lower() not in words:
        raise ValueError("must be on or off")
    return words[value.lower()]


_READ: dict[str, Callable[[str], Any]] = {
    "text": str.strip,
    "secret": _secret,
    "redis": _redis,
    "url": _url,
    "urls": _urls,
    "seconds": _seconds,
    "schedule": _schedule,
    "count": _count,
    "names": _names,
    "prefix": _prefix,
    "variables": _variables,
    "switch": _switch,
}


def load() -> Settings:
    """Reads the settings.

    Raises `SettingsError` with one line that names the first variable at fault.
    """
    values = {variable.name.lower(): _value(variable) for variable in VARIABLES}
    keys = _relograde_keys(values["relograde_accounts"], values["relograde_api_key"])
    named = {f"RELOGRADE_API_KEY_{account.upper()}" for account in keys if account}
    _refuse_unknown({*_BY_NAME, *named})
    settings = Settings(**values, relograde_keys=keys)
    _check(settings)
    return settings


def _value(variable: Variable) -> Any:
    file = f"{variable.name}_FILE"
    if variable.secret and os.environ.get(file) and os.environ.get(variable.name):
        raise SettingsError(f"{variable.name}: set either it or {file}, not both")
    env = FileAwareEnv(strip_whitespace=True) if variable.secret else Env()
    try:
        text = env.str(variable.name, variable.default).strip() or variable.default
        return _READ[variable.kind](text)
    except UnicodeError:
        raise SettingsError(f"{file}: cannot be read") from None
    except (ValueError, EnvError) as error:
        known = str(error).startswith(("is ", "must ", "needs ", "The value of"))
        says = error if known else f"is not a valid {variable.kind}"
        raise SettingsError(f"{variable.name}: {says}") from None


def _relograde_keys(accounts: tuple[str, ...], unnamed: str) -> dict[str | None, str]:
    if not accounts:
        return {None: unnamed}
    keys: dict[str | None, str] = {None: unnamed} if unnamed else {}
    for account in accounts:
        variable = Variable(f"RELOGRADE_API_KEY_{account.upper()}", "secret", "", "")
        keys[account] = _value(variable)
        if not keys[account]:
            raise SettingsError(
                f"{variable.name}: is missing, and RELOGRADE_ACCOUNTS names {account}"
            )
    return keys


def _refuse_unknown(known: set[str]) -> None:
    files = {f"{name}_FILE" for name in known if name not in _BY_NAME or _BY_NAME[name].secret}
    for name in sorted(os.environ):
        if name.startswith(PREFIXES) and name not in known | files:
            raise SettingsError(f"{name}: unknown setting")


def _check(settings: Settings) -> None:
    if settings.outcome_url and not settings.outcome_secret:
        raise SettingsError("OUTCOME_SECRET: is missing, and OUTCOME_URL is set")
    if settings.flower_basic_auth and ":" not in settings.flower_basic_auth:
        raise SettingsError("FLOWER_BASIC_AUTH: needs the form user:password")
    _check_voucher_key(settings.voucher_public_key)
    _check_outcome_secret(settings.outcome_secret)
    for supplier, calls in settings.calls.items():
        _check_calls(supplier.upper(), calls)
    if settings.countersign_concurrency < 5:
        raise SettingsError("COUNTERSIGN_CONCURRENCY: must be 5 or more")
    _check_keys(settings.relograde_keys)
    if not _is_trial(settings):
        _refuse_unsafe(settings)


def _check_calls(prefix: str, calls: CallSettings) -> None:
    if calls.max_in_flight < 1:
        raise SettingsError(f"{prefix}_MAX_IN_FLIGHT: must be above 0")
    if calls.connect_timeout <= 0:
        raise SettingsError(f"{prefix}_CONNECT_TIMEOUT: must be above 0")
    if calls.read_timeout <= 0:
        raise SettingsError(f"{prefix}_READ_TIMEOUT: must be above 0")


# The supplier counts calls by key: under two names each would have a budget of its own.
def _check_keys(keys: Mapping[str | None, str]) -> None:
    owners: dict[str, str | None] = {}
    for account, key in keys.items():
        if key in owners:
            name = f"RELOGRADE_API_KEY_{str(account).upper()}"
            raise SettingsError(f"{name}: is the key of another account too")
        if key:
            owners[key] = account


def _is_trial(settings: Settings) -> bool:
    """True when a supplier is a stand-in on this machine."""
    urls = (settings.relograde_url, *settings.logitrail_urls)
    return any(urlsplit(url).hostname in LOOPBACK for url in urls)


def _refuse_unsafe(settings: Settings) -> None:
    for name, problem, remedy in unsafe(settings):
        if name not in settings.countersign_unsafe:
            raise SettingsError(f"{name}: {problem}; {remedy}, or name it in COUNTERSIGN_UNSAFE")


class Unsafe(NamedTuple):
    """A value that would lose orders or confirm twice."""

    variable: str
    problem: str
    remedy: str


def unsafe(settings: Settings) -> Iterator[Unsafe]:
    """Every value that would lose orders or confirm twice."""
    rows = (*_limits(settings), *_ends(settings), *_timeouts(settings))
    yield from (row for wrong, row in rows if wrong)


def _limits(settings: Settings) -> Iterator[tuple[bool, Unsafe]]:
    within = settings.relograde_confirm_within_seconds
    hold = "is below the 30 s that a supplier may hold a confirm"
    yield (
        settings.relograde_settle_seconds < CONFIRM_HOLDS,
        Unsafe("RELOGRADE_SETTLE_SECONDS", hold, "set 40"),
    )
    yield (
        settings.logitrail_settle_seconds < CONFIRM_HOLDS,
        Unsafe("LOGITRAIL_SETTLE_SECONDS", hold, "set 60"),
    )
    longer = "is longer than the supplier's 24 hours"
    yield (
        within > CONFIRM_WITHIN,
        Unsafe("RELOGRADE_CONFIRM_WITHIN_SECONDS", longer, "set 86400"),
    )
    late = "leaves no time: every order would be too late on arrival"
    yield (
        settings.relograde_deadline_margin_seconds >= within,
        Unsafe("RELOGRADE_DEADLINE_MARGIN_SECONDS", late, "set 30"),
    )


def _ends(settings: Settings) -> Iterator[tuple[bool, Unsafe]]:
    unread = "ends a pending order before its first re-check"
    yield (
        settings.relograde_pending_limit_seconds <= settings.relograde_recheck_seconds[0],
        Unsafe("RELOGRADE_PENDING_LIMIT_SECONDS", unread, "set 604800"),
    )
    unasked = "gives an order up before its lost answer can be asked about"
    yield (
        settings.logitrail_give_up_seconds <= settings.logitrail_settle_seconds,
        Unsafe("LOGITRAIL_GIVE_UP_SECONDS", unasked, "set 259200"),
    )
    yield (
        min(settings.retry_seconds) < 1,
        Unsafe("RETRY_SECONDS", "retries an order within a second", "set 1 or more"),
    )
    yield (
        len(set(settings.logitrail_urls)) < len(settings.logitrail_urls),
        Unsafe("LOGITRAIL_URLS", "names one host twice", "name each once"),
    )
    forgets = "forgets an order while its message may be repeated"
    yield settings.retention_days < 1, Unsafe("RETENTION_DAYS", forgets, "set 1 or more")


def _timeouts(settings: Settings) -> Iterator[tuple[bool, Unsafe]]:
    longest = f"is longer than {LONGEST_TIMEOUT:.0f} s"
    for supplier, calls in settings.calls.items():
        timeouts = {"CONNECT": calls.connect_timeout, "READ": calls.read_timeout}
        for phase, seconds in timeouts.items():
            name = f"{supplier.upper()}_{phase}_TIMEOUT"
            yield seconds > LONGEST_TIMEOUT, Unsafe(name, longest, "set 60 or less")


# A key that is refused only when it is used would be found out by the first order.
def _check_voucher_key(key: str) -> None:
    try:
        Sealer.from_key(key)
    except ValueError:
        says = "is not an X25519 public key in base64 or hex"
        raise SettingsError(f"VOUCHER_PUBLIC_KEY: {says}") from None


def _check_outcome_secret(secret: str) -> None:
    try:
        base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        if secret:
            Webhook(secret)
    except Exception:
        says = "is not a Standard Webhooks secret (whsec_ and base64)"
        raise SettingsError(f"OUTCOME_SECRET: {says}") from None


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
