"""Every read for people in one place, and the counts. Orders, letters and lanes have own files."""

from collections.abc import Iterable
from typing import Any

from schemas.lane import Lane
from schemas.order import REASONS, STATES
from worker.ledger.messages import ROOM as MESSAGES
from worker.ledger.reads.forecast_report import ForecastReport
from worker.ledger.reads.lanes import LaneReads
from worker.ledger.reads.letters import LetterReads
from worker.ledger.reads.orders import OrderReads
from worker.ledger.shelf import Shelf

LANE_KEYS = ("held", "cause", "in_flight", "calls_per_minute", "calls_left", "waiting", "due")
"""What the contract pins of a lane; `lanes show` has more."""


class Views:
    """What `celery -A worker orders|dead-letters|lanes` shows.

    Raises `redis.RedisError` when the server cannot be reached.
    """

    def __init__(self, shelf: Shelf, lanes: Iterable[Lane]) -> None:
        self.shelf = shelf
        self.scripts = shelf.scripts
        self.client = shelf.scripts.client
        self.lanes = tuple(lanes)
        self.suppliers = tuple(dict.fromkeys(lane.supplier for lane in self.lanes))
        self.report = ForecastReport(shelf, self.lanes)

        orders = OrderReads(shelf, self.suppliers)
        self.order = orders.order
        self.orders = orders.orders
        self.show = orders.show
        self.brief = orders.brief

        letters = LetterReads(orders)
        self.letters = letters.letters
        self.order_letter = letters.order_letter
        self.message = letters.message

        self.lane = LaneReads(shelf).lane

    def stats(self) -> dict[str, Any]:
        """`orders stats`."""
        return {
            **self.counts(),
            "minimum_slack_seconds": self._minimum_slack(),
            "predicted_misses": self.report.predicted_misses(),
        }

    def counts(self) -> dict[str, Any]:
        """States, letters and lanes: the sizes of the indexes themselves, so always exact."""
        rooms = (*self.suppliers, MESSAGES)
        states = {name: self._size(self.suppliers, "state", name) for name in STATES}
        letters = {name: self._size(rooms, "letters", name) for name in REASONS}
        now = self.shelf.time()
        return {
            "states": states,
            "dead_letters": {name: count for name, count in letters.items() if count},
            "lanes": {lane.name: self._pinned(lane, now) for lane in self.lanes},
        }

    def forecast(self) -> dict[str, Any]:
        """`orders forecast`: what will be lost to the budget, and to missing money."""
        return {"minimum_slack_seconds": self._minimum_slack(), **self.report.report()}

    def _pinned(self, lane: Lane, now: float) -> dict[str, Any]:
        shown = self.lane(lane, now)
        return {field: shown[field] for field in LANE_KEYS}

    def _minimum_slack(self) -> float | None:
        """Seconds to the nearest last safe moment; below 0 for an order that should be dead."""
        now = self.shelf.time()
        indexes = [
            self.scripts.key(room, name)
            for room in self.suppliers
            for name in ("deadlines", "warned")
        ]
        heads = [self.client.zrange(index, 0, 0, withscores=True) for index in indexes]
        return min((score - now for head in heads for _, score in head), default=None)

    def _size(self, rooms: Iterable[str], name: str, part: str) -> int:
        return sum(int(self.client.zcard(self.scripts.key(room, name, part))) for room in rooms)
