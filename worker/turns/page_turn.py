"""One page of a supplier's list for many pending orders: choose, ask, judge, learn.

The rules are pure: `worker.rules.page_search` says which page to ask for, `worker.rules.page_trust`
what its word counts for, `worker.rules.policy` what an answer makes of an order. Each order is
written by the version that it had before the page was asked for, so that a page never comes between
an order and a step, a hint or a person.
"""

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple, cast

from schemas.lane import Lane
from schemas.order import Order
from worker.ledger import Ledger
from worker.ledger.lane_calls import KIND_PAGE
from worker.ledger.pages import Pages, Survey
from worker.rules import page_trust
from worker.rules.answers import Answer, Blocked, Unavailable, Unknown
from worker.rules.page_search import ENOUGH, Listing, PendingOrder
from worker.rules.words import READ, Call, Step
from worker.suppliers.client import Client, ReadingClient
from worker.turns.lane_question import LaneQuestion
from worker.turns.step_log import log_step, say_pages_off

log = logging.getLogger("countersign.pages")
LOOK_AGAIN = 5.0
"""Seconds until pages are weighed again when none was worth its call."""
PAGING = 300.0
"""Seconds for which re-checks wait for pages after one that answered for enough of them."""


class Page(NamedTuple):
    """A page that was answered: its number, its answers by order id, when it was asked for."""

    number: int
    answers: dict[str, Answer]
    asked_at: float

    @property
    def dates(self) -> list[float]:
        """The creation dates that the page shows, in its order."""
        shown = (getattr(said, "created_at", None) for said in self.answers.values())
        return [date.timestamp() for date in shown if date]

    def misses(self, order: PendingOrder) -> bool:
        """True when the order belongs on this page by its date, and is not there."""
        if order.order_id in self.answers or not self.dates:
            return False
        return min(self.dates) < order.created_at < max(self.dates)


class PageTurn:
    """Answers for pending orders by pages, one page at a time per lane."""

    def __init__(
        self,
        ledger: Ledger,
        question: LaneQuestion,
        clients: Mapping[Lane, Client],
        jitter: Callable[[], float] = lambda: random.uniform(-1, 1),  # noqa: S311
    ) -> None:
        self.ledger = ledger
        self.pages = Pages(ledger.shelf)
        self.question = question
        self.clients = clients
        self.jitter = jitter

    def turn(self, lane: Lane) -> str:
        """One turn, as the dispatcher gave it; returns a static word for what came of it.

        Raises `redis.RedisError`.
        """
        survey = self.pages.survey(lane)
        number = survey.listing.choose(survey.waiting, survey.now)
        if number is None:
            self._learn(lane, survey.listing, survey.now + LOOK_AGAIN, survey.now)
            return "no_page"
        client = cast(ReadingClient, self.clients[lane])
        asked = self.question.ask(lane, KIND_PAGE, 0.0, lambda gate: client.find_page(number, gate))
        if isinstance(asked, str):
            return asked
        try:
            if not isinstance(asked.answer, dict):
                return self._no_answer(lane, survey, asked.answer)
            return self._read(lane, survey, Page(number, asked.answer, asked.call.now))
        finally:
            self.question.lane_calls.settle(asked.call, asked.answer, asked.sent_at)

    def _no_answer(self, lane: Lane, survey: Survey, answer: Answer) -> str:
        now = self.ledger.time()
        trouble_of_lane = _is_trouble_of_lane(answer)
        listing = survey.listing.failed(now) if trouble_of_lane else survey.listing.useless(now)
        self._learn(lane, listing, now + LOOK_AGAIN, now)
        return "no_answer"

    def _read(self, lane: Lane, survey: Survey, page: Page) -> str:
        missed = [
            order.order_id
            for order in survey.waiting
            if order.wanted(page.asked_at) and page.misses(order)
        ]
        ours, now = self.pages.shown(lane, [*page.answers, *missed])
        for order in ours:
            if page_trust.denied(order, page.answers.get(order.order_id), page.asked_at):
                self._deny(lane, order, page.answers[order.order_id], now)
                return "contradicted"
        answered, ends = self._believe(survey, ours, page, now)
        learnt = survey.listing.learn(page.number, page.dates, answered, now)
        enough = answered >= ENOUGH
        self._learn(lane, replace(learnt, ends=ends), now, now, paging=enough)
        _log_page(lane, page, answered)
        return "answered"

    def _believe(
        self, survey: Survey, ours: list[Order], page: Page, now: float
    ) -> tuple[int, int]:
        """How many wanted orders the page answered for, and the ends shown by pages so far."""
        waiting = {order.order_id: order for order in survey.waiting}
        answered, ends, checks = 0, survey.listing.ends, 0
        for order in ours:
            before, said = waiting.get(order.order_id), page.answers.get(order.order_id)
            if before is None or before.version != order.version:
                continue  # a step, a hint or a person came between: they know better
            wanted = before.wanted(now)
            answered += wanted and said is not None
            verdict = page_trust.verdict(
                order, said, page.asked_at, wanted=wanted, hinted=before.hinted
            )
            if verdict == page_trust.END:
                verdict = page_trust.end_verdict(survey.agreed, ends, checks)
                ends += survey.agreed >= page_trust.TRUST
                checks += verdict == page_trust.CHECK
            if verdict != page_trust.LEAVE:
                self._apply(order, said, verdict, page.asked_at, now)
        return answered, ends

    def _apply(
        self, order: Order, said: Answer | None, verdict: str, asked_at: float, now: float
    ) -> None:
        if said is None or verdict == page_trust.CHECK:
            word = page_trust.word_of(said)
            step = Step(order=replace(order, page_says=word, due_at=now), event=f"page_says_{word}")
        else:
            policy, call = self.ledger.policies[order.supplier], Call(kind=READ, at=asked_at)
            step = policy.decide(order, call, said, now, self.jitter())
        log_step(step, "page", said, self.ledger.write(order, step))

    def _deny(self, lane: Lane, order: Order, said: Answer, now: float) -> None:
        word = page_trust.word_of(said)
        note = f"{order.order_id}: a page says {word}, it was {order.state} before"
        if self.pages.learn(lane, None, next_from=now, denied=note):
            say_pages_off(lane, note)

    def _learn(
        self, lane: Lane, listing: Listing, next_from: float, now: float, *, paging: bool = False
    ) -> None:
        """Re-checks wait for pages while these answer for enough, and for none while they rest."""
        if listing.resting(now):
            self.pages.learn(lane, listing, next_from=listing.rest_until, paging_until=now)
            return
        until = now + PAGING if paging else None
        self.pages.learn(lane, listing, next_from=next_from, paging_until=until)


def _is_trouble_of_lane(answer: Answer) -> bool:
    """True for trouble that says nothing of the lane's pages."""
    match answer:
        case Unavailable():
            return True
        case Unknown(outage=outage):
            return outage
        case Blocked(cause=cause):
            return cause == "rate_limited"
        case _:
            return False


def _log_page(lane: Lane, page: Page, answered: int) -> None:
    fields = {
        "supplier": lane.supplier,
        "account": lane.account,
        "page": page.number,
        "shown": len(page.answers),
        "answered": answered,
    }
    log.info("page", extra={"fields": fields})
