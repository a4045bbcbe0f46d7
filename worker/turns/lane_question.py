"""Asks a supplier what is about no single order: permit, call, and the ledger's times of both."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker.ledger.lane_calls import LaneCall, LaneCalls
from worker.suppliers.http import Gate


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that was made: what came back, and when its first byte left by the ledger's clock
    (None: it did not).
    """

    call: LaneCall
    answer: Any
    sent_at: float | None


class Questions:
    """Safe on any number of threads and processes: the ledger lets one of a kind through per
    lane.
    """

    def __init__(
        self, lane_calls: LaneCalls, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.lane_calls = lane_calls
        self.monotonic = monotonic

    def ask(
        self,
        supplier: str,
        account: str | None,
        kind: str,
        every: float,
        question: Callable[[Gate], Any],
        *,
        wanted: bool = True,
    ) -> Asked | str:
        """Makes the call if the ledger permits it, else says why not.

        The caller settles it: `lane_calls.settle`.
        """
        started = self.monotonic()
        call = self.lane_calls.permit(supplier, account, kind, every, wanted=wanted)
        if call.result != "permitted":
            return call.result
        gate = Gate(opened_at=started, send_within=call.window)
        answer = question(gate)
        sent_at = None if gate.sent_at is None else call.now + (gate.sent_at - started)
        return Asked(call, answer, sent_at)
