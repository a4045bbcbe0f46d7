"""How much money is missing: for orders that died for want of it, and for those that wait for their
confirm. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaid:
    """An order that wants money: a dead letter of `insufficient_balance`, or one that waits for its
    confirm.

    `last_safe`: seconds since the epoch.
    """

    last_safe: float
    amount: Decimal | None = None
    currency: str | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """The money that one currency lacks for the orders that can still be confirmed."""

    currency: str | None
    orders: int
    """Dead letters for want of money."""
    amount: Decimal
    """What they cost together; `unpriced` of them came without an amount and are not in it."""
    unpriced: int
    waiting: int
    """Orders that wait for their confirm and find too little left: by deadline, the letters among
    them.

    0 while the balance is not known.
    """
    lost: int
    """Letters and waiting orders that find too little left; where nobody does, the letters until
    they are requeued.
    """
    balance: Decimal | None
    missing: Decimal
    """What the letters and all that wait cost, less the balance; what the letters cost while that
    is not known.
    """
    before: float
    """The last moment at which all of them can be requeued and still have their read and their
    confirm in time.

    When it has passed: now.
    """


def shortfalls(
    orders: Iterable[Unpaid],
    balances: Mapping[str, Decimal | None],
    per_minute: int,
    window: float,
    now: float,
) -> list[Shortfall]:
    """One for each currency in which there are letters, or more waits than is paid for.

    `balances`: the last known.
    """
    by_currency: dict[str | None, list[Unpaid]] = {}
    for order in orders:
        if order.last_safe > now and not (
            order.waits and balances.get(order.currency or "") is None
        ):
            by_currency.setdefault(order.currency, []).append(order)
    found = (
        _shortfall(
            currency, by_currency[currency], balances.get(currency or ""), per_minute, window, now
        )
        for currency in sorted(by_currency, key=lambda currency: currency or "")
    )
    return [short for short in found if short.orders or short.waiting]


def _shortfall(
    currency: str | None,
    orders: Sequence[Unpaid],
    balance: Decimal | None,
    per_minute: int,
    window: float,
    now: float,
) -> Shortfall:
    letters = [order for order in orders if not order.waits]
    amounts = [letter.amount for letter in letters if letter.amount is not None]
    wanted = sum((order.amount for order in orders if order.amount is not None), Decimal(0))
    missing = max(wanted - (balance or Decimal(0)), Decimal(0))
    left_out = _left_out(orders, balance or Decimal(0))
    waiting = [order for order in left_out if order.waits]
    # Who waits and is not paid for becomes a letter too, long before its deadline.
    calls_for = sorted(order.last_safe for order in (*letters, *waiting))
    latest = [
        last_safe - (window * ((2 * number + 1) // per_minute) if per_minute else 0.0)
        for number, last_safe in enumerate(calls_for)
    ]
    return Shortfall(
        currency=currency,
        orders=len(letters),
        amount=sum(amounts, Decimal(0)),
        unpriced=len(letters) - len(amounts),
        waiting=len(waiting),
        lost=len(left_out) if missing else len(letters),
        balance=balance,
        missing=missing,
        before=max(min(latest, default=now), now),
    )


def _left_out(orders: Sequence[Unpaid], balance: Decimal) -> list[Unpaid]:
    """Those who find too little left when all are paid by deadline; what one without an amount
    costs, nobody knows.
    """
    left, found = balance, []
    for order in sorted(orders, key=lambda order: order.last_safe):
        if order.amount is None or order.amount > left:
            found.append(order)
        else:
            left -= order.amount
    return found
