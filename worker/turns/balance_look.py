"""Looks at a lane's accounts: as the probe of its key, for orders that wait for money, and for
letters that died of it.

One thread for each such lane in every worker, so that a look that takes half a minute keeps nobody
else. Whether a look is wanted and may be made stands in the ledger: at most one a minute, whoever
asks.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from worker.ledger import Ledger
from worker.ledger.lane_calls import ACCOUNT, LaneCalls
from worker.ledger.ledger import LOOK_EVERY
from worker.ledger.reads.money import FundsViews
from worker.rules import interventions
from worker.rules.funds import payable
from worker.turns.lane_question import Questions

log = logging.getLogger("countersign.accounts")
TICK = 1.0
"""Seconds between two questions to the ledger whether a look is wanted."""


class Account:
    """The accounts behind one lane.

    `requeues`: letters that the balance pays for are put back by themselves.
    """

    def __init__(
        self,
        ledger: Ledger,
        lane: tuple[str, str | None],
        client: Any,
        *,
        requeues: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ledger = ledger
        self.funds = FundsViews(ledger)
        self.lane_calls = LaneCalls(ledger)
        self.questions = Questions(self.lane_calls, monotonic)
        self.lane = lane
        self.supplier, self.account = lane
        self.client = client
        self.requeues = requeues
        self._awaited, self._counted, self._counted_at = False, 0, float("-inf")

    def turn(self) -> float:
        """A look, if one is wanted and permitted; returns the seconds until the next turn."""
        asked = self.questions.ask(
            self.supplier,
            self.account,
            ACCOUNT,
            LOOK_EVERY,
            self.client.accounts,
            wanted=self._awaited_by_letters(),
        )
        if isinstance(asked, str):
            return TICK
        told = isinstance(asked.answer, dict)
        # Read before the look is settled: who is confirmed in between is then taken off twice, and
        # not forgotten.
        letters = self.funds.letters(*self.lane) if self.requeues and told else []
        waiting = list(self.funds.waiting(*self.lane)) if letters else []
        look = self.lane_calls.settle_look(asked.call, asked.answer, asked.sent_at)
        requeued = self._requeue(payable(letters, waiting, look.funds))
        fields = {
            "supplier": self.supplier,
            "account": self.account,
            "answer": "balances" if told else type(asked.answer).__name__,
            "lane": look.lane,
            "requeued": requeued or None,
        }
        log.info("look", extra={"fields": fields})
        return TICK

    def _awaited_by_letters(self) -> bool:
        """Some letter could still be paid in time; they are read when their number changes, or once
        a minute.
        """
        number = self.funds.count_letters(self.supplier) if self.requeues else 0
        now = self.ledger.time()
        if number != self._counted or now - self._counted_at >= LOOK_EVERY:
            self._counted, self._counted_at = number, now
            self._awaited = number > 0 and bool(self.funds.letters(*self.lane))
        return self._awaited

    def _requeue(self, order_ids: list[str]) -> int:
        changes = [
            self.ledger.change(self.supplier, one, interventions.requeue_on_funds)
            for one in order_ids
        ]
        return sum(change is not None for change in changes)
