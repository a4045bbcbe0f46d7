"""Does a Logitrail that hangs on every call slow Relograde's orders, or the doors?

The same messages one by one to one worker, before and while Logitrail hangs with as many calls as
it may have open.
"""

import statistics
import time

from benchmarks.rig import Rig, Supplier, at, wait_for
from benchmarks.rows import Row

RUNS = 5
MESSAGES = 150
HANGING = 60
"""LOGITRAIL_MAX_IN_FLIGHT's default; so many more wait behind them."""
PAUSE = 0.03
AT_MOST = 1.1


def measure() -> list[Row]:
    """One run: first without, then with."""
    with Rig() as rig:
        relograde, logitrail = rig.supplier(), rig.supplier(delay=3600.0)
        settings = at(
            relograde,
            LOGITRAIL_URLS=logitrail.url,
            LOGITRAIL_MERCHANT_ID="bench",
            LOGITRAIL_SECRET="s",
        )
        rig.worker(settings)
        round_of(rig, relograde, "W")
        free_call, free_door = round_of(rig, relograde, "F")
        for number in range(2 * HANGING):
            rig.confirm(f"{number:024x}", supplier="logitrail")
        wait_for(
            lambda: logitrail.books()["in_flight"] == HANGING, "Logitrail hangs on all it may have"
        )
        call, door = round_of(rig, relograde, "H")
        assert logitrail.books()["in_flight"] == HANGING
    return [
        Row(name="Relograde, message to first byte: Logitrail well", value=free_call, unit="ms"),
        Row(name="Relograde, message to first byte: Logitrail hangs", value=call, unit="ms"),
        Row(
            name="the same, hangs over well", value=call / free_call, unit="times", at_most=AT_MOST
        ),
        Row(name="message to acceptance in the ledger: Logitrail well", value=free_door, unit="ms"),
        Row(name="message to acceptance in the ledger: Logitrail hangs", value=door, unit="ms"),
        Row(
            name="the same at the doors, hangs over well",
            value=door / free_door,
            unit="times",
            at_most=AT_MOST,
        ),
    ]


def round_of(rig: Rig, supplier: Supplier, prefix: str) -> tuple[float, float]:
    """Medians in ms: message to first byte, message to acceptance."""
    sent: dict[str, tuple[float, float]] = {}
    for number in range(MESSAGES):
        sent[f"{prefix}{number}"] = time.monotonic(), time.time()
        rig.confirm(f"{prefix}{number}")
        time.sleep(PAUSE)
    wait_for(lambda: sent.keys() <= supplier.books()["first_bytes"].keys(), "every call has come")
    came = supplier.books()["first_bytes"]
    calls = [came[name] - began for name, (began, _) in sent.items()]
    doors = [rig.accepted_at(name) - at for name, (_, at) in sent.items()]
    return statistics.median(calls) * 1000, statistics.median(doors) * 1000
