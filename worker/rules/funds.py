"""Which dead letters a balance pays for. Pure, like `worker.rules.policy`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from heapq import merge


@dataclass(frozen=True, slots=True)
class Funds:
    """One currency after a look: what is left beside the confirms under way, and when it was last
    found to have risen.

    Seconds since the epoch, by the ledger's clock.
    """

    free: Decimal
    rose_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """An order that a balance may have to pay for. Times: seconds since the epoch."""

    order_id: str
    last_safe: float
    amount: Decimal
    currency: str
    letter_at: float | None = None
    """When it became a dead letter; None for one that waits for its confirm."""


def payable(
    letters: Sequence[Want], waiting: Iterable[Want], funds: Mapping[str, Funds]
) -> list[str]:
    """The letters to requeue: by deadline, together with the orders that wait, and no more than the
    money lasts for.

    Both come with the earliest deadline first. A letter that was written since the balance rose is
    left: it has had its chance with this balance, and asking again would only spend calls.
    """
    left = {currency: one.free for currency, one in funds.items()}
    chosen: list[str] = []
    seen = 0
    for want in merge(letters, waiting if letters else (), key=lambda want: want.last_safe):
        seen += want.letter_at is not None
        if want.amount <= left.get(want.currency, Decimal(-1)):
            if want.letter_at is None:
                left[want.currency] -= want.amount
            elif want.letter_at <= funds[want.currency].rose_at:
                left[want.currency] -= want.amount
                chosen.append(want.order_id)
        if seen == len(letters) or max(left.values(), default=Decimal(0)) <= 0:
            break
    return chosen
