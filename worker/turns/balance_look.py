"""Asks GET account for one lane.

A look tests a held key, finds money for the orders that wait for it, and requeues letters of
insufficient balance. Every worker has one thread for each such lane, so that a look of half a
minute delays nothing else. The ledger says whether a look is wanted and permitted: at most one a
minute for all workers together.
"""

import logging
import time
from collections.abc import Callable

from schemas.lane import Lane
from worker.ledger import Ledger
from worker.ledger.lane_calls import KIND_ACCOUNT, LaneCalls
from worker.ledger.limits import LOOK_EVERY
from worker.ledger.reads.money import MoneyReads
from worker.rules import interventions
from worker.rules.money import payable
from worker.suppliers.client import ReadingClient
from worker.turns.lane_question import LaneQuestion

log = logging.getLogger("countersign.accounts")
TICK = 1.0
"""Seconds between two questions to the ledger whether a look is wanted."""


class BalanceLook:
    """Looks at the accounts behind one lane.

    `requeues`: letters that the balance covers go back.
    """

    def __init__(
        self,
        ledger: Ledger,
        lane: Lane,
        client: ReadingClient,
        *,
        requeues: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ledger = ledger
        self.money = MoneyReads(ledger.shelf)
        self.lane_calls = LaneCalls(ledger.shelf)
        self.question = LaneQuestion(self.lane_calls, monotonic)
        self.lane = lane
        self.client = client
        self.requeues = requeues
        self._wanted, self._counted, self._counted_at = False, 0, float("-inf")

    def turn(self) -> float:
        """A look, if one is wanted and permitted; returns the seconds until the next turn."""
        asked = self.question.ask(
            self.lane,
            KIND_ACCOUNT,
            LOOK_EVERY,
            self.client.accounts,
            wanted=self._wanted_by_letters(),
        )
        if isinstance(asked, str):
            return TICK
        answered = isinstance(asked.answer, dict)
        # Letters and waiting orders are read before the call is settled: the cost of an order that
        # is confirmed in between is then subtracted twice, not forgotten.
        letters = self.money.letters(self.lane) if self.requeues and answered else []
        waiting = list(self.money.waiting(self.lane)) if letters else []
        look = self.lane_calls.settle_look(asked.call, asked.answer, asked.sent_at)
        requeued = self._requeue(payable(letters, waiting, look.funds))
        fields = {
            "supplier": self.lane.supplier,
            "account": self.lane.account,
            "answer": "balances" if answered else type(asked.answer).__name__,
            "lane": look.lane,
            "requeued": requeued or None,
        }
        log.info("look", extra={"fields": fields})
        return TICK

    def _wanted_by_letters(self) -> bool:
        """True when a letter can still be paid for in time.

        The letters are read when their number changes, or once a minute.
        """
        number = self.money.count_letters(self.lane.supplier) if self.requeues else 0
        now = self.ledger.time()
        if number != self._counted or now - self._counted_at >= LOOK_EVERY:
            self._counted, self._counted_at = number, now
            self._wanted = number > 0 and bool(self.money.letters(self.lane))
        return self._wanted

    def _requeue(self, order_ids: list[str]) -> int:
        changes = [
            self.ledger.change(self.lane.supplier, order_id, interventions.requeue_on_funds)
            for order_id in order_ids
        ]
        return sum(change is not None for change in changes)
