"""Which orders a balance pays for, and how much money is missing. Pure.

Both questions are answered by one walk: orders are paid by deadline, the earliest first. Amounts
are decimals in one currency; times are seconds since the epoch by the ledger's clock.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from heapq import merge
from operator import attrgetter

NOTHING = Decimal(0)
BY_DEADLINE = attrgetter("last_safe")
"""Key of the order in which orders are paid."""


@dataclass(frozen=True, slots=True)
class Funds:
    """One currency after a look at the accounts."""

    free: Decimal
    """What is left beside the confirms under way."""
    rose_at: float
    """When the balance was last found to have risen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """An order that wants money: a dead letter of `insufficient_balance`, or one that waits."""

    last_safe: float
    amount: Decimal | None = None
    currency: str | None = None
    order_id: str = ""
    letter_at: float | None = None
    """When the order became a dead letter; None while it waits for its confirm."""

    @property
    def waits(self) -> bool:
        """True while the order waits for its confirm."""
        return self.letter_at is None


class Purse:
    """Balances that are spent order by order."""

    def __init__(self, free: Mapping[str, Decimal]) -> None:
        self.left = dict(free)

    def pay(self, want: Want) -> bool:
        """Pays for one order; False when its price is not known or too little is left."""
        left = self.left.get(want.currency or "")
        if want.amount is None or left is None or want.amount > left:
            return False
        self.left[want.currency or ""] = left - want.amount
        return True

    @property
    def empty(self) -> bool:
        """True when no currency has anything left."""
        return max(self.left.values(), default=NOTHING) <= NOTHING


def payable(
    letters: Sequence[Want], waiting: Iterable[Want], funds: Mapping[str, Funds]
) -> list[str]:
    """The ids of the letters to requeue: paid by deadline, together with the orders that wait.

    Letters and waiting orders come with the earliest deadline first. A letter that was written
    since the balance rose is left out: it was refused with this balance, and asking again would
    only spend calls.
    """
    purse = Purse({currency: one.free for currency, one in funds.items()})
    chosen: list[str] = []
    seen = 0
    for want in merge(letters, waiting if letters else (), key=BY_DEADLINE):
        seen += not want.waits
        if _may_be_paid(want, funds) and purse.pay(want) and not want.waits:
            chosen.append(want.order_id)
        if seen == len(letters) or purse.empty:
            break
    return chosen


def _may_be_paid(want: Want, funds: Mapping[str, Funds]) -> bool:
    if want.letter_at is None:
        return True
    known = funds.get(want.currency or "")
    return known is not None and want.letter_at <= known.rose_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """The money that one currency lacks for the orders that can still be confirmed."""

    currency: str | None
    orders: int
    """Dead letters of `insufficient_balance`."""
    amount: Decimal
    """What the letters cost together, without those whose amount is not known."""
    unpriced: int
    """Letters without an amount."""
    waiting: int
    """Waiting orders that the balance does not cover; 0 while the balance is not known."""
    lost: int
    """Orders that the balance does not cover.

    If it covers all of them: the number of dead letters, which stay lost until requeued.
    """
    balance: Decimal | None
    missing: Decimal
    """What letters and waiting orders cost, less the balance.

    While the balance is not known: what the letters cost.
    """
    before: float
    """The last moment at which all of them can be requeued and still be confirmed in time.

    Now, when that moment has passed.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a lane makes calls: so many in each window of seconds; 0 calls mean no limit."""

    per_minute: int
    window: float

    def seconds_until(self, call: int) -> float:
        """How long the call with this number, counted from 0, waits for its slot."""
        if not self.per_minute:
            return 0.0
        return self.window * (call // self.per_minute)


def shortfalls(
    wants: Iterable[Want], balances: Mapping[str, Decimal | None], pace: Pace, now: float
) -> list[Shortfall]:
    """One for each currency in which there are letters, or more orders wait than are paid for.

    `balances`: the last known ones. Orders past their last safe moment are left out, and so are
    waiting orders while the balance of their currency is not known.
    """
    by_currency: dict[str, list[Want]] = defaultdict(list)
    for want in wants:
        currency = want.currency or ""
        is_judged = not want.waits or balances.get(currency) is not None
        if is_judged and want.last_safe > now:
            by_currency[currency].append(want)
    found = [
        _shortfall(by_currency[currency], balances.get(currency), pace, now)
        for currency in sorted(by_currency)
    ]
    return [short for short in found if short.orders or short.waiting]


def _shortfall(wants: Sequence[Want], balance: Decimal | None, pace: Pace, now: float) -> Shortfall:
    """Of orders in one currency, at least one."""
    currency, known = wants[0].currency, balance or NOTHING
    letters = [want for want in wants if not want.waits]
    priced = [letter for letter in letters if letter.amount is not None]
    missing = max(_cost(wants) - known, NOTHING)
    unpaid = _unpaid(wants, Purse({currency or "": known}))
    waiting = [want for want in unpaid if want.waits]
    return Shortfall(
        currency=currency,
        orders=len(letters),
        amount=_cost(letters),
        unpriced=len(letters) - len(priced),
        waiting=len(waiting),
        lost=len(unpaid) if missing else len(letters),
        balance=balance,
        missing=missing,
        # A waiting order that is not paid for becomes a letter too, long before its deadline.
        before=_requeue_before([*letters, *waiting], pace, now),
    )


def _unpaid(wants: Iterable[Want], purse: Purse) -> list[Want]:
    return [want for want in sorted(wants, key=BY_DEADLINE) if not purse.pay(want)]


def _cost(wants: Iterable[Want]) -> Decimal:
    return sum((want.amount for want in wants if want.amount is not None), NOTHING)


def _requeue_before(wants: Iterable[Want], pace: Pace, now: float) -> float:
    """When all must be requeued at the latest: each takes a read and then a confirm."""
    latest = [
        last_safe - pace.seconds_until(2 * number + 1)
        for number, last_safe in enumerate(sorted(want.last_safe for want in wants))
    ]
    return max(min(latest, default=now), now)
