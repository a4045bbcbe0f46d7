"""The few places at which a process can die with something half done, by name.

`reach` does nothing in production: one comparison with None. A test installs a hook that stops,
freezes or kills the process there; nothing in the environment can, so that no deployment does it by
accident.
"""

from collections.abc import Callable

MESSAGE_RECEIVED = "message_received"
ORDER_OPENED = "order_opened"
CLAIMED = "claimed"
INTENT_WRITTEN = "intent_written"
BYTES_SENT = "bytes_sent"
ANSWER_RECEIVED = "answer_received"
DECIDED = "decided"
APPLIED = "applied"
OUTCOME_TAKEN = "outcome_taken"
"""After an outcome, which was written with its state, has been reserved for delivery."""
OUTCOME_SENT = "outcome_sent"
MESSAGE_ACKNOWLEDGED = "message_acknowledged"
ALL = (
    MESSAGE_RECEIVED,
    ORDER_OPENED,
    CLAIMED,
    INTENT_WRITTEN,
    BYTES_SENT,
    ANSWER_RECEIVED,
    DECIDED,
    APPLIED,
    OUTCOME_TAKEN,
    OUTCOME_SENT,
    MESSAGE_ACKNOWLEDGED,
)

_hook: Callable[[str], None] | None = None


def install(hook: Callable[[str], None] | None) -> None:
    """Calls `hook` with the name at every boundary from now on; None ends that."""
    global _hook
    _hook = hook


def reach(name: str) -> None:
    """The process has come to a boundary."""
    if _hook is not None:
        _hook(name)
