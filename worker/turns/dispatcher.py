"""Starts what is due, and delivers outcomes: two threads inside every worker.

A step is taken by a thread of this worker while it has one to spare; for the others a doorbell is rung, which any
worker may answer. Any number of workers may do this at once: a dispatch reserves what it picks, and an order whose bell
was lost is found again five seconds later. No beat process is needed.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable

import redis

from worker.ledger import Ledger
from worker.ledger.keys import ROOMS
from worker.web_app.teller import Teller

log = logging.getLogger("countersign.dispatcher")
TICK = 0.25
"""Seconds between two looks at a lane in which nothing falls due earlier; the promise is one second."""
TEND = 1.0
BATCH = 100


class Loop(threading.Thread):
    """Calls `turn` until stopped; it returns the seconds to wait. A ledger out of reach is said once."""

    def __init__(self, name: str, turn: Callable[[], float]) -> None:
        super().__init__(name=name, daemon=True)
        self.turn = turn
        self._stop_now = threading.Event()

    def run(self) -> None:
        well = True
        while not self._stop_now.is_set():
            try:
                wait = self.turn()
                if not well:
                    log.info("ledger_back", extra={"fields": {"thread": self.name}})
                well = True
            except (redis.ConnectionError, redis.TimeoutError) as error:
                if well:
                    fields = {"thread": self.name, "error": type(error).__name__}
                    log.error("ledger_unreachable", extra={"fields": fields})
                well, wait = False, 1.0
            except Exception:
                log.exception("turn_failed", extra={"fields": {"thread": self.name}})
                wait = 1.0
            self._stop_now.wait(wait)

    def stop(self) -> None:
        """Ends after the present turn."""
        self._stop_now.set()


class Dispatcher:
    """One look at every lane: what is due and allowed is started here, or rung for. `start`: False when it cannot."""

    def __init__(
        self,
        ledger: Ledger,
        lanes: Iterable[tuple[str, str | None]],
        ring: Callable[[str, list[str]], None],
        look_at_server: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        start: Callable[[str, str], bool] = lambda supplier, order_id: False,
        page: Callable[[str, str | None], object] = lambda supplier, account: None,
    ) -> None:
        """`page` takes the turn of a page beside the caller: its call must not keep other bells from ringing."""
        self.ledger = ledger
        self.lanes = tuple(lanes)
        self.ring = ring
        self.look_at_server = look_at_server
        self.monotonic = monotonic
        self.start = start
        self.page = page
        self._tend_at = 0.0

    def turn(self) -> float:
        """Dispatches every lane once; returns the seconds until the next look."""
        wait = TICK
        tend = self.monotonic() >= self._tend_at
        if tend:
            self.look_at_server()
        for supplier, account in self.lanes:
            picked, soonest, page = self.ledger.dispatch(supplier, account, BATCH)
            if left := [order_id for order_id in picked if not self.start(supplier, order_id)]:
                self.ring(supplier, left)
            if page:
                self.page(supplier, account)
            if picked:
                wait = min(wait, 0.05)
            if soonest is not None:
                wait = min(wait, max(soonest - self.ledger.recent_time(), 0.01))
        if tend:
            self._tend_at = self.monotonic() + TEND
            for room in ROOMS:
                self.ledger.tend(room)
        return wait


def teller_turn(teller: Teller) -> float:
    """One round of deliveries; at once again while more wait. Many together cost less than one by one."""
    teller.round()
    return 0.02 if teller.pressed else TICK
