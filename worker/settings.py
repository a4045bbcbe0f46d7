"""One frozen Settings, read once from the environment.

Every variable of the public contract is one row of `VARIABLES`; the README's table is printed from
it, and a variable that begins like ours but is not in it stops the start, so that a typing error
cannot silently mean a default.
"""

import base64
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import redis.connection
from environs import Env, EnvError, FileAwareEnv
from standardwebhooks import Webhook

from worker.servers import group
from worker.suppliers.sealing import Sealer

PREFIXES = ("RELOGRADE_", "LOGITRAIL_", "OUTCOME_", "COUNTERSIGN_")
ACCOUNT_NAME = re.compile(r"[a-z0-9_]{1,32}")


class SettingsError(Exception):
    """A missing or malformed variable; the message is one line that names it."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: how it is read, its default as text, and what it means."""

    name: str
    kind: str
    default: str
    meaning: str
    secret: bool = False


def _variable(name: str, kind: str, default: str, meaning: str) -> Variable:
    return Variable(name, kind, default, meaning, secret=kind in ("secret", "redis"))


VARIABLES: tuple[Variable, ...] = tuple(
    _variable(*row)
    for row in (
        (
            "REDIS_URL",
            "redis",
            "redis://127.0.0.1:6379/0",
            "broker, and the ledger unless LEDGER_URL is set; or redis+sentinel://HOST:PORT,…/MASTER",
        ),
        ("LEDGER_URL", "redis", "", "the ledger's Redis; empty: the same as REDIS_URL"),
        ("COUNTERSIGN_PREFIX", "prefix", "countersign", "first part of every key of the ledger"),
        ("COUNTERSIGN_CONCURRENCY", "count", "150", "threads of one worker process"),
        ("RELOGRADE_URL", "url", "https://connect.relograde.com", "base URL"),
        ("RELOGRADE_API_VERSION", "text", "1.02", "version in the path"),
        ("RELOGRADE_API_KEY", "secret", "", "API key when there is one account"),
        (
            "RELOGRADE_ACCOUNTS",
            "names",
            "",
            "several API keys, by name, comma separated; RELOGRADE_API_KEY_<NAME> each",
        ),
        (
            "RELOGRADE_CALLS_PER_MINUTE",
            "count",
            "50",
            "our share of the supplier's 60; 0: no limit",
        ),
        ("RELOGRADE_MAX_IN_FLIGHT", "count", "60", "calls at once, per lane"),
        ("RELOGRADE_CONNECT_TIMEOUT", "seconds", "5", "seconds to connect"),
        (
            "RELOGRADE_READ_TIMEOUT",
            "seconds",
            "45",
            "seconds for the answer; a confirm holds up to 30",
        ),
        (
            "RELOGRADE_SETTLE_SECONDS",
            "seconds",
            "40",
            "after a confirm can have left, before `created` is believed",
        ),
        (
            "RELOGRADE_CONFIRM_WITHIN_SECONDS",
            "seconds",
            "86400",
            "from creation to the supplier's deadline",
        ),
        (
            "RELOGRADE_DEADLINE_MARGIN_SECONDS",
            "seconds",
            "30",
            "kept before the deadline: the last safe moment",
        ),
        (
            "RELOGRADE_RECHECK_SECONDS",
            "schedule",
            "15,30,60,120,300,600,1200,1800",
            "re-checks of a pending order",
        ),
        ("RELOGRADE_PENDING_LIMIT_SECONDS", "seconds", "604800", "pending longer is a dead letter"),
        (
            "RELOGRADE_BATCH_RECHECK",
            "switch",
            "on",
            "one page of the list answers for several pending orders",
        ),
        (
            "RELOGRADE_REQUEUE_ON_FUNDS",
            "switch",
            "off",
            "requeue insufficient_balance by itself, as far as the balance pays, when it has "
            "come back",
        ),
        (
            "LOGITRAIL_URLS",
            "urls",
            "https://api-1.logitrail.com/2015-01-01,https://api-2.logitrail.com/2015-01-01",
            "the parallel hosts, comma separated",
        ),
        ("LOGITRAIL_MERCHANT_ID", "text", "", "merchant id, without the `M-`"),
        ("LOGITRAIL_SECRET", "secret", "", "the merchant's shared secret"),
        ("LOGITRAIL_CALLS_PER_MINUTE", "count", "0", "0: no limit"),
        ("LOGITRAIL_MAX_IN_FLIGHT", "count", "60", "calls at once"),
        ("LOGITRAIL_CONNECT_TIMEOUT", "seconds", "5", "seconds to connect"),
        ("LOGITRAIL_READ_TIMEOUT", "seconds", "30", "seconds for the answer"),
        (
            "LOGITRAIL_SETTLE_SECONDS",
            "seconds",
            "60",
            "after a confirm can have left, before it is repeated to ask",
        ),
        (
            "LOGITRAIL_GIVE_UP_SECONDS",
            "seconds",
            "259200",
            "from acceptance or requeue, then a dead letter",
        ),
        ("RETRY_SECONDS", "schedule", "2,10,30,60,300,900", "after a failure; the last repeats"),
        (
            "DEADLINE_WARNING_SECONDS",
            "seconds",
            "7200",
            "order.deadline_warning is told this long before",
        ),
        ("RETENTION_DAYS", "seconds", "30", "days that an ended order stays readable"),
        ("OUTCOME_TASK", "text", "", "Celery task that is told each outcome, by name"),
        ("OUTCOME_QUEUE", "text", "outcomes", "the queue that this task is sent to"),
        ("OUTCOME_URL", "url", "", "URL that each outcome is POSTed to"),
        ("OUTCOME_SECRET", "secret", "", "Standard Webhooks secret (whsec_…) that signs the POST"),
        (
            "VOUCHER_PUBLIC_KEY",
            "text",
            "",
            "X25519 key (base64 or hex): vouchers are sealed to it; empty: dropped",
        ),
        ("FLOWER_BASIC_AUTH", "secret", "", "user:password of Flower; empty: loopback only"),
    )
)
_BY_NAME = {variable.name: variable for variable in VARIABLES}


