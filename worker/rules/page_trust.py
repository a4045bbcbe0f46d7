"""What a page's word on one order counts for. Pure.

A page shows many orders with one call, and counts for less than a single read. Its word ends an
order only while single reads confirm such ends; it never permits a confirm; an end without anything
to deliver is read singly. A list that a single read denies is a contradiction.
"""

from schemas.order import Order
from worker.rules import answers as say

SLACK = 0.25
"""Share of its delay by which a re-check may move, so that one page serves several."""
LAG = 5.0
"""Seconds that a list may be behind without contradicting a read."""
LOOKS = 6
"""Every sixth look at a pending order is a single read, whatever the pages say."""
TRUST = 3
"""Ends that single reads must have confirmed before a page's word ends an order."""
CHECK_EVERY = 50
"""After that, one end in so many is still checked by a single read."""

TAKE, END, CHECK, LEAVE = "take", "end", "check", "leave"
AGREED, CONTRADICTED = "agreed", "contradicted"
_ENDS = ("finished", "cancelled")
MISSING = "missing"
"""The word for an order that a page should have shown and did not: it is read singly."""
_WORDS: dict[type, str] = {
    say.Created: "created",
    say.Pending: "pending",
    say.Confirmed: "finished",
    say.Cancelled: "cancelled",
}


def word_of(answer: say.Answer | None) -> str | None:
    """The order's status in the supplier's words, or missing; None when an answer shows none."""
    if answer is None:
        return MISSING
    return _WORDS.get(type(answer))


def verdict(
    order: Order, answer: say.Answer | None, asked_at: float, *, wanted: bool, hinted: bool
) -> str:
    """Take the page's word on a pending order, check it by a single read, or leave the order alone.

    `wanted`: its re-check is due or nearly so; `hinted`: somebody says that it has changed, and a
    list may lag. An end is taken only as far as pages are trusted: see `end_verdict`.
    """
    if order.page_says or order.state != "pending":
        return LEAVE
    match word_of(answer):
        case None:
            return LEAVE
        case "missing":
            if wanted:
                return CHECK
            return LEAVE
        case "pending":
            if wanted:
                return _still_pending(order, hinted=hinted)
            return LEAVE
        case "created":
            return _created_again(order, asked_at)
        case _:
            if _is_whole(answer):
                return END
            return CHECK


def _still_pending(order: Order, *, hinted: bool) -> str:
    turn_of_read = order.snoozes % LOOKS == LOOKS - 1
    if hinted or turn_of_read:
        return CHECK
    return TAKE


def _created_again(order: Order, asked_at: float) -> str:
    """A list that lags may show a pending order as created for a while."""
    pending_since = order.pending_since or asked_at
    if pending_since < asked_at - LAG:
        return CHECK
    return LEAVE


def end_verdict(agreed: int, ends: int, checks: int) -> str:
    """Whether to take an end.

    `agreed`: ends that reads have confirmed; `ends`: ends that pages have shown; `checks`: ends of
    this page that are being checked.
    """
    if agreed < TRUST:
        if checks < TRUST - agreed:
            return CHECK
        return LEAVE
    if ends % CHECK_EVERY == CHECK_EVERY - 1:
        return CHECK
    return TAKE


def _is_whole(answer: say.Answer | None) -> bool:
    """True when all lines are there, and each finished one has something to deliver."""
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
        if single == page:
            return AGREED
        return CONTRADICTED
    if page == "created" and single != "created":
        return CONTRADICTED
    return None


def denied(order: Order, answer: say.Answer | None, asked_at: float) -> bool:
    """True when a page shows an order as open that had ended well before the page was asked for."""
    if order.state not in ("confirmed", "cancelled") or order.ended_at is None:
        return False
    shown_open = word_of(answer) in ("created", "pending")
    return shown_open and order.ended_at < asked_at - LAG
