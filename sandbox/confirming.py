"""A confirm call at either supplier: refuse, wait, take effect once, answer.

The supplier waits `hold_seconds` between its status gate and the effect. A find in that time still
shows the old status, and a second confirm passes the gate too and takes effect again, unless the
switch `atomic_gate` is on. Whether the real gates are atomic is unknown, so the sandbox assumes the
worst and its books show the cost.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.answers import Answer
from sandbox.behaviours import TABLES, Turn, turn_for
from sandbox.delivery import Reply
from sandbox.state import now
from sandbox.visits import Visit


@dataclass(frozen=True)
class Rules:
    """One supplier's part: the reason of a refusal, the effect of a confirm, the answer's text."""

    refuse: Callable[[Visit], str | None]
    accept: Callable[[Visit], None]
    answer: Callable[[Visit, str], Answer]


async def confirm(visit: Visit, rules: Rules) -> Reply:
    if refusal := rules.refuse(visit):
        return Reply(rules.answer(visit, refusal))
    turn = _next_turn(visit)
    if turn.effect:
        await _work(visit, rules, turn)
    await _wait(visit, turn.hold == ("after" if turn.effect else "before"))
    return Reply(rules.answer(visit, turn.answer), turn.delivery, visit.known.params)


def gate_is_taken(visit: Visit) -> bool:
    """Whether another confirm is at work behind an atomic gate, which then lets no other in."""
    others = (call for call in visit.known.of_kind("confirm", "resolve") if call is not visit.call)
    return visit.state.switches(visit.supplier).atomic_gate and any(call.working for call in others)


def _next_turn(visit: Visit) -> Turn:
    order = visit.known
    row = TABLES[order.supplier][order.behaviour]
    turn = turn_for(row, order.params, order.turns, now() - order.registered_at)
    order.turns += 1
    return turn


async def _work(visit: Visit, rules: Rules, turn: Turn) -> None:
    visit.call.working = True
    await asyncio.sleep(visit.state.switches(visit.supplier).hold_seconds)
    await _wait(visit, turn.hold == "before")
    rules.accept(visit)


async def _wait(visit: Visit, wanted: bool) -> None:
    if wanted:
        await asyncio.sleep(float(visit.known.params["hold"]))
