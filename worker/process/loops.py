"""A thread that calls one turn after the other, for as long as the worker runs."""

import logging
import threading
from collections.abc import Callable

import redis

log = logging.getLogger("countersign.dispatcher")


class Loop(threading.Thread):
    """Calls `turn`, which returns the seconds to wait, until it is stopped.

    A ledger out of reach is reported once.
    """

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
        """Ends the loop after the present turn."""
        self._stop_now.set()
