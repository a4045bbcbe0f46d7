"""Waits, after the last fault, for every order to end by itself."""

import time
from typing import Any

from tests.chaos.oracle import OPEN, Stranger
from tests.chaos.shop import Shop

LEASE = 13.0
"""Seconds: the call budget of the chaos' settings, and ten."""


def settle(shop: Shop, stranger: Stranger, limit: float = 180.0) -> list[str]:
    """Waits for every order's end; what is overdue one lease and 5 s after the last fault is
    stuck.
    """
    calm, violations, looked = time.monotonic(), [], False
    while time.monotonic() - calm < limit:
        shop.repeat()
        if not looked and time.monotonic() - calm > LEASE + 5:
            looked = True
            for supplier in ("relograde", "logitrail"):
                names = stranger.stuck(supplier, overdue=5.0)
                violations += [f"{supplier}/{name}: stuck, overdue and unclaimed" for name in names]
        if all(done(shop, stranger, order) for order in shop.orders.values()):
            break
        time.sleep(1)
    return violations


def done(shop: Shop, stranger: Stranger, order: dict[str, Any]) -> bool:
    """At its end in the ledger, and the shop has heard the latest of it."""
    record = stranger.order(order["supplier"], order["order_id"])
    latest = shop.latest(order["order_id"])
    if not record or record["state"] in OPEN or latest is None:
        return False
    return str(latest["data"]["sequence"]) == record["sequence"]
