"""What every part of the ledger works from."""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.ledger.limits import LaneLimits
from worker.ledger.script_runner import Scripts
from worker.rules.policy import Policy


@dataclass(frozen=True, slots=True)
class Shelf:
    """The scripts, each supplier's policy and limits, the channels to the web app."""

    scripts: Scripts
    policies: Mapping[str, Policy]
    limits: Mapping[str, LaneLimits]
    channels: tuple[str, ...] = ()
    retry: tuple[float, ...] = (2.0,)
    """Seconds between two tries, of an outcome or a probe; the last repeats."""

    def time(self) -> float:
        """The ledger's clock, seconds since the epoch."""
        return self.scripts.time()
