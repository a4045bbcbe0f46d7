"""Faults planted in the scripts, for the explorer to find (`python -m tests.explorer --faults`)."""

from collections.abc import Callable

from tests.simulation.mutations import Mutant, _lua
from worker.ledger.script_runner import LIBRARIES, SCRIPTS

FAULTS = (
    _lua("a claim from before a restart confirms what is suspect", "order_permit",
         "if suspected_meanwhile() then return 'restarted' end", ""),
    _lua("a restart in the very moment of the look", "lib/generation",
         "tonumber(order.due_at) <= changed_at", "tonumber(order.due_at) < changed_at"),
    _lua("a claim takes no slot of the lane", "order_claim",
         "redis.call('ZADD', key('leases', lane), ts(ends), args.id)", ""),
    _lua("an ended step keeps its slot", "lib/places",
         "redis.call('ZREM', key('leases', lane), id)", ""),
    _lua("a full lane is claimed", "order_claim",
         "if free < 1 and not is_dying() then return 'later' end", ""),
    _lua("a hold between claim and permit", "order_permit",
         "if probing and lane_hash.probe ~= args.id then return 'held' end", ""),
    _lua("one call too many", "order_permit",
         "if calls_left(lane, args.per_minute) < 1", "if calls_left(lane, args.per_minute) < 0"),
    _lua("a call put back keeps its claim", "lib/places",
         "redis.call('HDEL', key('order', id), 'claim', 'lease_until')", ""),
    _lua("a suspect order stays among the confirms", "lib/generation",
         "redis.call('ZADD', key('ready', lane, 'ask'), order.rank, id)",
         "redis.call('ZADD', key('ready', lane, 'confirm'), order.rank, id)"),
)  # fmt: skip

NOT_FOUND = (
    _lua("a step of a suspect order leaves it to be confirmed", "order_write",
         "if after.suspect_at and kind == 'confirm' then kind = 'ask' end", ""),
    _lua("one slot too many", "order_claim", "if free < 1 and", "if free < 0 and"),
    _lua("a claim in the moment in which another ends", "order_claim",
         "tonumber(order.lease_until) > now then return 'busy'",
         "tonumber(order.lease_until) > now + 1 then return 'busy'"),
    _lua("an expired lease is permitted a call", "order_permit",
         "order.claim == args.claim and tonumber(order.lease_until) > now",
         "order.claim == args.claim"),
    _lua("a restart after the claim is not seen by the permit", "order_permit",
         "if generation() ~= tonumber(order.generation or 0) then return 'restarted' end", ""),
    _lua("an order opened in the moment of a restart", "order_open",
         "if changed_at > 0 and now - changed_at < args.suspicion then",
         "if changed_at > 0 and now > changed_at and now - changed_at < args.suspicion then"),
    _lua("what a person requeued is still planned to be forgotten", "order_write",
         "if ended and not after.letter then", "if ended then"),
)  # fmt: skip
"""Faults not found in a few seconds a world: too deep, or without an effect that a rule sees."""


def sources(fault: Mutant) -> Callable[[str], str]:
    """The scripts' texts with the fault in them; raises ValueError when it does not apply."""
    parts = {f"worker/ledger/scripts/{name}.lua": name for name in _names()}
    texts = {name: (SCRIPTS / f"{name}.lua").read_text(encoding="utf-8") for name in parts.values()}
    for file, old, new in fault.changes:
        name = parts[file]
        if texts[name].count(old) != 1:
            raise ValueError(f"{texts[name].count(old)} times in {file}: {old}")
        texts[name] = texts[name].replace(old, new)
    return lambda name: "\n".join(texts[part] for part in (*LIBRARIES, name))


def _names() -> list[str]:
    return [str(file.relative_to(SCRIPTS).with_suffix("")) for file in SCRIPTS.rglob("*.lua")]
