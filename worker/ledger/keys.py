"""Every Redis key of the ledger, with a sentence each.

A key is `<prefix>:{<room>}:<name>[:<part>…]`. The room is a supplier, or `messages` for refused
messages. It is the hash tag: all keys of one supplier live in one slot, and every script stays
atomic. Times are seconds since the epoch by the server's TIME. A lane is the account's name, or `-`
for the account without one.
"""

ROOMS = ("relograde", "logitrail", "messages")

NAMES = {
    "order": "order:<id>, hash: the record of one order (schemas.order); in `messages`, of "
    "one refused message.",
    "spelling": "spelling, hash: a canonical order id to the spelling of an older record.",
    "details": "details:<id>, string: the Order JSON to send with a confirm; gone when the "
    "order has ended.",
    "timeline": "timeline:<id>, list: what happened to the order since its acceptance, one "
    "JSON object each.",
    "state": "state:<state>, sorted set: the orders in this state by accepted_at; their "
    "number is the count.",
    "letters": "letters:<reason>, sorted set: the dead letters with this reason by the time "
    "they were written.",
    "due": "due:<lane>, sorted set: orders by the time to look again: a retry, or the end of "
    "a reservation or lease.",
    "ready": "ready:<lane>:<kind>, sorted set: orders that are due, by rank; kind is confirm, "
    "ask or recheck.",
    "reserved": "reserved:<lane>, sorted set: orders whose bell was rung, and `|page`, by the "
    "end of the reservation.",
    "dying": "dying:<lane>, sorted set: the same for orders past their last safe moment: they "
    "need a step but no call.",
    "leases": "leases:<lane>, sorted set: orders that are claimed, and `|<kind>` for a lane "
    "call, by the lease's end.",
    "calls": "calls:<lane>, sorted set: calls of the budget's window by the time at which "
    "their slot is free again.",
    "lane": "lane:<lane>, hash: hold, probe, failures in a row, and when a call last got "
    "through or found its order.",
    "hosts": "hosts:<lane>, hash: each host that failed, and until when it is left alone.",
    "lane_call": "lane_call:<lane>:<kind>, hash: the latest call that was about no order: "
    "when, its token, its lease.",
    "pages": "pages:<lane>, string: what the pages of the supplier's list have taught "
    "(worker.rules.page_search, JSON).",
    "deadlines": "deadlines, sorted set: orders not accepted by the supplier yet, by their "
    "last safe moment.",
    "warned": "warned, sorted set: these orders instead, once the web app was warned of the "
    "deadline.",
    "funds": "funds:<lane>, hash: <currency> to the balance last told, when, what was spent "
    "since and who was short.",
    "unpaid": "unpaid:<lane>:<currency>, sorted set: orders that wait for money, until they "
    "are judged again, by rank.",
    "expiring": "expiring, sorted set: ended orders by the time at which they are forgotten.",
    "withdrawn": "withdrawn:<id>, string that expires: a withdraw came before its confirm.",
    "outcomes": "outcomes:<id>, hash: <sequence> to outcome (JSON; all but the acceptance), "
    "tries, sent, since.",
    "outbox": "outbox:<channel>, sorted set: `<id>|<sequence>` by the time of the next delivery.",
    "server": "server, hash: run id of the Redis server, how often it changed, and when it "
    "last did.",
    "counter": "counter, integer: the number of the latest refused message.",
    "digest": "digest:<sha256>, string: the number of the open letter that holds this very "
    "message.",
}


def base(prefix: str, room: str) -> str:
    """The part that all keys of one room share."""
    return f"{prefix}:{{{room}}}:"


def key(base: str, name: str, *parts: str) -> str:
    """The same composition as `key()` in prelude.lua."""
    return base + ":".join((name, *parts))
