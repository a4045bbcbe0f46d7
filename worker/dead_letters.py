"""Dead letters: show, requeue, resolve. A KEY is SUPPLIER/ORDER_ID, message/N or outcome/ID."""

import json
from typing import Any

from worker.ledger import Ledger
from worker.ledger.messages import Messages
from worker.ledger.outbox import Outbox, parse_id
from worker.ledger.reads.views import Views
from worker.rules import interventions


class DeadLetters:
    """What a person does with what no machine can decide."""

    def __init__(self, ledger: Ledger, messages: Messages, outbox: Outbox, views: Views) -> None:
        self.ledger = ledger
        self.messages = messages
        self.outbox = outbox
        self.views = views

    def show(self, key: str) -> dict[str, Any] | None:
        """Everything there is about one letter; None when there is no such letter."""
        kind, _, rest = key.partition("/")
        if kind == "message":
            fields = self.messages.load(rest)
            if not fields.get("letter"):
                return None
            return {**self.views.message(rest), "body": json.loads(fields["body"])}
        if kind == "outcome":
            return next(
                (
                    letter
                    for letter in self.views.letters("outcome_undeliverable")
                    if letter["key"] == key
                ),
                None,
            )
        order = self.views.order(kind, rest)
        if order is None or order.letter is None:
            return None
        return {**(self.views.show(kind, rest) or {}), **self.views.order_letter(order)}

    def exists(self, key: str) -> str | None:
        """None when `requeue` would put this one back, or why it would not."""
        kind, _, rest = key.partition("/")
        letter = self.show(key) if kind in (*self.views.suppliers, "outcome") else None
        if kind == "message":
            return self.requeue(key)
        if letter is None or (kind != "outcome" and letter["state"] != "dead"):
            return self._never(kind, rest) or "no such dead letter"
        return None

    def _never(self, kind: str, rest: str) -> str | None:
        order = self.views.order(kind, rest) if kind in self.views.suppliers else None
        if order is not None and order.letter in interventions.NEVER_REQUEUED:
            return f"{order.letter} is never requeued: the order is confirmed"
        return None

    def requeue(self, key: str) -> str | None:
        """Puts one back; returns None when done, or why not. Doing it twice at once is harmless."""
        kind, _, rest = key.partition("/")
        if kind == "message":
            return (
                "a refused message cannot be requeued: send it again, corrected, then "
                "resolve this letter"
            )
        if kind == "outcome":
            return self._close_outcome(rest, requeue=True)
        if kind not in self.views.suppliers:
            return "no such dead letter"
        if never := self._never(kind, rest):
            return never
        return (
            None if self.ledger.change(kind, rest, interventions.requeue) else "no such dead letter"
        )

    def resolve(self, key: str, note: str) -> str | None:
        """Closes one with a note; returns None when done, or why not."""
        kind, _, rest = key.partition("/")
        if kind == "message":
            return None if self.messages.close(rest, note) else "no such dead letter"
        if kind == "outcome":
            return self._close_outcome(rest, requeue=False)
        if kind not in self.views.suppliers:
            return "no such dead letter"
        done = self.ledger.change(
            kind, rest, lambda order, now: interventions.resolve(order, now, note)
        )
        return None if done else "no such dead letter"

    def _close_outcome(self, text: str, *, requeue: bool) -> str | None:
        named = parse_id(text)
        return (
            None if named and self.outbox.close(*named, requeue=requeue) else "no such dead letter"
        )
