"""What a page's word on one order counts for: pure rules. A page shows many orders with one call,
and is believed less.

It ends an order only while single reads bear it out, it never permits a confirm, and what it shows
without anything to deliver is asked singly. What a list shows and a single read denies is a
contradiction.
"""

from schemas.order import Order
from worker.rules import answers as say

SLACK = 0.25
"""Share of its delay by which a re-check may come earlier or later, so that one page serves
several.
"""
LAG = 5.0
"""Seconds that a list may be behind without being a liar."""
LOOKS = 6
"""Every sixth look at a pending order is a single read, whatever the pages say."""
TRUST = 3
"""Ends that single reads must have borne out before a page's word ends an order."""
CHECK_EVERY = 50
"""One of so many ends is borne out by a single read for ever after."""

TAKE, END, CHECK, LEAVE = "take", "end", "check", "leave"
AGREED, CONTRADICTED = "agreed", "contradicted"
_ENDS = ("finished", "cancelled")
MISSING = "missing"
"""The word for an order that a page should have shown, and did not: nothing is known of it, so it
is asked singly.
"""
_WORDS: dict[type, str] = {
    say.Created: "created",
    say.Pending: "pending",
    say.Confirmed: "finished",
    say.Cancelled: "cancelled",
}


def word_of(answer: say.Answer | None) -> str | None:
    """The order's status in the supplier's words, or missing; None when an answer shows none."""
    return MISSING if answer is None else _WORDS.get(type(answer))


def verdict(
    order: Order, answer: say.Answer | None, asked_at: float, *, wanted: bool, hinted: bool
) -> str:
    """Take the page's word on a pending order, have a single read check it, or leave the order
    alone.

    `wanted`: its re-check is due or nearly so; `hinted`: somebody says that it has changed, and a
    list may lag. An end is taken only as far as pages are trusted: see `end_verdict`.
    """
    word = word_of(answer)
    if word is None or order.page_says or order.state != "pending":
        return LEAVE
    if word == MISSING:
        return CHECK if wanted else LEAVE
    if word == "pending":
        if not wanted:
            return LEAVE
        return CHECK if hinted or order.snoozes % LOOKS == LOOKS - 1 else TAKE
    if word == "created":
        return CHECK if (order.pending_since or asked_at) < asked_at - LAG else LEAVE
    return END if _whole(answer) else CHECK


def end_verdict(agreed: int, ends: int, checks: int) -> str:
    """Whether to take an end.

    So many ends were borne out by reads, were shown by pages, are checked of this page.
    """
    if agreed < TRUST:
        return CHECK if checks < TRUST - agreed else LEAVE
    return CHECK if ends % CHECK_EVERY == CHECK_EVERY - 1 else TAKE


def _whole(answer: say.Answer | None) -> bool:
    """All its lines are there, and whatever is finished has something to deliver."""
    if isinstance(answer, say.Confirmed):
        return bool(answer.lines) and answer.complete
    lines = getattr(answer, "lines", ())
    return bool(lines) and all(line.deliverable for line in lines if line.status == "finished")


def judged(order: Order, answer: say.Answer) -> str | None:
    """What a single read, made after the page, says of the page's word."""
    page, single = order.page_says, word_of(answer)
    if page is None or single is None:
        return None
    if page in _ENDS:
        return AGREED if single == page else CONTRADICTED
    return CONTRADICTED if page == "created" and single != "created" else None


def denied(order: Order, answer: say.Answer | None, asked_at: float) -> bool:
    """True when a page shows an order as open that had ended well before the page was asked for."""
    ended = order.state in ("confirmed", "cancelled") and order.ended_at is not None
    return (
        ended
        and word_of(answer) in ("created", "pending")
        and (order.ended_at or 0.0) < asked_at - LAG
    )
