"""Messages that are refused: why, and how each is kept as a dead letter of its own."""

import logging
from typing import Any

from schemas.messages import SUPPLIERS
from worker.ledger.messages import Messages

log = logging.getLogger("countersign.doors")
MASK = "***"
NAMES = ("supplier", "order_id", "reference")
"""The fields that tell the web app which order a refused message spoke of."""
LONGEST_NAME = 255


class Refused(Exception):  # noqa: N818 - it reads as what happened
    """A message that is kept instead of being obeyed: its reason, and the field at fault."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class Refusals:
    """Keeps refused messages whole, but for the values of fields that no door knows."""

    def __init__(self, messages: Messages) -> None:
        self.messages = messages

    def keep(
        self,
        refusal: Refused,
        door: str,
        args: Any,
        kwargs: dict[str, Any],
        *,
        known: tuple[str, ...],
        raw: str | None = None,
    ) -> str:
        """Keeps one message and says so in the log; returns the reason.

        `known`: the door's fields, in the order of positional arguments. `raw`: the bytes of a
        message that cannot be read, in base64.
        """
        body: dict[str, Any] = {
            "task": door,
            "args": [value if n < len(known) else MASK for n, value in enumerate(args or ())],
            "kwargs": {name: value if name in known else MASK for name, value in kwargs.items()},
        }
        if raw is not None:
            body["raw"] = raw
        named = _named({**dict(zip(known, args or (), strict=False)), **kwargs})
        identity = {"task": door, "args": args, "kwargs": kwargs, "raw": raw}
        key = self.messages.refuse(refusal.reason, refusal.detail, body, named, identity)
        fields = {"key": key, "reason": refusal.reason, "detail": refusal.detail, "door": door}
        log.error("message_refused", extra={"fields": fields})
        return refusal.reason


def _named(kwargs: dict[str, Any]) -> dict[str, str]:
    """The order that a refused message spoke of, as far as it can be told."""
    named = {name: kwargs[name] for name in NAMES if _is_name(kwargs.get(name))}
    if named.get("supplier") in SUPPLIERS:
        return named
    return {name: value for name, value in named.items() if name == "reference"}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME
