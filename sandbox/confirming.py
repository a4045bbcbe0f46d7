"""What a confirm call does, for both suppliers: refuse, hold, take effect once, answer.

Between the status gate and the effect lies the hold. A find in that time still shows the old
status, and (unless the switch `atomic_gate` says otherwise) a second confirm passes the gate too
and takes effect again. Nobody outside knows whether the real gates are atomic, so the sandbox
assumes the worst and lets the books show what it would have cost.
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
    """One supplier's part: why a confirm is refused, what an accepted one does, how an answer
    reads.
    """

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
    """Only with an atomic gate does a confirm that is being worked on keep others out."""
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
