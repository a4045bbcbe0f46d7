"""Which thread takes a step or a page, and how many of this process' threads one supplier may hold.

A supplier that hangs takes its share and no more; the doors and the other supplier keep theirs.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import redis

from worker.executor import Executor
from worker.rechecks import Rechecks

log = logging.getLogger("countersign.step")


class Threads:
    """Runs steps and pages of both suppliers. `share`: threads of this process that each may hold at once."""

    def __init__(self, executor: Executor, share: int, rechecks: Rechecks) -> None:
        self.executor = executor
        self.rechecks = rechecks
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

    def start(self, supplier: str, order_id: str, *, direct: bool = False) -> bool:
        """One step beside the caller; False when the supplier has its share. `direct`: without having been dispatched.

        Whatever goes wrong here, the order is in the ledger and the dispatcher finds it. The pool's threads are waited
        for when the process ends, so a stopping worker finishes its calls.
        """
        fields = {"supplier": supplier, "order_id": order_id}
        return self._beside(supplier, lambda: self.executor.step(supplier, order_id, direct=direct), "step", fields)

    def page(self, supplier: str, account: str | None) -> bool:
        """The turn of a page beside the caller; False as above: its reservation then ends, and its turn comes again."""
        fields = {"supplier": supplier, "account": account}
        return self._beside(supplier, lambda: self.rechecks.turn(supplier, account), "page", fields)

    def _beside(self, supplier: str, turn: Callable[[], object], name: str, fields: Mapping[str, str | None]) -> bool:
        share = self._shares[supplier]
        if not share.acquire(blocking=False):
            return False
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
