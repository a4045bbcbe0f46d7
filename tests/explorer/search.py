"""Over the states of one world: breadth-first and depth-first by turns, each state once.

Breadth alone stays near the start in a world too large to be ended, depth alone in one corner.
"""

import hashlib
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.explorer.world import BrokenRuleError, Setup, State, World
from worker.ledger.script_runner import text as script_text


@dataclass(slots=True)
class Found:
    """What one search has seen. `ended`: every state within the world's bounds was visited."""

    world: str
    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    ended: bool = False
    violation: str = ""
    path: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        how = "all" if self.ended else "bounded"
        figures = f"{self.states:8} states {self.transitions:9} transitions  depth {self.depth:3}"
        return f"{self.world:24} {figures}  {self.seconds:6.1f} s  {how}  {self.violation}"


class Search:
    """Stops at the first violation, at `seconds` or at `states`."""

    def __init__(
        self,
        setup: Setup,
        seconds: float,
        states: int = 10_000_000,
        sources: Callable[[str], str] = script_text,
    ) -> None:
        self.world = World(setup, sources)
        self.seconds, self.states = seconds, states
        self.found = Found(setup.name)
        self._turn, self._random = 0, random.Random(1)
        self._came: list[tuple[int, str]] = []
        self._visited: set[bytes] = set()
        self._ahead: deque[tuple[int, int, State]] = deque()

    def run(self) -> Found:
        """The search."""
        began = time.monotonic()
        self._add(-1, "start", 0, self.world.first())
        while self._ahead and self.found.states < self.states:
            if time.monotonic() - began > self.seconds or not self._expand():
                break
        self.found.seconds = time.monotonic() - began
        self.found.ended = not self._ahead and not self.found.violation
        return self.found

    def _expand(self) -> bool:
        self._turn += 1
        take = self._ahead.popleft if self._turn % 2 else self._ahead.pop
        number, depth, state = take()
        moves = list(self.world.moves(state))
        self._random.shuffle(moves)
        for words, go in moves:
            self.found.transitions += 1
            try:
                later = go()
                self.world.check(later)
            except BrokenRuleError as broken:
                self.found.violation = str(broken)
                self.found.path = [*self._path(number), words]
                return False
            self._add(number, words, depth + 1, later)
        return True

    def _add(self, before: int, words: str, depth: int, state: State) -> None:
        mark = hashlib.blake2b(self.world.canonical(state).encode(), digest_size=12).digest()
        if mark in self._visited:
            return
        self._visited.add(mark)
        self._came.append((before, words))
        self._ahead.append((len(self._came) - 1, depth, state))
        self.found.states += 1
        self.found.depth = max(self.found.depth, depth)

    def _path(self, number: int) -> list[str]:
        words: list[str] = []
        while number > 0:
            number, word = self._came[number]
            words.append(word)
        return words[::-1]
