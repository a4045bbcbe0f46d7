"""Every Redis key of the ledger, with a sentence each.

A key is `<prefix>:{<room>}:<name>[:<part>…]`. The room is a supplier, or `messages` for refused
messages. It is the hash tag: all keys of one supplier live in one slot, and every script stays
atomic. Times are seconds since the epoch by the server's TIME. A lane is the account's name, or `-`
for the account without one.
"""

import re

ROOMS = ("relograde", "logitrail", "messages")

SENTENCES = (
    "order:<id>, hash: the record of one order (schemas.order), or of one refused message.",
    "spelling, hash: a canonical order id to the spelling of an older record.",
    "details:<id>, string: the Order JSON to send with a confirm; gone when the order has ended.",
    "timeline:<id>, list: the order's events since its acceptance, one JSON object each.",
    "state:<state>, sorted set: the orders in this state by accepted_at; its size is their count.",
    "letters:<reason>, sorted set: the dead letters with this reason by the time of writing.",
    "due:<lane>, sorted set: orders by their next look, or by the end of a reservation or lease.",
    "ready:<lane>:<kind>, sorted set: orders due, by rank; kind is confirm, ask or recheck.",
    "reserved:<lane>, sorted set: dispatched orders, and `|page`, by the end of the reservation.",
    "dying:<lane>, sorted set: dispatched orders past their last safe moment: no call follows.",
    "leases:<lane>, sorted set: claimed orders, and `|<kind>` of a lane call, by the lease's end.",
    "calls:<lane>, sorted set: calls in the budget's window by when their slot is free again.",
    "lane:<lane>, hash: hold, probe, failures in a row, last call that passed or found its order.",
    "hosts:<lane>, hash: each host that failed, and until when it is left alone.",
    "lane_call:<lane>:<kind>, hash: the latest call about no order: its time, token and lease.",
    "pages:<lane>, string: what the list's pages taught (worker.rules.page_search, JSON).",
    "deadlines, sorted set: orders that the supplier has not accepted, by last safe moment.",
    "warned, sorted set: these orders instead, once the web app was warned of the deadline.",
    "funds:<lane>, hash: <currency> to its last balance, when, what was spent or short since.",
    "unpaid:<lane>:<currency>, sorted set: orders that wait for money until judged again, by rank.",
    "expiring, sorted set: ended orders by the time at which they are forgotten.",
    "withdrawn:<id>, string that expires: a withdraw came before its confirm.",
    "outcomes:<id>, hash: <sequence> to outcome (JSON; no acceptance), and its tries, sent, since.",
    "outbox:<channel>, sorted set: `<id>|<sequence>` by the time of the next delivery.",
    "server, hash: run id of the Redis server, how often it changed, and when it last did.",
    "counter, integer: the number of the latest refused message.",
    "digest:<sha256>, string: the number of the open letter that holds this very message.",
)
NAMES = {re.split("[:,]", sentence)[0]: sentence for sentence in SENTENCES}
"""Each key's sentence by the key's name."""


def base(prefix: str, room: str) -> str:
    """The part that all keys of one room share."""
    return f"{prefix}:{{{room}}}:"


def key(base: str, name: str, *parts: str) -> str:
    """The same composition as `key()` in prelude.lua."""
    return base + ":".join((name, *parts))
