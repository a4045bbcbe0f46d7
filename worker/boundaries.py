"""The few places at which a process can die with something half done, by name.

In production `reach` is one comparison with None. A test installs a hook that stops, freezes or
kills the process at a boundary. No setting can install one, so no deployment does it by accident.
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
"""An outcome has been reserved for delivery; it was written together with its state."""
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
    """Calls `hook` with the name of every boundary from now on; None removes the hook."""
    global _hook
    _hook = hook


def reach(name: str) -> None:
    """The process has come to a boundary."""
    if _hook is not None:
        _hook(name)
