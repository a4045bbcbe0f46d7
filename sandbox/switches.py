"""Switches for a whole supplier while the sandbox runs; `behaviours.py` is about single orders."""

from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any

PLENTY = Decimal("100000000.00")


@dataclass
class RelogradeSwitches:
    """Defaults follow the documentation; where it is silent, they are hardest on the client."""

    # An HTTP status as text ("503"), or "refuse": no reply at all.
    outage: str | None = None
    rate_limit: int = 60  # calls per key in any 60 seconds; 0 = no limit
    # Seconds to send in Retry-After with a 429; null = no such header.
    retry_after: int | None = None
    hold_seconds: float = 0.0  # a confirm that will take effect waits this long before it does
    company_verified: bool = True
    key_valid: bool = True
    invalid_keys: list[str] = field(default_factory=list)  # labels, e.g. ["key-2"]
    address_allowed: bool = True  # false: 403, as for a caller outside the key's allow-list
    balance: dict[str, Any] = field(
        default_factory=lambda: {"EUR": PLENTY, "USD": PLENTY, "GBP": PLENTY}
    )
    errors_as: str = "text"
    currency_case: str = "lower"
    extra_fields: bool = False  # the undocumented line fields recorded in 1.02
    dates_with_millis: bool = True
    list_order: str = "newest"
    list_stuck: bool = False  # find-all goes on showing ended orders as pending
    confirm_within_seconds: float = 86400.0
    # Which message an order gets that is both expired and past `created`.
    expiry_before_status: bool = False
    # False: a second confirm during the wait passes the status gate, and is booked.
    atomic_gate: bool = False
    create_behaviour: str = "finished"  # for orders that come in through POST order
    webhook_url: str | None = None
    webhook_copies: int = 1
    webhook_delay: float = 0.0
    # Params of behaviours, e.g. {"finish_after": 0.1}.
    defaults: dict[str, Any] = field(default_factory=dict)


@dataclass
class LogitrailSwitches:
    """The two hosts share one state; one can be down while the other answers."""

    outage: str | None = None
    rate_limit: int = 0
    retry_after: int | None = None
    hold_seconds: float = 0.0
    key_valid: bool = True
    host_1_down: bool = False
    host_2_down: bool = False
    not_passive_status: int = 400  # the documentation has no HTTP code of `order_not_passive`
    atomic_gate: bool = False
    create_behaviour: str = "confirmed"
    webhook_url: str | None = None
    webhook_copies: int = 1
    webhook_delay: float = 0.0
    webhook_batch: bool = False  # an array of events, or a single object
    webhook_merchants_order_as: str = "object"
    defaults: dict[str, Any] = field(default_factory=dict)


Switches = RelogradeSwitches | LogitrailSwitches

CHOICES: dict[str, tuple[Any, ...]] = {
    "outage": (None, "500", "502", "503", "504", "refuse"),
    "errors_as": ("text", "json"),
    "currency_case": ("lower", "upper"),
    "list_order": ("newest", "oldest"),
    "not_passive_status": (400, 409),
    "webhook_merchants_order_as": ("object", "string"),
}
KINDS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (int, float),
    "str": (str,),
    "str | None": (str, type(None)),
    "list": (list,),
}


def change(switches: Switches, wanted: dict[str, Any]) -> None:
    """Changes all of `wanted` or, with a ValueError, nothing.

    A misspelt switch fails, since with it a test would pass without testing anything.
    """
    checked = {name: _checked(switches, name, value) for name, value in wanted.items()}
    for name, value in checked.items():
        setattr(switches, name, value)


def shown(switches: Switches) -> dict[str, Any]:
    values = asdict(switches)
    if "balance" in values:
        values["balance"] = {
            currency: str(amount) for currency, amount in values["balance"].items()
        }
    return values


def _checked(switches: Switches, name: str, value: Any) -> Any:
    kinds = {item.name: str(getattr(item.type, "__name__", item.type)) for item in fields(switches)}
    if name not in kinds:
        raise ValueError(f"unknown switch {name!r}; there are {', '.join(sorted(kinds))}")
    if name == "balance":
        return balance_of(value)
    if name == "outage" and type(value) is int:
        value = str(value)
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"{name} is one of {', '.join(map(repr, CHOICES[name]))}")
    if not _is_a(kinds[name], value):
        raise ValueError(f"{name} is a {kinds[name]}, not {value!r}")
    return value


def _is_a(kind: str, value: Any) -> bool:
    """Whether a switch of this kind can have the value; a bool is no number here."""
    allowed = KINDS.get(kind, (dict,))
    if isinstance(value, bool):
        return bool in allowed
    return isinstance(value, allowed)


def retry_after(switches: Switches) -> dict[str, str]:
    """The header of a 429, when the switch asks for one."""
    return {"Retry-After": str(switches.retry_after)} if switches.retry_after else {}


def balance_of(value: Any) -> dict[str, Decimal]:
    """Amounts by currency code in upper case; ValueError unless all are numbers."""
    try:
        return {str(currency).upper(): Decimal(str(amount)) for currency, amount in value.items()}
    except (AttributeError, InvalidOperation):
        raise ValueError("balance is an object of currency and amount") from None
