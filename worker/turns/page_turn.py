"""One page of a supplier's list for many pending orders: choose, ask, believe what may be believed,
learn.

The rules are pure: `worker.rules.page_search` says which page, `worker.rules.page_trust` what its
word counts for, `worker.rules.policy` what an answer makes of an order. Each order is written by
the version it had before the page was asked for, so that a page never comes between an order and a
step, a hint or a person.
"""

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from schemas.order import Order
from worker.ledger.lane_calls import PAGE
from worker.ledger.pages import Pages, Survey
from worker.rules import page_trust
from worker.rules.answers import Answer, Blocked, Unavailable, Unknown
from worker.rules.page_search import ENOUGH, Listing, Waiting
from worker.rules.policy import Policy
from worker.rules.words import READ, Call, Step
from worker.turns.lane_question import Questions
from worker.turns.step_log import log_step, say_pages_off

Lane = tuple[str, str | None]
log = logging.getLogger("countersign.pages")
LOOK_AGAIN = 5.0
"""Seconds until pages are weighed again when none was worth its call."""
PAGING = 300.0
"""Seconds for which re-checks wait for pages after one that answered for enough."""


class Rechecks:
    """Answers for pending orders by pages.

    Safe on any number of threads and processes: one page at a time per lane.
    """

    def __init__(
        self,
        pages: Pages,
        policies: Mapping[str, Policy],
        questions: Questions,
        clients: Mapping[tuple[str, str | None], Any],
        jitter: Callable[[], float] = lambda: random.uniform(-1, 1),  # noqa: S311
    ) -> None:
        self.pages = pages
        self.policies = policies
        self.questions = questions
        self.clients = clients
        self.jitter = jitter

    def turn(self, supplier: str, account: str | None) -> str:
        """The turn of a page, as the dispatcher gave it; returns what came of it.

        Raises `redis.RedisError`.
        """
        lane, survey = (supplier, account), self.pages.survey(supplier, account)
        number = survey.listing.choose(survey.waiting, survey.now)
        if number is None:
            self._learn(lane, survey.listing, survey.now + LOOK_AGAIN, survey.now)
            return "no_page"
        client = self.clients[lane]
        asked = self.questions.ask(*lane, PAGE, 0.0, lambda gate: client.find_page(number, gate))
        if isinstance(asked, str):
            return asked
        try:
            return self._read(lane, survey, number, asked.answer, asked.call.now)
        finally:
            self.questions.lane_calls.settle(asked.call, asked.answer, asked.sent_at)

    def _read(self, lane: Lane, survey: Survey, number: int, answer: Any, at: float) -> str:
        """Everything that follows from a page that was asked for at `at`."""
        if not isinstance(answer, dict):
            now = self.pages.ledger.time()
            listing = (
                survey.listing.failed(now) if _in_trouble(answer) else survey.listing.useless(now)
            )
            self._learn(lane, listing, now + LOOK_AGAIN, now)
            return "no_answer"
        dates = [
            said.created_at.timestamp()
            for said in answer.values()
            if getattr(said, "created_at", None)
        ]
        missing = [
            one.order_id
            for one in survey.waiting
            if one.wanted(at) and _missing(one, answer, dates)
        ]
        ours, now = self.pages.shown(*lane, [*answer, *missing])
        for order in ours:
            if page_trust.denied(order, answer.get(order.order_id), at):
                self._deny(lane, order, answer[order.order_id], now)
                return "contradicted"
        answered, ends = self._believe(survey, ours, answer, at, now)
        listing = replace(survey.listing.learn(number, dates, answered, now), ends=ends)
        self._learn(lane, listing, now, now, paging=answered >= ENOUGH)
        _log("page", lane, page=number, shown=len(answer), answered=answered)
        return "answered"

    def _believe(
        self, survey: Survey, ours: list[Order], answer: dict[str, Answer], at: float, now: float
    ) -> tuple[int, int]:
        """(how many wanted orders the page answered for, ends shown by pages so far)."""
        waiting = {one.order_id: one for one in survey.waiting}
        answered, ends, checks = 0, survey.listing.ends, 0
        for order in ours:
            before, said = waiting.get(order.order_id), answer.get(order.order_id)
            if before is None or before.version != order.version:
                continue  # a step, a hint or a person came between: they know better
            wanted = before.wanted(now)
            answered += wanted and said is not None
            verdict = page_trust.verdict(order, said, at, wanted=wanted, hinted=before.hinted)
            if verdict == page_trust.END:
                verdict = page_trust.end_verdict(survey.agreed, ends, checks)
                ends += survey.agreed >= page_trust.TRUST
                checks += verdict == page_trust.CHECK
            if verdict != page_trust.LEAVE:
                self._apply(order, said, verdict, at, now)
        return answered, ends

    def _apply(
        self, order: Order, said: Answer | None, verdict: str, at: float, now: float
    ) -> None:
        if said is None or verdict == page_trust.CHECK:
            word = page_trust.word_of(said)
            step = Step(order=replace(order, page_says=word, due_at=now), event=f"page_says_{word}")
        else:
            step = self.policies[order.supplier].decide(
                order, Call(kind=READ, at=at), said, now, self.jitter()
            )
        log_step(step, "page", said, self.pages.ledger.write(order, step))

    def _deny(self, lane: Lane, order: Order, said: Answer, now: float) -> None:
        note = (
            f"{order.order_id}: a page says {page_trust.word_of(said)}, it was {order.state} before"
        )
        if self.pages.learn(*lane, None, next_from=now, denied=note):
            say_pages_off(*lane, note)

    def _learn(
        self, lane: Lane, listing: Listing, next_from: float, now: float, *, paging: bool = False
    ) -> None:
        """Re-checks wait for pages while these answer for enough, and for none while they rest."""
        if listing.resting(now):
            self.pages.learn(*lane, listing, next_from=listing.rest_until, paging_until=now)
        else:
            self.pages.learn(
                *lane, listing, next_from=next_from, paging_until=now + PAGING if paging else None
            )


def _missing(one: Waiting, answer: dict[str, Answer], dates: list[float]) -> bool:
    """By its date it belongs on this page."""
    return one.order_id not in answer and bool(dates) and min(dates) < one.created_at < max(dates)


def _in_trouble(answer: Answer) -> bool:
    """The lane's trouble, which says nothing of its pages."""
    outage = isinstance(answer, Unknown) and answer.outage
    return (
        outage
        or isinstance(answer, Unavailable)
        or (isinstance(answer, Blocked) and answer.cause == "rate_limited")
    )


def _log(event: str, lane: Lane, **more: int) -> None:
    supplier, account = lane
    log.info(event, extra={"fields": {"supplier": supplier, "account": account, **more}})
