"""One step of one order: claim, intent, call, decide, apply, one log line."""

import json
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import redis

from schemas.order import Order
from worker import boundaries
from worker.ledger import Ledger, Opened, Permit, Reply, Taken
from worker.rules.answers import Answer
from worker.rules.policy import READ, Call, Policy, Step
from worker.suppliers.http import Gate
from worker.turns.step_log import log_step, say_pages_off

WRITE_TRIES = (0.1, 0.3, 1.0, 3.0, 5.0)
"""Seconds between the tries to write an answer that we hold while the ledger cannot be reached."""


class Executor:
    """Performs steps.

    Safe on any number of threads and processes: the ledger lets one through per order.
    """

    def __init__(
        self,
        ledger: Ledger,
        policies: Mapping[str, Policy],
        clients: Mapping[tuple[str, str | None], Any],
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(-1, 1),  # noqa: S311
    ) -> None:
        self.ledger = ledger
        self.policies = policies
        self.clients = clients
        self.jitter = jitter
        self.monotonic = monotonic

    def step(self, supplier: str, order_id: str) -> str:
        """One turn of one order; returns what came of it, a static word.

        Raises `redis.RedisError` before the call.
        """
        started = self.monotonic()
        return self._go_on(self.ledger.take(supplier, order_id), started)

    def open(self, order: Order, details: str | None) -> tuple[Opened, Callable[[], str] | None]:
        """Accepts an order; with it comes its first step, to be made now, when its lane has room
        for all that wait.
        """
        started = self.monotonic()
        opened, taken = self.ledger.open_and_take(order, details)
        return opened, partial(
            self._go_on, taken, started
        ) if taken.claimed.result == "claimed" else None

    def _go_on(self, taken: Taken, started: float) -> str:
        """`started`: when the ledger was asked, by our own clock."""
        claimed, permit = taken
        if claimed.result != "claimed" or claimed.order is None:
            return claimed.result
        boundaries.reach(boundaries.CLAIMED)
        order, policy, details = claimed.order, self.policies[claimed.order.supplier], None
        if permit is None:
            plan = policy.next_call(order, claimed.now)
            if isinstance(plan, Step):
                return self._apply(order, plan, claimed, None, None)
            details = self.ledger.details(order) if plan.details else None
            started = self.monotonic()
            permit = self.ledger.permit(claimed, plan)
        if permit.result == "unpayable":
            return self._apply(order, policy.unpayable(order, permit.now), claimed, None, None)
        if permit.result != "permitted":
            return permit.result
        boundaries.reach(boundaries.INTENT_WRITTEN)
        gate = Gate(opened_at=started, send_within=permit.window)
        answer = self._ask(permit, gate, details)
        boundaries.reach(boundaries.ANSWER_RECEIVED)
        now = permit.now + (self.monotonic() - started)
        sent_at = None if gate.sent_at is None else permit.now + (gate.sent_at - started)
        decided = policy.decide(permit.order, permit.call, answer, now, self.jitter())
        boundaries.reach(boundaries.DECIDED)
        return self._apply(permit.order, decided, claimed, answer, sent_at, call=permit.call)

    def _ask(self, permit: Permit, gate: Gate, details: str | None) -> Answer:
        order = permit.order
        client = self.clients[order.supplier, order.account]
        if permit.call.kind == READ:
            answer: Answer = client.find(order.order_id, gate)
            return answer
        document = json.loads(details) if details else None
        confirmed: Answer = client.confirm(
            order.order_id, gate, host=permit.call.host, details=document
        )
        return confirmed

    def _apply(
        self,
        before: Order,
        step: Step,
        claimed: Reply,
        answer: Answer | None,
        sent_at: float | None,
        call: Call | None = None,
    ) -> str:
        written = self._write(before, step, claimed.claim, sent_at)
        if written.result == "stale" and step.proof and answer is not None and call is not None:
            self.merge(before.supplier, before.order_id, call, answer)
        boundaries.reach(boundaries.APPLIED)
        log_step(step, call.kind if call else None, answer, written)
        if written.pages_off:
            say_pages_off(before.supplier, before.account, written.pages_off)
        return step.event if written.result == "written" else written.result

    def merge(self, supplier: str, order_id: str, call: Call, answer: Answer) -> Step | None:
        """What an old fence, or a webhook, proves is merged all the same, decided on the record as
        it is now.
        """
        policy = self.policies[supplier]
        return self.ledger.change(
            supplier, order_id, lambda order, now: policy.decide(order, call, answer, now)
        )

    def _write(self, before: Order, step: Step, claim: str, sent_at: float | None) -> Reply:
        for pause in WRITE_TRIES:
            try:
                return self.ledger.write(before, step, claim=claim, sent_at=sent_at)
            except redis.RedisError:
                time.sleep(pause)
        return self.ledger.write(before, step, claim=claim, sent_at=sent_at)
