"""What the doors do with a message: check it, and ring, open, withdraw, prove or acknowledge.

A message that is unreadable, invalid or conflicting is kept whole as a dead letter with the field
at fault; nothing here raises for bad input. `redis.RedisError` passes through: the task then leaves
the message with the broker.
"""

import json
import logging
from collections.abc import Callable
from typing import Any

import redis
from marshmallow import ValidationError

from schemas.messages import AHEAD, DOORS, first_error
from schemas.order import Order
from worker import boundaries
from worker.ledger import Ledger, Opened
from worker.ledger.messages import Messages
from worker.ledger.outbox import Outbox, parse_id
from worker.rules import interventions
from worker.rules.answers import Answer
from worker.rules.words import NOTICE, Call
from worker.settings import Settings
from worker.suppliers import logitrail, relograde
from worker.turns.executor import Executor
from worker.web_app.refusals import Refusals, Refused

log = logging.getLogger("countersign.doors")
_SCHEMAS = {door: schema() for door, schema in DOORS.items()}
"""Made once: to make a schema costs more than to use it."""


class Doors:
    """The doors of the contract, behind Celery."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        messages: Messages,
        outbox: Outbox,
        executor: Executor,
        accept: Callable[[Order, str | None], Opened] | None = None,
    ) -> None:
        """`accept` opens an order and begins its first step; the default leaves that step to the
        dispatcher.
        """
        self.settings = settings
        self.ledger = ledger
        self.refusals = Refusals(messages)
        self.outbox = outbox
        self.executor = executor
        self.accept = accept or ledger.open
        self._open: dict[str, Callable[[dict[str, Any]], str]] = {
            "orders.confirm": self._confirm,
            "orders.hint": self._hint_order,
            "orders.withdraw": self._withdraw,
            "webhooks.relograde": self._relograde,
            "webhooks.logitrail": self._logitrail,
            "outcomes.acknowledge": self._acknowledge,
        }

    def receive(self, door: str, args: Any, kwargs: Any) -> str:
        """Takes one message for `door`; returns what came of it, a static word."""
        boundaries.reach(boundaries.MESSAGE_RECEIVED)
        try:
            if args:
                raise Refused("invalid_message", "args: Only keyword arguments are taken.")
            return self._open[door](load(door, kwargs))
        except Refused as refusal:
            return self.refuse(refusal, door, args, kwargs)
        except redis.RedisError:
            raise
        except Exception as error:
            # Whatever it was, the message must not be lost with it.
            log.exception("door_failed", extra={"fields": {"door": door}})
            unknown = Refused("invalid_message", f"message: {type(error).__name__}")
            return self.refuse(unknown, door, args, kwargs)

    def refuse(
        self, refusal: Refused, door: str, args: Any, kwargs: Any, *, raw: str | None = None
    ) -> str:
        """Keeps a message as a dead letter; `raw`: the bytes of an unreadable one, in base64."""
        known = tuple(_SCHEMAS[door].fields) if door in _SCHEMAS else ()
        return self.refusals.keep(refusal, door, args, kwargs, known=known, raw=raw)

    # --- a person at a terminal -------------------------------------------------------------------

    def check_in(self, request: dict[str, Any]) -> str:
        """Accepts an order with the same checks; the fault is said at once instead of kept."""
        try:
            order = self._requested(load("orders.confirm", request))
        except Refused as refusal:
            return f"refused: {refusal.detail}"
        opened = self.ledger.open(order)
        if opened.result == "conflict":
            return f"refused: {_conflict(opened.differs)}"
        return opened.result

    def withdraw_now(self, request: dict[str, Any]) -> str:
        """Withdraws an order with the same checks."""
        try:
            return self._withdraw(load("orders.withdraw", request))
        except Refused as refusal:
            return f"refused: {refusal.detail}"

    # --- orders.confirm ---------------------------------------------------------------------------

    def _confirm(self, data: dict[str, Any]) -> str:
        order = self._requested(data)
        details = None if data["details"] is None else _json(data["details"])
        opened = self.accept(order, details)
        boundaries.reach(boundaries.ORDER_OPENED)
        if opened.result == "conflict":
            raise Refused("conflicting_request", _conflict(opened.differs))
        return opened.result

    def _requested(self, data: dict[str, Any]) -> Order:
        supplier, order_id = self._named(data)
        if data["account"] not in self.settings.accounts[supplier]:
            raise Refused("invalid_message", "account: Unknown account.")
        created, now = self._created(data)
        within = self.ledger.policies[supplier].rules.confirm_within
        return Order(
            supplier=supplier,
            order_id=order_id,
            account=data["account"],
            reference=data["reference"],
            created_at=created,
            paid_at=data["paid_at"].timestamp() if data["paid_at"] else None,
            amount=None if data["amount"] is None else f"{data['amount']:f}",
            currency=data["currency"].upper() if data["currency"] else None,
            accepted_at=now,
            deadline_at=None if within is None or created is None else created + within,
            details=data["details"] is not None,
        )

    def _named(self, data: dict[str, Any]) -> tuple[str, str]:
        """The supplier, and the id under which the order is kept in any letter case."""
        supplier = data["supplier"]
        return supplier, self.ledger.known_id(supplier, data["order_id"])

    def _created(self, data: dict[str, Any]) -> tuple[float | None, float]:
        """When the order was created, and the ledger's time; a clock a little ahead means now."""
        now = self.ledger.recent_time()
        if data["created_at"] is None:
            return None, now
        created: float = data["created_at"].timestamp()
        if created > now:
            now = self.ledger.time()
        if created > now + AHEAD.total_seconds():
            detail = f"created_at: More than {AHEAD.seconds} seconds ahead."
            raise Refused("invalid_message", detail)
        return min(created, now), now

    # --- the other doors --------------------------------------------------------------------------

    def _hint_order(self, data: dict[str, Any]) -> str:
        return self._hint(*self._named(data))

    def _hint(self, supplier: str, order_id: str) -> str:
        result = self.ledger.hint(supplier, order_id)
        fields = {"supplier": supplier, "order_id": order_id, "result": result}
        log.info("hint", extra={"fields": fields})
        return result

    def _withdraw(self, data: dict[str, Any]) -> str:
        supplier, order_id = self._named(data)
        while True:
            step = self.ledger.change(supplier, order_id, interventions.withdraw)
            if step is not None:
                return step.event
            if self.ledger.mark_withdrawn(supplier, order_id):
                return "withdrawn_before_confirm"

    def _relograde(self, data: dict[str, Any]) -> str:
        try:
            hinted = relograde.hinted_orders(data["payload"])
        except ValidationError as error:
            raise Refused("invalid_message", _payload_error(error)) from None
        for order_id in hinted:
            self._hint("relograde", order_id)
        if hinted:
            return "hinted"
        return "ignored"

    def _logitrail(self, data: dict[str, Any]) -> str:
        try:
            proofs, odd = logitrail.webhook(data["payload"])
        except ValidationError as error:
            raise Refused("invalid_message", _payload_error(error)) from None
        for order_id, answer in proofs:
            self._proof(self.ledger.known_id("logitrail", order_id), answer)
        if odd:
            refusal = Refused("invalid_message", _payload_error(odd[0].error))
            only = {"payload": [one.event for one in odd]}
            return self.refuse(refusal, "webhooks.logitrail", (), only)
        if proofs:
            return "taken"
        return "ignored"

    def _proof(self, order_id: str, answer: Answer | None) -> None:
        step = answer and self.executor.merge("logitrail", order_id, Call(kind=NOTICE), answer)
        fields = {
            "supplier": "logitrail",
            "order_id": order_id,
            "did": step.event if step else "ignored",
        }
        log.info("webhook", extra={"fields": fields})

    def _acknowledge(self, data: dict[str, Any]) -> str:
        named = parse_id(data["id"])
        if named is None:
            raise Refused("invalid_message", "id: Not the id of an outcome.")
        return self.outbox.delivered(*named, "task")


def load(door: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a door, checked; raises `Refused` with the first field at fault."""
    for name, value in kwargs.items():
        try:
            json.dumps({name: value}, default=str, ensure_ascii=False).encode()
        except (UnicodeError, RecursionError):
            detail = f"{name}: Not valid Unicode text, or nested too deep."
            raise Refused("invalid_message", detail) from None
    try:
        data: dict[str, Any] = _SCHEMAS[door].load(kwargs)
    except ValidationError as error:
        raise Refused("invalid_message", first_error(error)) from None
    return data


def _conflict(differs: str) -> str:
    return f"{differs}: The order is known with another {differs}."


def _payload_error(error: ValidationError) -> str:
    text = first_error(error)
    if text.startswith("message: "):
        return f"payload: {text.removeprefix('message: ')}"
    return f"payload.{text}"


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), default=str)
