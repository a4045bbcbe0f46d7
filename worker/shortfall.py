"""How much money is missing for the orders that died for want of it and can still be confirmed. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaid:
    """A dead letter of `insufficient_balance`. `last_safe`: seconds since the epoch."""

    last_safe: float
    amount: Decimal | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """The money that one currency lacks for the orders that died of it and can still be confirmed."""

    currency: str | None
    orders: int
    amount: Decimal
    """What they cost together; `unpriced` of them came without an amount and are not in it."""
    unpriced: int
    balance: Decimal | None
    missing: Decimal
    """`amount` less the balance; all of it while the balance is not known."""
    before: float
    """The last moment at which all of them can be requeued and still have their read and their confirm in time."""


def shortfalls(
    letters: Iterable[Unpaid], balances: Mapping[str, Decimal | None], per_minute: int, window: float, now: float
) -> list[Shortfall]:
    """One for each currency in which some letter can still be confirmed; `balances` are the last known, if any."""
    by_currency: dict[str | None, list[Unpaid]] = {}
    for letter in letters:
        if letter.last_safe > now:
            by_currency.setdefault(letter.currency, []).append(letter)
    return [
        _shortfall(currency, by_currency[currency], balances.get(currency or ""), per_minute, window)
        for currency in sorted(by_currency, key=lambda currency: currency or "")
    ]


def _shortfall(
    currency: str | None, letters: Sequence[Unpaid], balance: Decimal | None, per_minute: int, window: float
) -> Shortfall:
    amounts = [letter.amount for letter in letters if letter.amount is not None]
    amount = sum(amounts, Decimal(0))
    latest = [
        last_safe - (window * ((2 * number + 1) // per_minute) if per_minute else 0.0)
        for number, last_safe in enumerate(sorted(letter.last_safe for letter in letters))
    ]
    return Shortfall(
        currency=currency,
        orders=len(letters),
        amount=amount,
        unpriced=len(letters) - len(amounts),
        balance=balance,
        missing=max(amount - (balance or Decimal(0)), Decimal(0)),
        before=min(latest),
    )
