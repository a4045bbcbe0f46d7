"""A lane at work on virtual time: the real policy, scripts, executor and dispatcher; only the
supplier is a stand-in.

A step takes `step` seconds of the clock. A call's first byte leaves `way` seconds after its permit,
if it still may, and its answer is there at once: how long a supplier takes changes nothing about a
budget that counts what was sent.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from schemas.lane import Lane
from worker.ledger import Ledger
from worker.ledger.lane_calls import LaneCalls
from worker.rules import answers as say
from worker.turns.dispatcher import TICK, Dispatcher
from worker.turns.executor import Executor
from worker.turns.lane_question import LaneQuestion
from worker.turns.page_turn import PageTurn

FINISHED = say.Confirmed(lines=(say.Line("1", "finished", True),))
STEP = 0.002
PAGE_LOOK = 2.0
"""What waits for a page is looked at so often: whether one may be asked depends on more than the
sorted sets.
"""


class Supplier:
    """Stands where a client of `worker.suppliers` stands. Each call gets the next answer that was
    promised.

    An order without answers, or with none left, is confirmed by a confirm; a read then shows it.
    What was sent, and when each order took effect, is in its books.
    """

    def __init__(self, clock: Any, *, way: float = 0.0) -> None:
        self.clock = clock
        self.way = way
        self.answers: dict[str, deque[say.Answer]] = {}
        self.sent: list[float] = []
        self.unsent = 0
        self.effects: dict[str, float] = {}

    def promise(self, answers: Mapping[str, Iterable[say.Answer]]) -> None:
        """What the next calls for these orders will be answered."""
        self.answers |= {order_id: deque(each) for order_id, each in answers.items()}

    def find(self, order_id: str, gate: Any) -> say.Answer:
        return self._call(order_id, gate) or (
            FINISHED if order_id in self.effects else say.Created()
        )

    def confirm(self, order_id: str, gate: Any, host: int = 0, details: Any = None) -> say.Answer:
        answer = self._call(order_id, gate)
        if answer is None or isinstance(answer, say.Pending):
            self.effects[order_id] = self.clock()
        return answer or FINISHED

    def _call(self, order_id: str, gate: Any) -> say.Answer | None:
        leaves = self.clock() + self.way
        if leaves > gate.opened_at + gate.send_within:
            self.unsent += 1
            return say.Unavailable("too late", late=True)
        gate.sent_at = leaves
        self.sent.append(leaves)
        left = self.answers.get(order_id)
        return left.popleft() if left else None


class VirtualLane:
    """One worker on `clock`, for one lane of Relograde."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Any,
        supplier: Any,
        jitter: Callable[[], float] = lambda: 0.0,
        *,
        step: float = 0.002,
    ) -> None:
        self.ledger = ledger
        self.clock = clock
        self.step = step
        clients = {("relograde", None): supplier}
        self.executor = Executor(ledger, ledger.policies, clients, monotonic=clock, jitter=jitter)
        questions = LaneQuestion(LaneCalls(ledger.shelf), monotonic=clock)
        self.page_turn = PageTurn(ledger, questions, clients, jitter)
        self._rung: deque[tuple[str, str]] = deque()
        lanes = (Lane("relograde"),)
        self.dispatcher = Dispatcher(
            ledger, lanes, self._ring, monotonic=clock, page=self.page_turn.turn
        )

    def _ring(self, supplier: str, order_ids: list[str]) -> None:
        self._rung.extend((supplier, order_id) for order_id in order_ids)

    def work(self, arrivals: Iterable[tuple[float, Any]] = (), until: float = math.inf) -> None:
        """Opens `arrivals` (when, order) as they come, and works until `until`, or until nothing is
        left to do.
        """
        coming = deque(sorted(arrivals, key=lambda arrival: arrival[0]))
        with _quiet():
            while self.clock() < until:
                while coming and coming[0][0] <= self.clock():
                    self.ledger.open(coming.popleft()[1])
                wait = self.dispatcher.turn()
                idle = not self._rung
                while self._rung:
                    self.executor.step(*self._rung.popleft())
                    self.clock.advance(self.step)
                then = min(self._next_event(), coming[0][0] if coming else math.inf, until)
                if then == math.inf:
                    return
                # A worker would look every TICK; looks that find nothing are left out, those around
                # the event are not.
                in_vain = math.floor((then - self.clock()) / TICK) * TICK if idle else 0.0
                self.clock.advance(max(wait, in_vain))

    def _next_event(self) -> float:
        """When an order falls due, or something comes free that a ready one waits for."""
        key, client = self.ledger.scripts.key, self.ledger.scripts.client
        ready = any(
            client.zcard(key("relograde", "ready", "-", kind))
            for kind in ("confirm", "ask", "recheck")
        )
        if ready and self.ledger.limits["relograde"].pages:
            return float(self.clock() + PAGE_LOOK)
        names = ("due", "calls", "reserved", "leases") if ready else ("due",)
        keys = [key("relograde", name, "-") for name in names]
        rows = [
            client.zrangebyscore(name, f"({self.clock():.6f}", "+inf", 0, 1, withscores=True)
            for name in keys
        ]
        probe_at = client.hget(key("relograde", "lane", "-"), "probe_at") if ready else None
        probes = [float(probe_at)] if probe_at and float(probe_at) > self.clock() else []
        return min((*probes, *(score for row in rows for _, score in row)), default=math.inf)


@contextmanager
def _quiet() -> Iterator[None]:
    """Thousands of dead letters are an error line each."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
