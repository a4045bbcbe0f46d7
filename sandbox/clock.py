"""Times as the suppliers write them; inside the sandbox a time is an epoch float."""

from datetime import UTC, datetime


def epoch(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time.

    ValueError when it has no offset: a guess would move a deadline.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("created_at needs an offset, such as Z")
    return moment.timestamp()


def iso(at: float, millis: bool = True) -> str:
    """`2025-04-14T08:05:34.000Z` as documented up to 1.02, or without millis as in 1.03."""
    moment = datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds" if millis else "seconds").replace("+00:00", "Z")
