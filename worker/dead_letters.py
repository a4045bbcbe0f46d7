"""Dead letters: show, requeue, resolve. A KEY is SUPPLIER/ORDER_ID, message/N or outcome/ID."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from worker.ledger import Ledger
from worker.ledger.messages import Messages
from worker.ledger.outbox import Outbox, parse_id
from worker.ledger.reads.views import Views
from worker.rules import interventions

UNKNOWN = "no such dead letter"
RESEND = "a refused message cannot be requeued: send it again, corrected, then resolve this letter"


class Letters(Protocol):
    """The letters of one kind. `name` is the part of a KEY behind the first slash.

    What cannot be done is returned as a sentence; None means done.
    """

    def show(self, name: str) -> dict[str, Any] | None:
        """Everything there is about one letter; None when there is no such letter."""

    def refusal(self, name: str) -> str | None:
        """Why `requeue` would not put the letter back."""

    def requeue(self, name: str) -> str | None:
        """Puts one back. Twice at once is harmless."""

    def resolve(self, name: str, note: str) -> str | None:
        """Closes one with a person's note."""


class DeadLetters:
    """What a person does with what no machine can decide."""

    def __init__(self, ledger: Ledger, messages: Messages, outbox: Outbox, views: Views) -> None:
        self._kinds: dict[str, Letters] = {
            "message": MessageLetters(messages, views),
            "outcome": OutcomeLetters(outbox, views),
            **{supplier: OrderLetters(supplier, ledger, views) for supplier in views.suppliers},
        }

    def show(self, key: str) -> dict[str, Any] | None:
        """Everything there is about one letter; None when there is no such letter."""
        kind, _, name = key.partition("/")
        letters = self._kinds.get(kind)
        if letters:
            return letters.show(name)
        return None

    def exists(self, key: str) -> str | None:
        """None when `requeue` would put this one back, or why it would not."""
        return self._act(key, lambda letters: letters.refusal)

    def requeue(self, key: str) -> str | None:
        """Puts one back; returns None when done, or why not. Doing it twice at once is harmless."""
        return self._act(key, lambda letters: letters.requeue)

    def resolve(self, key: str, note: str) -> str | None:
        """Closes one with a note; returns None when done, or why not."""
        return self._act(key, lambda letters: partial(letters.resolve, note=note))

    def _act(self, key: str, act: Callable[[Letters], Callable[[str], str | None]]) -> str | None:
        kind, _, name = key.partition("/")
        letters = self._kinds.get(kind)
        if letters:
            return act(letters)(name)
        return UNKNOWN


class MessageLetters:
    """Refused messages."""

    def __init__(self, messages: Messages, views: Views) -> None:
        self.messages = messages
        self.views = views

    def show(self, name: str) -> dict[str, Any] | None:
        """The letter with the message's body."""
        fields = self.messages.load(name)
        if not fields.get("letter"):
            return None
        return {**self.views.message(name), "body": json.loads(fields["body"])}

    def refusal(self, name: str) -> str:
        """A refused message is sent again by its sender."""
        return RESEND

    def requeue(self, name: str) -> str:
        """A refused message is sent again by its sender."""
        return RESEND

    def resolve(self, name: str, note: str) -> str | None:
        """Closes one with a person's note."""
        if self.messages.close(name, note):
            return None
        return UNKNOWN


class OutcomeLetters:
    """Outcomes that the web app has not taken for three days."""

    def __init__(self, outbox: Outbox, views: Views) -> None:
        self.outbox = outbox
        self.views = views

    def show(self, name: str) -> dict[str, Any] | None:
        """The letter as the list shows it."""
        for letter in self.views.letters("outcome_undeliverable"):
            if letter["key"] == f"outcome/{name}":
                return letter
        return None

    def refusal(self, name: str) -> str | None:
        """Every letter of this kind can be put back."""
        if self.show(name):
            return None
        return UNKNOWN

    def requeue(self, name: str) -> str | None:
        """Delivers the outcome again."""
        return self._close(name, requeue=True)

    def resolve(self, name: str, note: str) -> str | None:
        """Closes one; an outcome keeps no note."""
        return self._close(name, requeue=False)

    def _close(self, name: str, *, requeue: bool) -> str | None:
        named = parse_id(name)
        if named is None:
            return UNKNOWN
        if self.outbox.close(*named, requeue=requeue):
            return None
        return UNKNOWN


class OrderLetters:
    """One supplier's orders that wait for a person, and letters beside orders that have ended."""

    def __init__(self, supplier: str, ledger: Ledger, views: Views) -> None:
        self.supplier = supplier
        self.ledger = ledger
        self.views = views

    def _known(self, name: str) -> str:
        return self.ledger.known_id(self.supplier, name)

    def show(self, name: str) -> dict[str, Any] | None:
        """The order with its timeline and its letter."""
        name = self._known(name)
        order = self.views.order(self.supplier, name)
        if order is None or order.letter is None:
            return None
        return {**(self.views.show(self.supplier, name) or {}), **self.views.order_letter(order)}

    def refusal(self, name: str) -> str | None:
        """Only a dead order can be put back."""
        order = self.views.order(self.supplier, self._known(name))
        if order is None or order.letter is None:
            return UNKNOWN
        if order.letter in interventions.NEVER_REQUEUED:
            return f"{order.letter} is never requeued: the order is confirmed"
        if order.state == "dead":
            return None
        return UNKNOWN

    def requeue(self, name: str) -> str | None:
        """The supplier is asked before anything is confirmed."""
        name = self._known(name)
        order = self.views.order(self.supplier, name)
        if order is not None and order.letter in interventions.NEVER_REQUEUED:
            return self.refusal(name)
        done = self.ledger.change(self.supplier, name, interventions.requeue)
        if done:
            return None
        return UNKNOWN

    def resolve(self, name: str, note: str) -> str | None:
        """Closes one with a person's note."""
        decide = partial(interventions.resolve, note=note)
        if self.ledger.change(self.supplier, self._known(name), decide):
            return None
        return UNKNOWN
