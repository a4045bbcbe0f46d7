"""Starts what is due: one thread inside every worker.

A thread of this worker takes a step while it has one to spare; for the others a doorbell is rung,
which any worker may answer. Any number of workers may do this at once: a dispatch reserves what it
picks, and an order whose bell was lost is found again five seconds later. No beat process is
needed.
"""

import logging
import time
from collections.abc import Callable, Iterable

import redis

from schemas.lane import Lane
from worker.ledger import Ledger
from worker.ledger.keys import ROOMS

log = logging.getLogger("countersign.dispatcher")
TICK = 0.25
"""Seconds between two looks at a lane in which nothing falls due; one second is promised."""
TEND = 1.0
BATCH = 100
MORE_WAIT = 0.05
"""Seconds until the next look at a lane in which orders were picked: more may be due."""
SHORTEST_WAIT = 0.01


class Dispatcher:
    """Looks at every lane: what is due and allowed is started here, or rung for.

    `start` returns False when it cannot.
    """

    def __init__(
        self,
        ledger: Ledger,
        lanes: Iterable[Lane],
        ring: Callable[[str, list[str]], None],
        look_at_server: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        start: Callable[[str, str], bool] = lambda supplier, order_id: False,
        page: Callable[[Lane], object] = lambda lane: None,
    ) -> None:
        """`page` takes a page's turn beside the caller: its call must not delay other bells."""
        self.ledger = ledger
        self.lanes = tuple(lanes)
        self.ring = ring
        self.look_at_server = look_at_server
        self.monotonic = monotonic
        self.start = start
        self.page = page
        self._tend_at = 0.0
        self._damaged: set[Lane] = set()

    def turn(self) -> float:
        """Dispatches every lane once; returns the seconds until the next look."""
        tend = self.monotonic() >= self._tend_at
        if tend:
            self.look_at_server()
        waits = [self._guarded(lane) for lane in self.lanes]
        if tend:
            self._tend_at = self.monotonic() + TEND
            for room in ROOMS:
                self.ledger.tend(room)
        return min(waits, default=TICK)

    def _guarded(self, lane: Lane) -> float:
        """One lane; what a damaged record of one lane raises must not stop the others."""
        try:
            wait = self._dispatch(lane)
        except redis.ResponseError as error:
            if lane not in self._damaged:
                fields = {**lane._asdict(), "error": type(error).__name__}
                log.error("lane_not_dispatched", extra={"fields": fields})
            self._damaged.add(lane)
            return TICK
        self._damaged.discard(lane)
        return wait

    def _dispatch(self, lane: Lane) -> float:
        """One lane; returns the seconds until its next look."""
        picked, soonest, page = self.ledger.dispatch(lane, BATCH)
        left = [order_id for order_id in picked if not self.start(lane.supplier, order_id)]
        if left:
            self.ring(lane.supplier, left)
        if page:
            self.page(lane)
        wait = MORE_WAIT if picked else TICK
        if soonest is None:
            return wait
        return min(wait, max(soonest - self.ledger.recent_time(), SHORTEST_WAIT))
