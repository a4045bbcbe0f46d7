"""Small plans for the holes that drafts of the design had: each was found by reading, and is rare
by chance.
"""

from dataclasses import replace

from tests.simulation.plan import Event, Fault, OrderPlan, Plan

DAY = 86400.0
OTHERS = (
    OrderPlan(2, "relograde", arrives=3.0, ending="pending", settles=30.0),
    OrderPlan(3, "logitrail", arrives=4.0, ending="confirmed"),
)


def _relograde(**changed: object) -> OrderPlan:
    return replace(OrderPlan(1, "relograde"), **changed)  # type: ignore[arg-type]


def _logitrail(**changed: object) -> OrderPlan:
    return replace(OrderPlan(1, "logitrail", ending="confirmed", details=True), **changed)  # type: ignore[arg-type]


def _scene(order: OrderPlan, *struck: Fault | Event, **changed: object) -> Plan:
    faults = tuple(one for one in struck if isinstance(one, Fault))
    events = tuple(one for one in struck if isinstance(one, Event))
    plan = Plan(seed=0, orders=(order, *OTHERS), faults=faults, events=events, channels=("post",))
    return replace(plan, **changed)  # type: ignore[arg-type]


def _restarts() -> dict[str, Plan]:
    """The last second before a restart is lost, at each moment of a confirm."""
    points = (
        "order_opened",
        "claimed",
        "connect",
        "bytes_sent",
        "answer_received",
        "order_write!",
        "outbox_take!",
        "outcome_taken",
    )
    found = {}
    for supplier, order in (
        ("relograde", _relograde(takes=3.0)),
        ("logitrail", _logitrail(takes=3.0)),
    ):
        for point in points:
            strike = Fault("restart", point, 1, 0.5)
            for sync in ("plain",):
                name = f"a lost second at {point}, {supplier}, {sync}"
                found[name] = _scene(order, strike, Event("hint", 5.0, 1), lossy=True, sync=sync)
    return found


def _forgotten() -> dict[str, Plan]:
    """What brought a look forward may be lost together with the confirm that it led to."""
    lost = Fault("restart", "bytes_sent", 1, 0.5, order=0)
    hinted = _relograde(confirms=("unavailable",) * 3, takes=20.0)
    requeued = _logitrail(confirms=("invalid_request",), takes=20.0)
    elsewhere = _logitrail(ending="elsewhere", confirms=("ok", "lost_answer"))
    return {
        "a hint is forgotten with its confirm": _scene(
            hinted, lost, Event("hint", 60.0, 1), lossy=True
        ),
        "a requeue is forgotten with its confirm": _scene(
            requeued, replace(lost, nth=2), Event("requeue", 60.0, 1, seconds=5.0), lossy=True
        ),
        "a question after a restart proves nothing": _scene(
            elsewhere, replace(lost, point="order_permit?"), Event("requeue", 300.0, 1), lossy=True
        ),
    }


def _edges() -> dict[str, Plan]:
    """Pauses between intent and send near the last safe moment, and confirms that come at it."""
    pauses = {
        f"{seconds} s before the send, {life} s of life": _scene(
            _relograde(life=life), Fault("pause", "connect", 1, seconds, order=0)
        )
        for seconds in (0.0, 2.5, 4.0)
        for life in (30.5, 32.0, 33.0, 60.0)
    }
    late = _relograde(life=90.0, confirms=("unavailable",) * 6)
    return {**pauses, "one last chance": _scene(late), "the answer is lost at the deadline": _scene(
        _relograde(life=60.0, confirms=("lost_answer",))
    )}  # fmt: skip


def _people() -> dict[str, Plan]:
    """Somebody decides on a record, and is slow to write; meanwhile a confirm leaves."""
    slow, waits = _relograde(takes=20.0), Fault("pause", "claimed", 1, 2.0, order=0)
    reads = Fault("pause", "order_load!", 1, 5.0, order=0)
    return {
        "a withdraw decided before the intent": _scene(
            # Only a confirm with details is claimed first and permitted later.
            _logitrail(takes=20.0),
            waits,
            reads,
            Event("withdraw", 0.5, 1),
        ),
        "a withdraw decided before the order was claimed": _scene(
            replace(slow, arrives=1.0, confirms=("unavailable",)), reads, Event("withdraw", 3.5, 1)
        ),
        "a requeue decided before the other's confirm": _scene(
            replace(slow, confirms=("insufficient_balance",)), reads, Event("requeue", 60.0, 1)
        ),
        **{
            f"a {what} of what is still unknown": _scene(
                _logitrail(confirms=("lost_answer",)),
                Event("trouble", 31.0, seconds=3 * DAY, word="logitrail unauthorized"),
                Event("trouble", 31.0 + 3 * DAY, seconds=4000.0, word="logitrail lost_request"),
                Event(what, 4 * DAY, 1),
                days=12.0,
            )
            for what in ("requeue", "withdraw")
        },
        "a person holds the lane": _scene(
            _relograde(takes=20.0, ending="pending", settles=1000.0),
            Event("hold", 1.0, seconds=400.0, word="relograde"),
            Event("hint", 100.0, 1),
        ),
        "a person closes what is no letter": _scene(slow, Event("resolve", 10.0, 1)),
    }


