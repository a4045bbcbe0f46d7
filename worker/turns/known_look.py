"""Asks for a known order when others are not found: are key and environment right?

An order is known that this lane has found before. `GET account` would not do: a key of the other
environment is answered, too. With the known order found, the lane goes on, and an order that is not
found again is at fault itself. At Logitrail, which documents no read, nothing is asked.
"""

import logging
import time
from collections.abc import Callable

from schemas.lane import Lane
from worker.ledger import Ledger
from worker.ledger.lane_calls import KIND_KNOWN, LaneCalls
from worker.suppliers.client import ReadingClient
from worker.turns.lane_question import LaneQuestion

log = logging.getLogger("countersign.lanes")
TICK = 1.0
"""Seconds between two questions to the ledger whether the lane is held."""
EVERY = 5.0
"""Seconds between two calls."""


class KnownLook:
    """Tests one lane of a supplier that documents a read."""

    def __init__(
        self,
        ledger: Ledger,
        lane: Lane,
        client: ReadingClient,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ledger = ledger
        self.lane = lane
        self.client = client
        self.lane_calls = LaneCalls(ledger.shelf)
        self.question = LaneQuestion(self.lane_calls, monotonic)

    def turn(self) -> float:
        """One call, if it is wanted and permitted; returns the seconds until the next turn."""
        known = self.ledger.known_order(self.lane)
        if known is None:
            return TICK
        asked = self.question.ask(
            self.lane, KIND_KNOWN, EVERY, lambda gate: self.client.find(known, gate)
        )
        if isinstance(asked, str):
            return TICK
        changed = self.lane_calls.settle(asked.call, asked.answer, asked.sent_at)
        fields = {
            "supplier": self.lane.supplier,
            "account": self.lane.account,
            "order_id": known,
            "answer": type(asked.answer).__name__,
            "lane": changed,
        }
        log.info("known_order", extra={"fields": fields})
        return TICK
