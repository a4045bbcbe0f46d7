"""What the ledger keeps for pages of a supplier's list: who waits for one, what they taught,
whether they are used.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.order import Order, load_order
from worker.ledger import keys
from worker.ledger.ledger import Ledger
from worker.rules.page_search import Listing, Waiting

WAITING = 500
"""Pending orders that one page is weighed for, of those that are due and of those that are not yet.
"""


@dataclass(frozen=True, slots=True)
class Survey:
    """`agreed` counts the ends of pages that single reads have borne out."""

    now: float
    waiting: tuple[Waiting, ...]
    listing: Listing
    agreed: int


class Pages:
    """One lane's dealings with pages.

    Raises `redis.RedisError` when the server cannot be reached.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def survey(self, supplier: str, account: str | None) -> Survey:
        """Who waits for a page, and what is known of the list."""
        answer = self.ledger.scripts.run(
            "page_survey", supplier, lane=keys.lane(account), limit=WAITING
        )
        waiting = tuple(
            Waiting(order_id, float(created_at), float(due_at), float(rank), int(version))
            for order_id, created_at, due_at, rank, version in answer["waiting"]
        )
        known = json.loads(answer["known"]) if "known" in answer else None
        return Survey(
            float(answer["now"]), waiting, Listing.load(known), int(answer.get("agreed", 0))
        )

    def shown(
        self, supplier: str, account: str | None, ids: Iterable[str]
    ) -> tuple[list[Order], float]:
        """Our orders among `ids` that are pending or have ended, as they are now, and the ledger's
        time.
        """
        answer = self.ledger.scripts.run(
            "page_shown", supplier, lane=keys.lane(account), ids=list(ids)
        )
        return [
            load_order(supplier, order_id, fields) for order_id, fields in answer["ours"]
        ], float(answer["now"])

    def learn(
        self,
        supplier: str,
        account: str | None,
        listing: Listing | None,
        *,
        next_from: float,
        paging_until: float | None = None,
        denied: str | None = None,
    ) -> bool:
        """Ends the turn of a page.

        `denied`: what contradicts it; True when that has put the lane's pages off.
        """
        answer = self.ledger.scripts.run(
            "page_learn",
            supplier,
            lane=keys.lane(account),
            known=None if listing is None else json.dumps(listing.dump(), separators=(",", ":")),
            paging=paging_until,
            denied=denied,
            **{"from": next_from},
        )
        return "pages_off" in answer

    def switch(self, supplier: str, account: str | None, *, on: bool) -> None:
        """A person's word: pages are used, from the beginning, or are not."""
        self.ledger.scripts.run(
            "lane_switch",
            supplier,
            lane=keys.lane(account),
            action="pages_on" if on else "pages_off",
        )
