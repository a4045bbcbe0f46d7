"""The deliberate faults: a few words of the worker's code each. A simulation that misses one proves nothing."""

from dataclasses import dataclass

EXECUTOR, POLICY, OPERATIONS = "worker/executor.py", "worker/policy.py", "worker/operations.py"
PAGES = "worker/pages.py"
GATE, OUTCOMES = "worker/suppliers/connections.py", "worker/outcomes.py"
LUA = "worker/ledger/{}.lua"


@dataclass(frozen=True, slots=True)
class Mutant:
    """(file, old text, new text), each of which must occur exactly once."""

    name: str
    changes: tuple[tuple[str, str, str], ...]


def _one(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, ((file, old, new),))


def _lua(name: str, script: str, old: str, new: str) -> Mutant:
    return _one(name, LUA.format(script), old, new)


SEND_FIRST = Mutant(
    "the intent is written after the send",
    (
        (
            EXECUTOR,
            "        permit = self.ledger.permit(claimed, plan)\n",
            "        early = None\n"
            "        if plan.kind == CONFIRM:\n"
            "            client = self.clients[order.supplier, order.account]\n"
            "            early = client.confirm(order.order_id, Gate(started, 5.0), host=plan.host, details=None)\n"
            "        permit = self.ledger.permit(claimed, plan)\n",
        ),
        (EXECUTOR, "answer = self._ask(permit, gate, details)", "answer = early or self._ask(permit, gate, details)"),
    ),
)
QUESTION = "            if order.unresolved or (order.must_ask and self.rules.reads):\n"
CONFIRMS = "            return Call(kind=CONFIRM, details=order.details, host=order.host)\n"

