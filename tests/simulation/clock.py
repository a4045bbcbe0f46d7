"""Virtual time: seconds since the epoch that only the scheduler moves, and what stands for the
module `time`.
"""

from collections.abc import Callable

START = 1_800_000_000.0
TICK = 0.001
"""Seconds that one ledger script takes, so that no two writes share an instant."""


class Clock:
    """The one clock of a run: the ledger's TIME and every process' monotonic clock are this."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def tick(self) -> None:
        self.now += TICK


class Time:
    """Takes the place of the module `time` where the worker reads a clock or sleeps inside a
    step.
    """

    def __init__(self, clock: Clock, sleep: Callable[[float], None]) -> None:
        self.monotonic = clock
        self.sleep = sleep
