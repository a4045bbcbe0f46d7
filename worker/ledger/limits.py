"""What a lane may do, and the ledger's own constants. All times are seconds."""

from dataclasses import dataclass
from typing import Any

from worker.rules.page_search import ENOUGH
from worker.rules.words import SEND_WINDOW

NETWORK_DELAY = 2.0
"""A call may be under way to the supplier for so long; its slot is freed that much later.

60 calls in 62 s are 97 % of the budget. One second was too little on a machine with far more work
than cores.
"""
SLOT_TIME = 60.0 + NETWORK_DELAY
"""After its first byte a call keeps its slot of the budget for so long."""
SUSPICION = 600.0
"""So long after a restart with possible loss, a new order may be one that was forgotten."""
HARDLY_IN_TIME = 1.0
"""An order so near to its last safe moment goes last: its call could hardly leave in time."""
LEASE_MARGIN = 10.0
LOOK_EVERY = 60.0
"""Between two looks at a lane's accounts, at least."""
RESERVATION = 5.0
"""A dispatched order that nobody claims is dispatched again after so long."""
GRACE = 30.0
"""After its acceptance or requeue an order is not warned of for so long."""
POSTPONE = 3600.0
"""An ended order that is still owed an outcome or a look is kept for so much longer."""
PROMOTE = 100
"""Orders that one dispatch moves from due to ready, so that a dispatch stays short.

Equal to a worker's batch: moving more only adds cost per order.
"""
PAGES = {"enough": ENOUGH, "every": 2.0, "slow": 10.0, "overdue": 900.0}
"""When a page is tried.

`enough` due re-checks; `every` so many seconds; until a page is `slow`; until a re-check is
`overdue` and no longer waits for one.
"""


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """What each lane of one supplier may do."""

    calls_per_minute: int
    """Calls in any 60 seconds; 0: no limit."""
    max_in_flight: int
    call_budget: float
    """Seconds that one call may take."""
    accounts: bool = False
    """The balances can be asked for, and somebody does (`worker.turns.balance_look`)."""
    pages: bool = False
    """One page of the supplier's list may answer for several pending orders."""

    @property
    def may_look(self) -> bool:
        """True when orders may wait for a look; with one call a minute only looks would be made."""
        return self.accounts and self.calls_per_minute != 1

    @property
    def lease(self) -> float:
        """Seconds after which the maker of a call counts as dead."""
        return self.call_budget + LEASE_MARGIN

    def rate(self) -> dict[str, Any]:
        """The arguments of every script that checks how much the lane may do at once."""
        return {"per_minute": self.calls_per_minute, "max_in_flight": self.max_in_flight}

    def spending(self) -> dict[str, Any]:
        """The arguments of every script that spends a call of the budget."""
        return {
            "per_minute": self.calls_per_minute,
            "lease": self.lease,
            "window": SEND_WINDOW,
            "way": NETWORK_DELAY,
        }


def slot_free_at(sent_at: float | None) -> float | None:
    """When the slot of a call is free again, by its first byte; None when it sent nothing."""
    if sent_at is None:
        return None
    return sent_at + SLOT_TIME