MUTANTS = (
    SEND_FIRST,
    _lua("an intent without its send_by", "permit", "'send_by', ts(now + window), ", ""),
    _lua("no fencing", "write", "if order.claim ~= args.claim then return reply({result = 'stale', lane = changed, pages_off = pages_off}) end", ""),
    _lua("no lease", "claim", "if order.claim and tonumber(order.lease_until) > now then return reply({result = 'busy'}) end", ""),
    _one("a requeue confirms first", OPERATIONS, "must_ask=True", "must_ask=False"),
    _one("a requeue of what is not dead", OPERATIONS, 'if order.state != "dead":', 'if order.state not in ("dead", "withdrawn"):'),
    _lua(
        "a due order is popped, not leased", "dispatch",
        "redis.call('ZADD', key('due', lane), ts(now + args.reserve), id)", "",
    ),
    _lua(
        "a claim drops out of the due set", "claim",
        "redis.call('ZADD', key('due', lane), ts(ends), args.id)", "",
    ),
    _lua("counts outside the script", "prelude", "if before.state then redis.call('ZREM', key('state', before.state), id) end", ""),
    _one("the deadline without its margin", POLICY, "order.deadline_at - self.rules.margin", "order.deadline_at"),
    Mutant(
        "the deadline compared a second late",
        (
            (POLICY, "last is not None and now > last", "last is not None and now >= last + 1.0"),
            (LUA.format("permit"), "now > args.last_safe then", "now >= args.last_safe + 1 then"),
            (LUA.format("permit"), "args.last_safe - now", "args.last_safe + 1 - now"),
        ),
    ),
    _lua(
        "the deadline does not clip the send window", "permit",
        "if args.last_safe then window = math.min(window, args.last_safe - now) end", "",
    ),
    _one(
        "a deadline kills before the read", POLICY, QUESTION,
        '            if self.too_late(order, now):\n                return self._die(order, "deadline_missed", now)\n' + QUESTION,
    ),
    _one(
        "a read timeout taken as no effect", POLICY,
        "        seen = replace(order, detail=answer.detail or None)\n",
        "        seen = replace(_without_effect(order, call), detail=answer.detail or None)\n",
    ),
    _one("frozen between intent and send, and sends", GATE, "if now > self.opened_at + self.send_within:", "if False:"),
    _one("an early `created` taken at its word", POLICY, "if order.unresolved and call.at <= self.settled_at(order):", "if False:"),
    _one("a hint shortens the settle time", POLICY, "if now <= self.settled_at(order):", "if now < (order.due_at or 0.0):"),
    _one("a question while it settles", POLICY, "if now <= self.settled_at(order):", "if False:"),
    _one(
        "a connect failure forgets an older attempt", POLICY,
        "send_by=order.older_send_by, older_send_by=None", "send_by=None, older_send_by=None",
    ),
    _one("`created` while pending is confirmed", POLICY, "            return self._still_pending(seen, now, jitter)", "            pass"),
    _one("a late answer is thrown away by the fence", EXECUTOR, 'if written.result == "stale" and step.proof', "if False and step.proof"),
    _one("the inference although a refusal disproved it", POLICY, " and not clear.inference_barred:", ":"),
    _one("a refusal judged while an attempt is unresolved", POLICY, "if again or not (clear.unresolved or expired_late):", "if True:"),
    _lua("a withdraw that overtook its confirm is forgotten", "open", "redis.call('DEL', key('withdrawn', args.id)) == 1", "false"),
    _one("a withdraw while an attempt is unresolved", OPERATIONS, "if order.unresolved or accepted", "if accepted"),
    _one("an outcome leaves before it is on disk", OUTCOMES, "server.synced else SYNC_AGE", "server.synced else 0.0"),
    _lua("outcomes of one order out of order", "take", "elseif waits then", "elseif false then"),
    _lua("an outcome is sent once and forgotten", "settle", "redis.call('ZADD', box, ts(now + delay), member)", "redis.call('ZREM', box, member)"),
    _one("a 401 on a read resolves the confirm", POLICY, "    if call.kind != CONFIRM:\n        return order\n", ""),
    _one(
        "a requeued order dies of its age before any call", POLICY, CONFIRMS,
        "            if self.rules.give_up and now - order.accepted_at >= self.rules.give_up:\n"
        '                return self._die(order, "gave_up", now)\n' + CONFIRMS,
    ),
    _one("a question carries the details", POLICY, "return Call(kind=CONFIRM, host=(", "return Call(kind=CONFIRM, details=order.details, host=("),
    _one("a question goes to another host", POLICY, "now - order.host_since >= HOST_STAYS", "now >= order.host_since"),
    _lua("a call is not counted", "permit", "redis.call('ZADD', key('calls', lane), ts(now + args.window + 60 + args.way), args.claim)", ""),
    _lua("a claim does not notice a restarted server", "claim", "recall(args.id, order)\n", ""),
    Mutant(
        "a held lane goes on calling",
        (
            (LUA.format("permit"), "if lane_hash.held and lane_hash.probe ~= args.id then return refuse('held') end", ""),
            (LUA.format("claim"), "if lane_hash.held and lane_hash.probe", "if false and lane_hash.probe"),
        ),
    ),
    _lua("a restart makes nothing suspect", "prelude", "  if looked and (", "  if false and ("),
    _lua("an order opened after a restart is not suspect", "open", "if changed_at > 0 and now - changed_at < args.suspicion then", "if false then"),
    _lua("a hint acts before it is on disk", "hint", "earliest(order.state)", "now"),
    _lua("a requeue acts before it is on disk", "write", "if due and not args.claim then due = math.max(due, earliest(after.state)) end", ""),
    _one("an attempt after a restart is inferred from", POLICY, "clear.send_by < (clear.suspect_at or clear.send_by) + SEND_WINDOW", "True"),
    _lua("a page is not counted", "lane_call", "redis.call('ZADD', key('calls', lane), ts(now + args.window + 60 + args.way), args.token)", ""),
    _one("a page ends an order unchecked", PAGES, "    if agreed < TRUST:\n", "    if False:\n"),
    _one("an incomplete delivery is confirmed", POLICY, "if self.rules.reads and not (answer.complete and answer.lines):", "if False:"),
)  # fmt: skip
