"""Every boundary with every answer: the process is killed there, and another is frozen there past
its lease.
"""

from collections.abc import Iterator

from tests.simulation import behaviours as do
from tests.simulation.plan import Fault, OrderPlan, Plan
from worker import boundaries

BEFORE = (boundaries.MESSAGE_RECEIVED, boundaries.ORDER_OPENED)
STEP = (boundaries.CLAIMED, boundaries.INTENT_WRITTEN, boundaries.BYTES_SENT)
FROZEN = 400.0
"""Seconds: past the lease, `send_by`, the settle time, a teller's hold and the broker's visibility
timeout.
"""
DEFERRED = (
    "says_created",
    "not_found",
    "unavailable",
    *do.BLOCKS,
    *do.TROUBLE,
    "lost_answer",
    "slow_read",
    "ok",
)
"""What a read may answer."""

Case = tuple[str, str, str]
"""(boundary, answer, kind of call)."""


def cases() -> list[Case]:
    """Every pair: each answer of each kind of call, at each boundary."""
    calls = [("relograde", name) for name in do.CONFIRMS["relograde"]]
    calls += [("logitrail", name) for name in do.CONFIRMS["logitrail"]]
    calls += [("read", name) for name in DEFERRED] + [("read", "created")]
    every = [(boundary, name, kind) for kind, name in calls for boundary in boundaries.ALL]
    return [case for case in every if case[:2] != (boundaries.BYTES_SENT, "unavailable")]


def plans() -> Iterator[tuple[Case, Plan]]:
    """A killed and a frozen run of every pair."""
    for number, (boundary, name, kind) in enumerate(cases()):
        for fault in ("kill", "freeze"):
            yield (boundary, name, kind), _plan(number, boundary, name, kind, fault)


def _plan(number: int, boundary: str, name: str, kind: str, fault: str) -> Plan:
    supplier = "logitrail" if kind == "logitrail" else "relograde"
    orders = (
        _target(kind, name, supplier),
        OrderPlan(2, "relograde", arrives=1.0, ending="pending", settles=30.0),
        OrderPlan(3, "logitrail", arrives=2.0, ending="confirmed"),
    )
    seconds = FROZEN if fault == "freeze" else 1.0
    return Plan(
        seed=number,
        orders=orders,
        faults=(
            _strike(fault, boundary, name, kind, seconds),
            Fault("pause", "order_write!", 3, 0.5),
        ),
        channels=("post",) if number % 2 else ("task",),
        days=5.0,
    )


def _target(kind: str, name: str, supplier: str) -> OrderPlan:
    """The order that meets the answer.

    A read comes second, after an unknown outcome or a pending answer.
    """
    if kind != "read":
        ending = "confirmed" if supplier == "logitrail" else "finished"
        return OrderPlan(
            1, supplier, ending=ending, confirms=(name,), details=supplier == "logitrail"
        )
    if name == "created":
        return OrderPlan(1, supplier, confirms=("lost_request",))
    if name == "says_created":
        # Twice: a process that died after its claim leaves an intent to be asked about, when
        # `created` is the truth.
        return OrderPlan(1, supplier, ending="pending", settles=200.0, reads=(name, name))
    return OrderPlan(1, supplier, confirms=("spoiled_after",), reads=(name,))


def _strike(fault: str, boundary: str, name: str, kind: str, seconds: float) -> Fault:
    """The fault at that boundary of the very step that gets the answer."""
    given = (
        {"created": "lost_request", "says_created": "ok"}.get(name, "spoiled_after")
        if kind == "read"
        else None
    )
    if boundary in BEFORE:
        return Fault(fault, boundary, 1, seconds, order=0)
    if boundary in STEP or boundary == boundaries.MESSAGE_ACKNOWLEDGED:
        return Fault(fault, boundary, 1 if given is None else 2, seconds, order=0)
    return Fault(fault, boundary, 1, seconds, order=0, after="ok" if name == "created" else name)