def _money() -> dict[str, Plan]:
    """More orders than the account can pay for."""

    def cost(number: int, amount: str, **changed: object) -> OrderPlan:
        return replace(_relograde(amount=amount, arrives=2.0 * number, **changed), number=number)

    poor = Plan(
        seed=0,
        orders=(cost(1, "20"), cost(2, "10"), cost(3, "10")),
        balance="15",
        channels=("post",),
        events=(Event("top_up", 100.0, seconds=50.0),),
    )
    waits = replace(
        poor, orders=(cost(1, "20"), cost(2, "10", confirms=("lost_request",)), cost(3, "10"))
    )
    again = [Event("requeue", at, 3) for at in (75.0, 110.0, 300.0)]
    return {
        "the money is for one of three": poor,
        "money that is perhaps spent": waits,
        "an order comes while a look is under way": replace(
            poor,
            orders=(*poor.orders[:2], cost(3, "20")),
            faults=(Fault("pause", "lane_call_settle?", 1, 3.0),),
        ),
        "requeued when the account is filled": replace(
            poor, balance="5", events=(*poor.events, *again)
        ),
        "requeued while nobody looks": replace(
            poor,
            balance="5",
            events=(
                *poor.events,
                *again,
                Event("trouble", 60.0, seconds=100.0, word="relograde rate_limited"),
            ),
        ),
    }


def _pages() -> dict[str, Plan]:
    """One page answers for several pending orders, and shows what is not so."""
    orders = tuple(
        OrderPlan(number, "relograde", arrives=0.2 * number, ending=ending, settles=3000.0)
        for number, ending in enumerate(
            ("pending", "half_cancelled", "pending", "half_cancelled", "pending"), 1
        )
    )
    plain = Plan(seed=0, orders=orders, channels=("post",), per_minute=4)
    found = {
        f"pages that show the list {pages}": replace(plain, pages=pages)
        for pages in ("true", "stuck", "early")
    }
    for point in ("lane_call_permit!", "connect", "page_shown!", "page_learn?"):
        frozen = Fault("freeze", point, 8 if point == "connect" else 1, 400.0)
        found[f"a page frozen at {point}"] = replace(plain, pages="true", faults=(frozen,))
    return found


def scenes() -> dict[str, Plan]:
    """By name."""
    gone = Event("requeue", 60.0, 1, seconds=0.0)
    slow = _relograde(confirms=("slow_reset",), reads=("ok", "unauthorized"))
    found = {
        "a refusal disproved the inference": _scene(
            _logitrail(ending="elsewhere", confirms=("ok", "lost_request")), gone
        ),
        "a withdraw overtakes its confirm": _scene(
            _relograde(arrives=5.0), Event("withdraw", 1.0, 1)
        ),
        "a withdraw overtakes, logitrail": _scene(
            _logitrail(arrives=5.0), Event("withdraw", 1.0, 1)
        ),
        "a withdraw while it is unknown": _scene(
            _relograde(confirms=("lost_answer",)), Event("withdraw", 48.0, 1)
        ),
        "an old order is requeued": _scene(
            _logitrail(confirms=("invalid_request",)), Event("requeue", 4 * DAY, 1), days=12.0
        ),
        "requeued with money": _scene(_relograde(confirms=("insufficient_balance",)), gone),
        "requeued after a withdraw": _scene(
            _relograde(confirms=("insufficient_balance",)), Event("withdraw", 30.0, 1), gone
        ),
        "a hint before it is settled": _scene(slow, Event("hint", 6.0, 1), Event("hint", 20.0, 1)),
        "a hint at Logitrail": _scene(_logitrail(confirms=("slow_reset",)), Event("hint", 10.0, 1)),
        "a 401 on the question": _scene(
            _relograde(confirms=("slow_reset",), reads=("unauthorized",))
        ),
        "no connection for the question": _scene(
            _logitrail(confirms=("lost_answer", "unavailable"))
        ),
        "no connection after a slow one": _scene(
            _logitrail(confirms=("slow_reset", "unavailable", "unavailable"))
        ),
        "created while pending": _scene(
            _relograde(ending="pending", settles=300.0, reads=("says_created",) * 3)
        ),
        "a late answer with its tracking code": _scene(
            _logitrail(), Fault("freeze", "answer_received", 1, 400.0, order=0)
        ),
        "few calls, one sent late by a worker that dies": _scene(
            _relograde(),
            Fault("pause", "connect", 1, 4.5, order=0),
            Fault("kill", "bytes_sent", 1, 90.0, order=0),
            per_minute=1,
        ),
        "a line is delivered after the end": _scene(
            _relograde(ending="half_cancelled", settles=30.0)
        ),
        "few calls": _scene(_relograde(reads=("ok", "ok"), ending="pending"), per_minute=2),
        "a refusal after a lost answer": _scene(
            _logitrail(confirms=("lost_answer", "invalid_request"))
        ),
        "other hosts": _scene(_logitrail(confirms=("error_before",) * 9)),
    }
    for seconds in (20.0, 70.0, 400.0):
        for kind, order in (("relograde", _relograde()), ("logitrail", _logitrail())):
            for point in ("claimed", "intent_written", "connect"):
                name = f"frozen for {seconds} s at {point}, {kind}"
                found[name] = _scene(order, Fault("freeze", point, 1, seconds, order=0))
    return {**found, **_restarts(), **_forgotten(), **_edges(), **_people(), **_money(), **_pages()}
