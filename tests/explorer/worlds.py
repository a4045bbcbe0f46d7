"""The worlds that are explored: each is small, and together they hold every kind of move."""

from tests.explorer.world import Setup

WORLDS = (
    Setup(name="hold at once", hold=1, trouble=0, horizon=3.0),
    Setup(name="full lane", orders=("a", "b"), max_in_flight=1, trouble=0, horizon=1.0),
    Setup(name="spent budget", orders=("a", "b"), per_minute=1, trouble=0, horizon=1.0),
    Setup(name="restart at once", restart=1, trouble=0, horizon=3.0),
    Setup(name="two workers", crash=1),
    Setup(name="people", crash=0, hint=1, requeue=1, withdraw=1, trouble=1,
          troubles=("late", "rejected")),
    Setup(name="deadline", within=30.0, crash=1, trouble=1, troubles=("lost", "refused", "read")),
    Setup(name="restart", restart=1, crash=0, trouble=1, troubles=("late",)),
    Setup(name="two orders, one call", orders=("a", "b"), per_minute=1, max_in_flight=1, workers=2,
          trouble=0, horizon=150.0),
    Setup(name="held lane", orders=("a", "b"), trouble=1, troubles=("blocked", "limited"), hold=1,
          horizon=60.0),
    Setup(name="logitrail", supplier="logitrail", answers=("finished",), crash=1, trouble=1,
          troubles=("lost", "late", "refused")),
    Setup(name="logitrail people", supplier="logitrail", answers=("finished",), hint=1, withdraw=1,
          trouble=1, troubles=("late",)),
    Setup(name="logitrail restart", supplier="logitrail", answers=("finished",), restart=1,
          troubles=("late",), trouble=1),
)  # fmt: skip
