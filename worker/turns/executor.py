"""One step of one order: claim, plan, permit, call, decide, apply."""

import json
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, cast

import redis

from schemas.lane import Lane
from schemas.order import Order
from worker import boundaries
from worker.ledger import Ledger, Opened, Permit, ScriptReply
from worker.ledger.replies import Claim
from worker.rules.answers import Answer
from worker.rules.policy import Policy
from worker.rules.words import READ, Call, Step
from worker.suppliers.client import Client, ReadingClient
from worker.suppliers.http import Gate
from worker.turns.step_log import log_step, say_pages_off

WRITE_TRIES = (0.1, 0.3, 1.0, 3.0, 5.0)
"""Seconds between the tries to write an answer while the ledger cannot be reached."""


class Made(NamedTuple):
    """The supplier call that a step has made, if it made one."""

    call: Call | None = None
    answer: Answer | None = None
    sent_at: float | None = None
    """When the first byte left, by the ledger's clock; None when nothing left."""

    @property
    def kind(self) -> str | None:
        """The kind of the call."""
        return self.call.kind if self.call else None


NO_CALL = Made()


class Executor:
    """Performs steps, on any number of threads and processes: the ledger lets in one an order."""

    def __init__(
        self,
        ledger: Ledger,
        policies: Mapping[str, Policy],
        clients: Mapping[Lane, Client],
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(-1, 1),  # noqa: S311
    ) -> None:
        self.ledger = ledger
        self.policies = policies
        self.clients = clients
        self.jitter = jitter
        self.monotonic = monotonic

    def step(self, supplier: str, order_id: str) -> str:
        """One step; returns a static word for it, raises `redis.RedisError` before its call."""
        asked_at = self.monotonic()
        return self._plan(self.ledger.claim_and_permit(supplier, order_id), asked_at)

    def open(self, order: Order, details: str | None) -> tuple[Opened, Callable[[], str] | None]:
        """Accepts an order; returns its first step too, to make now, when its lane has room."""
        asked_at = self.monotonic()
        opened, claim = self.ledger.open_and_claim(order, details)
        if claim.claimed.result != "claimed":
            return opened, None
        return opened, partial(self._plan, claim, asked_at)

    def _plan(self, claim: Claim, asked_at: float) -> str:
        """Continues from the claim; `asked_at` is when it was asked for, by our own clock."""
        claimed, permit_with_claim = claim
        if claimed.result != "claimed" or claimed.order is None:
            return claimed.result
        boundaries.reach(boundaries.CLAIMED)
        order = claimed.order
        # A confirm that needs no decision is permitted in the round trip of its claim.
        if permit_with_claim is not None:
            return self._call(claimed.claim, permit_with_claim, asked_at)
        plan = self.policies[order.supplier].next_call(order, claimed.now)
        if isinstance(plan, Step):
            return self._apply(order, plan, claimed.claim)
        details = self.ledger.details(order) if plan.details else None
        asked_at = self.monotonic()
        permit = self.ledger.permit(claimed, plan)
        return self._call(claimed.claim, permit, asked_at, details)

    def _call(self, claim: str, permit: Permit, asked_at: float, details: str | None = None) -> str:
        order, policy = permit.order, self.policies[permit.order.supplier]
        if permit.result == "unpayable":
            return self._apply(order, policy.unpayable(order, permit.now), claim)
        if permit.result != "permitted":
            return permit.result
        boundaries.reach(boundaries.INTENT_WRITTEN)
        gate = Gate(opened_at=asked_at, send_within=permit.window)
        answer = self._ask(permit, gate, details)
        boundaries.reach(boundaries.ANSWER_RECEIVED)
        now = permit.now + (self.monotonic() - asked_at)
        step = policy.decide(order, permit.call, answer, now, self.jitter())
        boundaries.reach(boundaries.DECIDED)
        made = Made(permit.call, answer, gate.sent_at_from(permit.now))
        return self._apply(order, step, claim, made)

    def _ask(self, permit: Permit, gate: Gate, details: str | None) -> Answer:
        order = permit.order
        client = self.clients[order.lane]
        if permit.call.kind == READ:
            # The policy reads only where the supplier's rules say that it can.
            return cast(ReadingClient, client).find(order.order_id, gate)
        document = json.loads(details) if details else None
        return client.confirm(order.order_id, gate, host=permit.call.host, details=document)

    def _apply(self, before: Order, step: Step, claim: str, made: Made = NO_CALL) -> str:
        written = self._write(before, step, claim, made.sent_at)
        overtaken = written.result == "stale"
        if overtaken and step.proof and made.call and made.answer:
            self.merge(before.supplier, before.order_id, made.call, made.answer)
        boundaries.reach(boundaries.APPLIED)
        log_step(step, made.kind, made.answer, written)
        if written.pages_off:
            say_pages_off(before.lane, written.pages_off)
        return step.event if written.result == "written" else written.result

    def _write(self, before: Order, step: Step, claim: str, sent_at: float | None) -> ScriptReply:
        write = partial(self.ledger.write, before, step, claim=claim, sent_at=sent_at)
        for pause in WRITE_TRIES:
            try:
                return write()
            except redis.RedisError:
                time.sleep(pause)
        return write()

    def merge(self, supplier: str, order_id: str, call: Call, answer: Answer) -> Step | None:
        """Decides on the record as it is now what a webhook, or a stale fence, has proved."""
        policy = self.policies[supplier]
        return self.ledger.change(
            supplier, order_id, lambda order, now: policy.decide(order, call, answer, now)
        )
