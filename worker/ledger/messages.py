"""Refused messages: each kept whole, once, as a dead letter of its own under `message/N`."""

import hashlib
import json
from typing import Any

from worker.ledger.script_runner import Scripts

ROOM = "messages"


class Messages:
    """The letters of the room `messages`."""

    def __init__(self, scripts: Scripts, channels: tuple[str, ...], retention: float) -> None:
        self.scripts = scripts
        self.channels = list(channels)
        self.retention = retention

    def refuse(
        self,
        reason: str,
        detail: str,
        body: dict[str, Any],
        named: dict[str, str],
        identity: Any = None,
    ) -> str:
        """Keeps a refused message and returns its letter's key; a repeat only counts.

        `named` is the order that the message spoke of, if any. `identity` is the message before its
        masking; only its digest is kept. Raises `redis.RedisError`; the caller must then not
        acknowledge the message.
        """
        whole = json.dumps([reason, identity or body], sort_keys=True, default=str)
        reply = self.scripts.run(
            "message_refuse",
            ROOM,
            digest=hashlib.sha256(whole.encode()).hexdigest(),
            fields={
                "letter": reason,
                "reason": reason,
                "detail": _text(detail)[:500],
                "body": json.dumps(body, default=str),
                **{name: _text(value) for name, value in named.items()},
            },
            names="order_id" in named,
            channels=self.channels,
        )
        return f"message/{reply['number']}"

    def load(self, number: str) -> dict[str, str]:
        """The letter's fields, empty when there is none."""
        fields: dict[str, str] = self.scripts.client.hgetall(
            self.scripts.key(ROOM, "order", number)
        )
        return fields

    def close(self, number: str, note: str) -> bool:
        """Closes a letter that a person has dealt with: the body goes. False when none is open."""
        reply = self.scripts.run(
            "message_close", ROOM, id=number, note=note, forget_after=self.retention
        )
        return bool(reply["result"] == "closed")


def _text(value: str) -> str:
    """Text that can be written as UTF-8, whatever was sent."""
    return value.encode("utf-8", "backslashreplace").decode()
