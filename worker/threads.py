"""Which thread takes a step, and how many of this process' threads one supplier may hold.

A supplier that hangs takes its share and no more; the doors and the other supplier keep theirs.
"""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from worker.executor import Executor

log = logging.getLogger("countersign.step")


class Threads:
    """Runs steps of both suppliers. `share`: threads of this process that each may hold at once."""

    def __init__(self, executor: Executor, share: int) -> None:
        self.executor = executor
        self._shares = {supplier: threading.BoundedSemaphore(share) for supplier in executor.policies}
        self._pool = ThreadPoolExecutor(share * len(self._shares), thread_name_prefix="step")

    def step(self, supplier: str, order_id: str) -> str:
        """One step in the caller's thread; `no_thread` when the supplier has its share, and the bell rings again."""
        share = self._shares[supplier]
        if not share.acquire(blocking=False):
            return "no_thread"
        try:
            return self.executor.step(supplier, order_id)
        finally:
            share.release()

    def start(self, supplier: str, order_id: str) -> None:
        """The first step of an order that was just accepted, beside the caller, so that the door answers at once.

        Whatever goes wrong here, the order is in the ledger and the dispatcher finds it. The pool's threads are waited
        for when the process ends, so a stopping worker finishes its calls.
        """
        share = self._shares[supplier]
        if share.acquire(blocking=False):
            try:
                self._pool.submit(self._first, supplier, order_id).add_done_callback(lambda _: share.release())
            except RuntimeError:  # the process is ending
                share.release()

    def _first(self, supplier: str, order_id: str) -> None:
        try:
            self.executor.step(supplier, order_id, direct=True)
        except Exception:
            log.exception("step_failed", extra={"fields": {"supplier": supplier, "order_id": order_id}})
