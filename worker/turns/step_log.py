"""The log lines of a step. They hold no voucher, key or personal data."""

import logging

from schemas.lane import Lane
from worker.ledger import ScriptReply
from worker.rules.answers import Answer
from worker.rules.words import CONFIRM, Step

log = logging.getLogger("countersign.step")


def log_step(step: Step, kind: str | None, answer: Answer | None, written: ScriptReply) -> None:
    """The one line of a step; `kind` is that of its call, if it made one."""
    order = step.order
    fields = {
        "supplier": order.supplier,
        "order_id": order.order_id,
        "account": order.account,
        "call": kind,
        "attempt": order.attempts if kind == CONFIRM else None,
        "answer": type(answer).__name__ if answer else None,
        "did": step.event,
        "state": order.state,
        "reason": order.reason,
        "next_look_at": order.due_at,
        "written": written.result,
        "lane": written.lane,
    }
    needs_a_person = order.state == "dead" and step.event == "dead"
    level = logging.ERROR if needs_a_person else logging.INFO
    log.log(level, "step", extra={"fields": fields})


def say_pages_off(lane: Lane, note: str) -> None:
    """A single read contradicted a page, so the lane asks no more pages; logged once."""
    fields = {"supplier": lane.supplier, "account": lane.account, "note": note}
    log.error("pages_contradicted", extra={"fields": fields})
