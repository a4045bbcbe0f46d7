"""JSON with decimals as the suppliers print them.

The standard encoder knows only floats and would print 24.80 as 24.8. Clients must parse money to
decimals, so the stand-in has to send the digits that the real supplier sends.
"""

import json
from decimal import Decimal
from typing import Any


def dumps(value: Any) -> str:
    """JSON text in which a Decimal keeps every digit it was given."""
    if isinstance(value, dict):
        members = (f"{json.dumps(str(key))}:{dumps(item)}" for key, item in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(dumps(item) for item in value) + "]"
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value)


def with_escaped_slashes(value: Any) -> str:
    """JSON text with slashes escaped: PHP's default, seen in Logitrail's tracking URLs."""
    return dumps(value).replace("/", "\\/")
