"""The one log line of a step. No voucher, key or personal data is in it."""

import logging

from worker.ledger import Reply
from worker.rules.answers import Answer
from worker.rules.policy import CONFIRM, Step

log = logging.getLogger("countersign.step")


def log_step(step: Step, call: str | None, answer: Answer | None, written: Reply) -> None:
    """The one line of a step; `call` is its kind."""
    order = step.order
    level = logging.ERROR if order.state == "dead" and step.event == "dead" else logging.INFO
    fields = {
        "supplier": order.supplier,
        "order_id": order.order_id,
        "account": order.account,
        "call": call,
        "attempt": order.attempts if call == CONFIRM else None,
        "answer": type(answer).__name__ if answer else None,
        "did": step.event,
        "state": order.state,
        "reason": order.reason,
        "next_look_at": order.due_at,
        "written": written.result,
        "lane": written.lane,
    }
    log.log(level, "step", extra={"fields": fields})


def say_pages_off(supplier: str, account: str | None, note: str) -> None:
    """Once: the ledger tells it only to the one who put them off."""
    log.error(
        "pages_contradicted",
        extra={"fields": {"supplier": supplier, "account": account, "note": note}},
    )
