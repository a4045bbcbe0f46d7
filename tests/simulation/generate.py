"""A random plan from a seed: at least three orders, two workers and two faults that surely
strike.
"""

import random
from dataclasses import replace

from tests.simulation import behaviours as do
from tests.simulation.plan import Event, Fault, OrderPlan, Plan

EARLY = (
    "message_received",
    "order_opened",
    "claimed",
    "order_open?",
    "order_open!",
    "order_claim?",
    "order_claim!",
)
"""Points that every run comes to."""
POINTS = (
    *EARLY, "order_permit?", "order_permit!", "intent_written", "connect", "bytes_sent",
    "answer_received", "decided", "order_write?", "order_write!", "applied", "outcome_taken",
    "outcome_sent", "message_acknowledged", "lane_dispatch?", "lane_dispatch!", "outbox_take!",
    "outbox_settle?", "order_load!", "order_write?", "intent_written", "connect", "answer_received",
)  # fmt: skip
PAGED = (
    "page_survey!",
    "lane_call_permit!",
    "connect",
    "page_shown?",
    "page_shown!",
    "order_write?",
    "order_write!",
    "page_learn?",
    "page_learn!",
    "lane_call_settle?",
)
"""Points of a page's turn."""
SCRIPTS = tuple(point for point in POINTS if point[-1] in "?!")
PAUSES = (0.0, 0.5, 3.0, 6.0, 20.0, 50.0)
FREEZES = (1.0, 6.0, 20.0, 45.0, 75.0, 200.0, 700.0)
LIVES = (100.0, 300.0, 3600.0, 40000.0, 80000.0, 86400.0)
FINAL = (*do.REFUSALS, "invalid_request", "unrecognised_before", "unrecognised_after")
TROUBLES = (
    "unavailable",
    "error_before",
    "error_after",
    "unauthorized",
    "rate_limited",
    "lost_request",
)


def plan(seed: int) -> Plan:
    """The plan of one seed."""
    rng = random.Random(seed)
    suppliers = rng.choice(
        (("relograde",), ("logitrail",), ("relograde", "logitrail"), ("relograde", "logitrail"))
    )
    orders = tuple(_order(rng, number, suppliers) for number in range(1, 4 + (rng.random() < 0.2)))
    lossy = rng.random() < 0.25
    events = [*_messages(rng), *_people(rng, orders)]
    if rng.random() < 0.15:
        word = f"{rng.choice(('relograde', 'logitrail'))} {rng.choice(TROUBLES)}"
        events.append(
            Event(
                "trouble",
                rng.choice((0.0, 1.0, 30.0)),
                seconds=rng.choice((5.0, 90.0, 700.0)),
                word=word,
            )
        )
    made = Plan(
        seed=seed,
        orders=orders,
        faults=_faults(rng, lossy),
        events=tuple(events),
        workers=rng.choice((2, 2, 3)),
        channels=rng.choice(
            (("task",), ("task",), ("post",), ("post",), ("post",), ("task", "post"))
        ),
        sync="plain" if lossy or rng.random() < 0.8 else "always",
        lossy=lossy,
        per_minute=rng.choice((50, 50, 50, 2, 0)),
        pace=rng.choice((0.25, 5.0, 20.0, 60.0)),
        pending_limit=rng.choice((7 * 86400.0, 7 * 86400.0, 1800.0)),
        spare=rng.random() < 0.5,
    )
    paged = made.per_minute and suppliers == ("relograde",) and rng.random() < 0.5
    made = _with_pages(rng, made) if paged else made
    return _with_money(random.Random(-seed), made) if "relograde" in suppliers else made


def _with_pages(rng: random.Random, made: Plan) -> Plan:
    """So many orders that are pending at the same time that one page answers for several."""
    more = [_order(rng, number, ("relograde",)) for number in range(len(made.orders) + 1, 7)]
    orders = tuple(
        replace(
            order,
            arrives=0.2 * order.number,
            ending="pending" if rng.random() < 0.8 else order.ending,
            settles=rng.choice((20.0, 200.0, 5000.0, 50_000.0)),
        )
        for order in (*made.orders, *more)
    )
    struck = tuple(
        _strike(rng, rng.choice(PAGED), rng.randint(1, 12)) for _ in range(rng.randint(0, 3))
    )
    pages = rng.choice(("true", "true", "stuck", "early"))
    few = rng.choice((3, 5, 8, made.per_minute))
    return replace(made, orders=orders, faults=(*made.faults, *struck), per_minute=few, pages=pages)


