"""Loads the Lua scripts of `scripts/` and runs them, each with the libraries in front of it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import redis

from worker.ledger import keys

SCRIPTS = Path(__file__).parent / "scripts"
LIBRARIES = tuple(
    f"lib/{name}" for name in ("prelude", "generation", "lanes", "places", "outcomes", "money")
)


@dataclass
class Server:
    """What is known of the ledger's server.

    `synced`: it syncs every write, so that a restart forgets nothing.
    """

    synced: bool = False


class Scripts:
    """Runs scripts by name in one room; each is idempotent or guarded by a claim or a version.

    `clock` and `run_id` replace the server's TIME and run id in tests; both return None for the
    server's own.
    """

    def __init__(
        self,
        client: Any,
        prefix: str,
        clock: Callable[[], float] | None = None,
        run_id: Callable[[], str] | None = None,
        server: Server | None = None,
    ) -> None:
        self.client = client
        self.prefix = prefix
        self.server = server or Server()
        self._clock = clock
        self._run_id = run_id
        self._registered: dict[str, Any] = {}
        self._heard: tuple[float, float] | None = None

    def base(self, room: str) -> str:
        """The part that all keys of `room` share."""
        return keys.base(self.prefix, room)

    def key(self, room: str, name: str, *parts: str) -> str:
        """One key, for reading."""
        return keys.key(self.base(room), name, *parts)

    def time(self) -> float:
        """The ledger's clock, seconds since the epoch."""
        if self._clock:
            return self._clock()
        seconds, microseconds = self.client.time()
        return float(seconds) + float(microseconds) / 1e6

    def recent_time(self) -> float:
        """The ledger's clock by its last answer and ours: never ahead, hardly behind."""
        if self._clock or self._heard is None:
            return self.time()
        now, heard_at = self._heard
        return now + time.monotonic() - heard_at

    def run(self, name: str, room: str, **arguments: Any) -> dict[str, Any]:
        """Runs `name` and returns its answer.

        Raises `redis.RedisError`; then it may have run or not.
        """
        script = self._script(name)
        return self._heard_now(script(keys=[self.base(room)], args=self._words(arguments)))

    def run_together(self, room: str, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Runs several, each a name and its arguments, one after the other in one round trip."""
        with self.client.pipeline(transaction=False) as pipe:
            for name, arguments in calls:
                pipe.evalsha(self._script(name).sha, 1, self.base(room), *self._words(arguments))
            found = pipe.execute(raise_on_error=False)
        answers: list[dict[str, Any]] = []
        for one in found:
            if isinstance(one, redis.exceptions.NoScriptError):
                # The calls behind it have run before it: all are repeated, in their order.
                again = calls[len(answers) :]
                return answers + [self.run(name, room, **words) for name, words in again]
            if isinstance(one, Exception):
                raise one
            answers.append(self._heard_now(one))
        return answers

    def _script(self, name: str) -> Any:
        if name not in self._registered:
            self._registered[name] = self.client.register_script(text(name))
        return self._registered[name]

    def _words(self, arguments: dict[str, Any]) -> list[str]:
        context: dict[str, Any] = {"synced": self.server.synced}
        if self._clock:
            context["now"] = f"{self._clock():.6f}"
        if self._run_id:
            context["run"] = self._run_id()
        given = {name: value for name, value in arguments.items() if value is not None}
        return [json.dumps(context), json.dumps(given)]

    def _heard_now(self, reply: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(reply)
        self._heard = float(answer["now"]), time.monotonic()
        return answer


@cache
def text(name: str) -> str:
    """The whole source of one script: the libraries, then its own text."""
    parts = (*LIBRARIES, name)
    return "\n".join((SCRIPTS / f"{part}.lua").read_text(encoding="utf-8") for part in parts)
