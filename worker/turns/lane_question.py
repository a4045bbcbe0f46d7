"""A supplier call that is about no single order: permit, call, and the ledger's times of both."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schemas.lane import Lane
from worker.ledger.lane_calls import LaneCall, LaneCalls
from worker.suppliers.http import Gate


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that was made, and what came back."""

    call: LaneCall
    answer: Any
    sent_at: float | None
    """When the first byte left, by the ledger's clock; None when nothing left."""


class LaneQuestion:
    """Asks on any number of threads and processes: the ledger lets one of a kind through a lane."""

    def __init__(
        self, lane_calls: LaneCalls, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.lane_calls = lane_calls
        self.monotonic = monotonic

    def ask(
        self,
        lane: Lane,
        kind: str,
        every: float,
        question: Callable[[Gate], Any],
        *,
        wanted: bool = True,
    ) -> Asked | str:
        """Makes the call if the ledger permits it, else says why not.

        The caller settles the call: `lane_calls.settle`.
        """
        asked_at = self.monotonic()
        call = self.lane_calls.permit(lane, kind, every, wanted=wanted)
        if call.result != "permitted":
            return call.result
        gate = Gate(opened_at=asked_at, send_within=call.window)
        answer = question(gate)
        return Asked(call, answer, gate.sent_at_from(call.now))
