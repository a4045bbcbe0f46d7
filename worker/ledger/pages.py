"""What the ledger keeps for pages of a supplier's list: who waits for one, what they taught."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.lane import Lane
from schemas.order import Order, load_order
from worker.ledger.shelf import Shelf
from worker.rules.page_search import Listing, PendingOrder

WEIGHED = 500
"""Pending orders that one page is weighed for, of those that are due and of those that are not."""


@dataclass(frozen=True, slots=True)
class Survey:
    """A lane as a page's turn begins, at the ledger's time `now`."""

    now: float
    waiting: tuple[PendingOrder, ...]
    listing: Listing
    agreed: int
    """Ends that pages showed and single reads confirmed."""


class Pages:
    """Raises `redis.RedisError` when the server cannot be reached."""

    def __init__(self, shelf: Shelf) -> None:
        self.scripts = shelf.scripts

    def survey(self, lane: Lane) -> Survey:
        """The orders that wait for a page, and what is known of the list."""
        reply = self.scripts.run("page_survey", lane.supplier, lane=lane.key, limit=WEIGHED)
        waiting = tuple(
            PendingOrder(order_id, float(created_at), float(due_at), float(rank), int(version))
            for order_id, created_at, due_at, rank, version in reply["waiting"]
        )
        known = None
        if "known" in reply:
            known = json.loads(reply["known"])
        agreed = int(reply.get("agreed", 0))
        return Survey(float(reply["now"]), waiting, Listing.load(known), agreed)

    def shown(self, lane: Lane, ids: Iterable[str]) -> tuple[list[Order], float]:
        """Our orders among `ids` that are pending or have ended, and the ledger's time."""
        reply = self.scripts.run("page_shown", lane.supplier, lane=lane.key, ids=list(ids))
        ours = [load_order(lane.supplier, order_id, fields) for order_id, fields in reply["ours"]]
        return ours, float(reply["now"])

    def learn(
        self,
        lane: Lane,
        listing: Listing | None,
        *,
        next_from: float,
        paging_until: float | None = None,
        denied: str | None = None,
    ) -> bool:
        """Ends the turn of a page.

        `denied` says what contradicts the page; True when that has put the lane's pages off.
        """
        known = None
        if listing is not None:
            known = json.dumps(listing.dump(), separators=(",", ":"))
        reply = self.scripts.run(
            "page_learn",
            lane.supplier,
            lane=lane.key,
            known=known,
            paging=paging_until,
            denied=denied,
            **{"from": next_from},
        )
        return "pages_off" in reply

    def switch(self, lane: Lane, *, on: bool) -> None:
        """A person's word: pages are used, from the beginning, or are not."""
        action = "pages_on" if on else "pages_off"
        self.scripts.run("lane_switch", lane.supplier, lane=lane.key, action=action)