def _with_money(rng: random.Random, made: Plan) -> Plan:
    """An account that may be too small, and that is filled up or not; the supplier refuses by what
    it holds alone.
    """
    if rng.random() < 0.6:
        return made
    orders = tuple(
        replace(
            order,
            amount=rng.choice(("5", "10", "10.50", "20", ""))
            if order.supplier == "relograde"
            else "",
            confirms=tuple(
                "ok" if name == "insufficient_balance" else name for name in order.confirms
            ),
        )
        for order in made.orders
    )
    filled = [
        Event(
            "top_up",
            rng.choice((1.0, 30.0, 100.0, 400.0, 5000.0, 80000.0)),
            seconds=rng.choice((5.0, 10.0, 40.0)),
        )
        for _ in range(rng.choice((0, 1, 1, 2)))
    ]
    again = [
        Event(
            "requeue", filling.at + rng.choice((-20.0, 1.0, 30.0, 300.0)), rng.choice(orders).number
        )
        for filling in filled
        if filling.at >= 30.0 and rng.random() < 0.6
    ]
    balance = rng.choice(("0", "5", "10", "15", "1000"))
    return replace(made, orders=orders, balance=balance, events=(*made.events, *filled, *again))


def _order(rng: random.Random, number: int, suppliers: tuple[str, ...]) -> OrderPlan:
    supplier = rng.choice(suppliers)
    usual = "finished" if supplier == "relograde" else "confirmed"
    ending = usual if rng.random() < 0.4 else rng.choice(do.ENDINGS[supplier])
    return OrderPlan(
        number=number,
        supplier=supplier,
        arrives=rng.choice((0.0, 0.0, 0.1, 2.0, 30.0)) * number,
        life=rng.choice(LIVES),
        ending=ending,
        confirms=_calls(rng, do.CONFIRMS[supplier], FINAL),
        reads=_calls(rng, do.READS, ()) if supplier == "relograde" else (),
        takes=rng.choice((0.05, 0.3, 3.0)),
        settles=rng.choice((1.0, 20.0, 200.0, 5000.0)),
        earlier=rng.choice((0.0, 0.0, 0.0, 60.0, 3000.0)),
        details=supplier == "logitrail" and rng.random() < 0.5,
        hooks=_hooks(rng, supplier),
    )


def _calls(rng: random.Random, names: tuple[str, ...], final: tuple[str, ...]) -> tuple[str, ...]:
    """What a supplier does with the first calls.

    It says only once that it does not know an order it knows.
    """
    found: list[str] = []
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        name = rng.choice(names)
        if name == "not_found" and (name in found or rng.random() < 0.7):
            name = "ok"
        found.append(name)
        if name in final:
            break
    return tuple(found)


def _hooks(rng: random.Random, supplier: str) -> tuple[tuple[float, str, bool, int], ...]:
    if rng.random() < 0.4:
        return ()
    first = (rng.choice((0.0, 1.0, 100.0)), "processing", rng.random() < 0.6, rng.choice((1, 1, 2)))
    if supplier == "logitrail" and rng.random() < 0.15:
        return (first, (rng.choice((5.0, 500.0)), "cancelled", False, 1))
    return (first,)


def _faults(rng: random.Random, lossy: bool) -> tuple[Fault, ...]:
    """Two early ones, which surely strike, and up to four more at any point."""
    found = [_strike(rng, rng.choice(EARLY), rng.choice((1, 2, 3))) for _ in range(2)]
    found += [
        _strike(rng, rng.choice(POINTS), min(1 + int(rng.expovariate(0.35)), 12))
        for _ in range(rng.randint(0, 4))
    ]
    if lossy or rng.random() < 0.1:
        found.append(
            Fault(
                "restart", rng.choice(POINTS), rng.randint(1, 6), rng.choice((0.0, 0.5, 4.0, 30.0))
            )
        )
    return tuple(found)


def _strike(rng: random.Random, point: str, nth: int) -> Fault:
    kind = rng.choice(("kill", "freeze", "pause", "pause", "lose" if point in SCRIPTS else "pause"))
    seconds = {"kill": (1.0, 60.0, 180.0), "freeze": FREEZES, "pause": PAUSES, "lose": (0.0,)}[kind]
    return Fault(kind, point, nth, rng.choice(seconds))


def _messages(rng: random.Random) -> list[Event]:
    """What the broker does to messages and bells, and what becomes of outcomes on their way."""
    found = []
    for _ in range(rng.choice((0, 1, 2))):
        kind = rng.choice(
            (
                "drop_message",
                "double_message",
                "delay_message",
                "drop_bell",
                "double_bell",
                "delay_bell",
            )
        )
        found.append(Event(kind, nth=rng.randint(1, 6), seconds=rng.choice((0.0, 0.2, 10.0, 70.0))))
    if rng.random() < 0.3:
        found.append(Event("lose_outcome", nth=rng.randint(1, 6)))
    return found


def _people(rng: random.Random, orders: tuple[OrderPlan, ...]) -> list[Event]:
    found = []
    kinds = (
        "hint",
        "hint",
        "withdraw",
        "repeat",
        "conflict",
        "garbage",
        "forge",
        "requeue",
        "requeue",
        "resolve",
        "hold",
    )
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        order = rng.choice(orders)
        at = order.arrives + rng.choice((-0.1, 0.004, 0.1, 1.0, 10.0, 50.0, 300.0, 5000.0, 90000.0))
        kind = rng.choice(kinds)
        seconds = rng.choice((0.0, 0.0, 5.0)) if kind == "requeue" else rng.choice((3.0, 400.0))
        found.append(Event(kind, max(at, 0.0), order.number, seconds=seconds, word=order.supplier))
    return found