@dataclass(frozen=True)
class Settings:
    """The values of `VARIABLES`, typed; attributes are the names in lower case."""

    values: Mapping[str, Any]
    relograde_keys: Mapping[str | None, str]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name.upper()]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self) -> str:
        return "Settings(…)"

    @cached_property
    def accounts(self) -> dict[str, tuple[str | None, ...]]:
        """The accounts of each supplier: one lane each; None is the unnamed one."""
        return {"relograde": tuple(self.relograde_keys), "logitrail": (None,)}

    @cached_property
    def replicated(self) -> bool:
        """True when Sentinels name the ledger's server: another one may take its place."""
        return group(self.ledger_url or self.redis_url) is not None

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """How the web app is told."""
        return tuple(
            name for name, on in (("task", self.outcome_task), ("post", self.outcome_url)) if on
        )

    def of(self, supplier: str, name: str) -> Any:
        """A setting that both suppliers have, such as `calls_per_minute`."""
        return self.values[f"{supplier}_{name}".upper()]


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
    "switch": _switch,
}


def load() -> Settings:
    """Reads the settings.

    Raises `SettingsError` with one line that names the first variable at fault.
    """
    values = {variable.name: _value(variable) for variable in VARIABLES}
    keys = _relograde_keys(values)
    _refuse_unknown(
        {*_BY_NAME, *(f"RELOGRADE_API_KEY_{account.upper()}" for account in keys if account)}
    )
    _check(values)
    return Settings(values, keys)


def _value(variable: Variable) -> Any:
    file = f"{variable.name}_FILE"
    if variable.secret and os.environ.get(file) and os.environ.get(variable.name):
        raise SettingsError(f"{variable.name}: set either it or {file}, not both")
    env = FileAwareEnv(strip_whitespace=True) if variable.secret else Env()
    try:
        return _READ[variable.kind](
            env.str(variable.name, variable.default).strip() or variable.default
        )
    except UnicodeError:
        raise SettingsError(f"{file}: cannot be read") from None
    except (ValueError, EnvError) as error:
        known = str(error).startswith(("is ", "must ", "needs ", "The value of"))
        raise SettingsError(
            f"{variable.name}: {error if known else f'is not a valid {variable.kind}'}"
        ) from None


def _relograde_keys(values: Mapping[str, Any]) -> dict[str | None, str]:
    accounts = values["RELOGRADE_ACCOUNTS"]
    if not accounts:
        return {None: values["RELOGRADE_API_KEY"]}
    rows = {
        name: Variable(f"RELOGRADE_API_KEY_{name.upper()}", "secret", "", "", secret=True)
        for name in accounts
    }
    keys = {name: _value(row) for name, row in rows.items()}
    for name, key in keys.items():
        if not key:
            raise SettingsError(
                f"{rows[name].name}: is missing, and RELOGRADE_ACCOUNTS names {name}"
            )
    return {**({None: values["RELOGRADE_API_KEY"]} if values["RELOGRADE_API_KEY"] else {}), **keys}


def _refuse_unknown(known: set[str]) -> None:
    files = {f"{name}_FILE" for name in known if name not in _BY_NAME or _BY_NAME[name].secret}
    for name in sorted(os.environ):
        if name.startswith(PREFIXES) and name not in known | files:
            raise SettingsError(f"{name}: unknown setting")


def _check(values: Mapping[str, Any]) -> None:
    if values["OUTCOME_URL"] and not values["OUTCOME_SECRET"]:
        raise SettingsError("OUTCOME_SECRET: is missing, and OUTCOME_URL is set")
    if values["FLOWER_BASIC_AUTH"] and ":" not in values["FLOWER_BASIC_AUTH"]:
        raise SettingsError("FLOWER_BASIC_AUTH: needs the form user:password")
    _check_keys(values)
    for supplier in ("RELOGRADE", "LOGITRAIL"):
        if values[f"{supplier}_MAX_IN_FLIGHT"] < 1:
            raise SettingsError(f"{supplier}_MAX_IN_FLIGHT: must be above 0")
        for name in ("CONNECT_TIMEOUT", "READ_TIMEOUT"):
            if values[f"{supplier}_{name}"] <= 0:
                raise SettingsError(f"{supplier}_{name}: must be above 0")
    if values["COUNTERSIGN_CONCURRENCY"] < 5:
        raise SettingsError("COUNTERSIGN_CONCURRENCY: must be 5 or more")


def _check_keys(values: Mapping[str, Any]) -> None:
    """A key that is refused only when it is used would be found out by the first order."""
    try:
        Sealer.from_key(values["VOUCHER_PUBLIC_KEY"])
    except ValueError:
        raise SettingsError(
            "VOUCHER_PUBLIC_KEY: is not an X25519 public key in base64 or hex"
        ) from None
    try:
        base64.b64decode(values["OUTCOME_SECRET"].removeprefix("whsec_"), validate=True)
        if values["OUTCOME_SECRET"]:
            Webhook(values["OUTCOME_SECRET"])
    except Exception:
        raise SettingsError(
            "OUTCOME_SECRET: is not a Standard Webhooks secret (whsec_ and base64)"
        ) from None


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
