"""Which thread makes a step or a page's turn, and how many threads one supplier may hold.

A supplier that hangs holds its share and no more; the doors and the other supplier keep theirs.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import redis

from schemas.lane import Lane
from schemas.order import Order
from worker.ledger import Opened
from worker.turns.executor import Executor
from worker.turns.page_turn import PageTurn

log = logging.getLogger("countersign.step")


class Threads:
    """Runs steps and pages of both suppliers; each may hold `share` threads at once."""

    def __init__(self, executor: Executor, share: int, page_turn: PageTurn) -> None:
        self.executor = executor
        self.page_turn = page_turn
        self._shares = {
            supplier: threading.BoundedSemaphore(share) for supplier in executor.policies
        }
        self._pool = ThreadPoolExecutor(share * len(self._shares), thread_name_prefix="step")

    def step(self, supplier: str, order_id: str) -> str:
        """One step in the caller's thread; `no_thread` when the supplier has its share."""
        if not self._shares[supplier].acquire(blocking=False):
            return "no_thread"
        try:
            return self.executor.step(supplier, order_id)
        finally:
            self._shares[supplier].release()

    def start(self, supplier: str, order_id: str) -> bool:
        """One step beside the caller; False when the supplier has its share.

        Whatever goes wrong here, the order is in the ledger and the dispatcher finds it. The
        process waits for the pool's threads at its end, so a stopping worker finishes its calls.
        """
        turn = partial(self.executor.step, supplier, order_id)
        free = self._shares[supplier].acquire(blocking=False)
        return free and self._beside(
            supplier, turn, "step", {"supplier": supplier, "order_id": order_id}
        )

    def accept(self, order: Order, details: str | None) -> Opened:
        """Opens an order; its first step goes beside the caller if the supplier has a thread."""
        supplier = order.supplier
        if not self._shares[supplier].acquire(blocking=False):
            return self.executor.ledger.open(order, details)
        step = None
        try:
            opened, step = self.executor.open(order, details)
        finally:
            if step is None:
                self._shares[supplier].release()
        if step:
            self._beside(supplier, step, "step", {"supplier": supplier, "order_id": order.order_id})
        return opened

    def page(self, lane: Lane) -> bool:
        """A page's turn beside the caller; False when the supplier has its share.

        The page's reservation then ends, and its turn comes again.
        """
        turn = partial(self.page_turn.turn, lane)
        free = self._shares[lane.supplier].acquire(blocking=False)
        return free and self._beside(lane.supplier, turn, "page", lane._asdict())

    def _beside(
        self, supplier: str, turn: Callable[[], object], name: str, fields: Mapping[str, str | None]
    ) -> bool:
        """Runs a turn in a thread of the pool, which then returns the caller's share."""
        share = self._shares[supplier]
        try:
            self._pool.submit(_run, turn, name, fields).add_done_callback(lambda _: share.release())
        except RuntimeError:  # the process is ending
            share.release()
            return False
        return True


def _run(turn: Callable[[], object], name: str, fields: Mapping[str, str | None]) -> None:
    try:
        turn()
    except redis.RedisError as error:
        log.error("ledger_unreachable", extra={"fields": {"error": type(error).__name__}})
    except Exception:
        log.exception(f"{name}_failed", extra={"fields": fields})
