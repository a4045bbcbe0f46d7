"""The deliberate faults: a few words of the worker's code each.

A simulation that misses one proves nothing.
"""

from dataclasses import dataclass

EXECUTOR, POLICY, TIMES, RECORDS, STEPS, INTERVENTIONS = (
    "worker/turns/executor.py",
    "worker/rules/policy.py",
    "worker/rules/times.py",
    "worker/rules/records.py",
    "worker/rules/steps.py",
    "worker/rules/interventions.py",
)
PAGES, DOORS = "worker/rules/page_trust.py", "worker/web_app/doors.py"
GATE, OUTCOMES = "worker/suppliers/connections.py", "worker/web_app/teller.py"
LUA = "worker/ledger/scripts/{}.lua"


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
            LUA.format("order_permit"),
            "return order.kind ~= 'confirm' or late or order.details",
            "return true",
        ),
        (
            EXECUTOR,
            "        permit = self.ledger.permit(claimed, plan)\n",
            "        if plan.kind != READ:\n"
            "            client = self.clients[order.supplier, order.account]\n"
            "            details = client.confirm(order.order_id, Gate(asked_at, 5.0), host=plan.host, details=None)\n"
            "        permit = self.ledger.permit(claimed, plan)\n",
        ),
        (
            EXECUTOR,
            "answer = self._ask(permit, gate, details)",
            "answer = self._ask(permit, gate, details) if details is None or isinstance(details, str) else details",
        ),
    ),
)
QUESTION = "        if order.unresolved or must_read:\n"
CONFIRMS = "        return Call(kind=CONFIRM, details=order.details, host=order.host)\n"

MUTANTS = (
    SEND_FIRST,
    _lua("an intent without its send_by", "order_permit", "'send_by', ts(now + window),", ""),
    _lua("a confirm is permitted unseen although a question is due", "order_permit", "order.kind ~= 'confirm' or late", "late"),
    _lua("no fencing", "order_write", "if order.claim ~= args.claim then", "if false then"),
    _lua("no lease", "order_claim", "if order.claim and tonumber(order.lease_until) > now then return 'busy' end", ""),
    _one("a requeue confirms first", INTERVENTIONS, "must_ask=True", "must_ask=False"),
    _one("a requeue of what is not dead", INTERVENTIONS, 'if order.state != "dead":', 'if order.state not in ("dead", "withdrawn"):'),
    _lua(
        "a due order is popped, not leased", "lane_dispatch",
        "redis.call('ZADD', due, ends, id)", "",
    ),
    _lua(
        "a claim drops out of the due set", "order_claim",
        "redis.call('ZADD', key('due', lane), ts(ends), args.id)", "",
    ),
    _lua("counts outside the script", "lib/places", "if before.state then redis.call('ZREM', key('state', before.state), id) end", ""),
    _one("the deadline without its margin", TIMES, "order.deadline_at - self.rules.margin", "order.deadline_at"),
    Mutant(
        "the deadline compared a second late",
        (
            (TIMES, "last is not None and now > last", "last is not None and now >= last + 1.0"),
            (LUA.format("order_permit"), "if last_safe and now > last_safe then", "if last_safe and now >= last_safe + 1 then"),
            (LUA.format("order_permit"), "last_safe - now", "last_safe + 1 - now"),
        ),
    ),
    _lua(
        "the deadline does not clip the send window", "order_permit",
        "if confirm and last_safe then window = math.min(window, last_safe - now) end", "",
    ),
    _one(
        "a deadline kills before the read", POLICY, QUESTION,
        '        if self.times.too_late(order, now):\n            return steps.dead_letter(order, "deadline_missed", now)\n' + QUESTION,
    ),
    _one(
        "a read timeout taken as no effect", POLICY,
        "        seen = records.noted(order, answer.detail)\n",
        "        seen = records.noted(records.without_effect(order, turn.call), answer.detail)\n",
    ),
    _one("frozen between intent and send, and sends", GATE, "if now > self.opened_at + self.send_within:", "if False:"),
    _one("an early `created` taken at its word", POLICY, "if order.unresolved and turn.call.at <= self.times.settled_at(order):", "if False:"),
    _one("a hint shortens the settle time", POLICY, "if now <= self.times.settled_at(order):", "if now < (order.due_at or 0.0):"),
    _one("a question while it settles", POLICY, "if now <= self.times.settled_at(order):", "if False:"),
    _one(
        "a connect failure forgets an older attempt", RECORDS,
        "send_by=order.older_send_by, older_send_by=None", "send_by=None, older_send_by=None",
    ),
    _one("`created` while pending is confirmed", POLICY, "            return self._created_while_pending(seen, turn)", "            pass"),
    _one("a late answer is thrown away by the fence", EXECUTOR, 'overtaken = written.result == "stale"', "overtaken = False"),
    _one("the inference although a refusal disproved it", POLICY, " and not order.inference_barred:", ":"),
    _one("a refusal judged while an attempt is unresolved", POLICY, "if asked_already or not records.may_be_confirmed(clear, answer):", "if True:"),
    _lua("a withdraw that overtook its confirm is forgotten", "order_open", "redis.call('DEL', key('withdrawn', args.id)) == 1", "false"),
    _one("a withdraw while an attempt is unresolved", INTERVENTIONS, "if order.unresolved or accepted", "if accepted"),
    _one("an outcome leaves before it is on disk", OUTCOMES, "server.synced else SYNC_AGE", "server.synced else 0.0"),
    _lua("outcomes of one order out of order", "outbox_take", "if waits then return", "if false then return"),
    _lua("an outcome is sent once and forgotten", "outbox_settle", "redis.call('ZADD', box, ts(now + delay), member)", "redis.call('ZREM', box, member)"),
    _one("a 401 on a read resolves the confirm", RECORDS, "    if call.kind != CONFIRM:\n        return order\n", ""),
    _one(
        "a requeued order dies of its age before any call", POLICY, CONFIRMS,
        "        if self.rules.give_up and now - order.accepted_at >= self.rules.give_up:\n"
        '            return steps.dead_letter(order, "gave_up", now)\n' + CONFIRMS,
    ),
    _one("a question carries the details", POLICY, "        return Call(kind=CONFIRM, host=order.host)\n", "        return Call(kind=CONFIRM, details=order.details, host=order.host)\n"),
    _one("a question goes to another host", POLICY, "now - order.host_since >= HOST_STAYS", "now >= order.host_since"),
    _lua("a call is not counted", "order_permit", "redis.call('ZADD', key('calls', lane), ts(now + args.window + 60 + args.way), args.claim)", ""),
    _lua("a claim does not notice a restarted server", "order_claim", "recall(args.id, order)\n", ""),
    Mutant(
        "a held lane goes on calling",
        (
            (LUA.format("order_permit"), "if probing and lane_hash.probe ~= args.id then return 'held' end", ""),
            (LUA.format("order_claim"), "if lane_hash.held and lane_hash.probe", "if false and lane_hash.probe"),
        ),
    ),
    _lua("a restart makes nothing suspect", "lib/generation", "if was_looked_at and", "if false and"),
    _lua("an order opened after a restart is not suspect", "order_open", "if changed_at > 0 and now - changed_at < args.suspicion then", "if false then"),
    _lua("a hint acts before it is on disk", "order_hint", "earliest(order.state)", "now"),
    _lua("a requeue acts before it is on disk", "order_write", "if due and not args.claim then due = math.max(due, earliest(after.state)) end", ""),
    _one("an attempt after a restart is inferred from", RECORDS, "return order.send_by < order.suspect_at + SEND_WINDOW", "return True"),
    _lua("a page is not counted", "lane_call_permit", "redis.call('ZADD', key('calls', lane), ts(now + args.window + 60 + args.way), args.token)", ""),
    _one("a page ends an order unchecked", PAGES, "    if agreed < TRUST:\n", "    if False:\n"),
    _one(
        "an earlier creation does not move the deadline", RECORDS,
        "return replace(order, created_at=created_at, deadline_at=deadline_at)", "return order",
    ),
    _one("the deadline counts from acceptance", DOORS, "else created + within,", "else now + within,"),
    _one("a withdraw of a pending order", INTERVENTIONS, 'order.pending_since is not None or order.state in ACCEPTED', 'order.state in ("confirmed", "cancelled")'),
    _one(
        "`can not be confirmed` taken as confirmed", POLICY,
        'return Step(order=asking, event="confirm_refused")',
        'return replace(steps.confirmed(seen, "confirmed", turn.now), proof=False)',
    ),
    _one("a pending answer taken as confirmed", POLICY, '        if order.state == "dead":\n            return self._pending_while_dead', '        return replace(steps.confirmed(seen, "confirmed", turn.now), proof=False)\n        if order.state == "dead":\n            return self._pending_while_dead'),
    _one("the first not-found kills", POLICY, "if others_are_found or order.requeued_at is not None:", "if True:"),
    _one("the first 403 kills", POLICY, "others_pass = _is_after(turn.call.passed_at, order.denied_at)", "others_pass = True"),
    _one("what is pending too long is never read again", STEPS, "return replace(dead, order=replace(dead.order, due_at=now + DAY))", "return dead"),
    _one("the send window counts from after the permit", EXECUTOR, "gate = Gate(opened_at=asked_at,", "gate = Gate(opened_at=self.monotonic(),"),
    _one("the settle time counts from the intent", TIMES, "max(order.send_by or 0.0, order.suspect_at or 0.0)", "max((order.send_by or 0.0) - SEND_WINDOW, order.suspect_at or 0.0)"),
    _lua("no fence at the permit", "order_permit", "order and order.claim == args.claim and tonumber(order.lease_until) > now", "order"),
    _lua("an intent forgets the one before", "order_permit", "redis.call('HSET', name, 'older_send_by', order.send_by)", ""),
    _lua("people decide on an old record", "order_write", "tonumber(order.version or 0) == args.version", "true"),
    _lua("an intent leaves the version as it was", "order_permit", "  redis.call('HINCRBY', name, 'version', 1)\n", ""),
    _lua("a slot is free 60 s after the intent", "order_permit", "ts(now + args.window + 60 + args.way)", "ts(now + 60)"),
    _lua("an answer ends a person's hold", "lib/lanes", "if not lane_hash.held or lane_hash.held == 'person' then", "if not lane_hash.held then"),
    _lua("an end is superseded", "lib/outcomes", "if kind == 'order.pending' or kind == 'order.deadline_warning' then", "if kind ~= 'order.accepted' then"),
    _lua("a hint comes between a call and its lease", "order_hint", "if order.claim and tonumber(order.lease_until) > now then", "if false then"),
    _one("a refused message is dropped", "worker/web_app/refusals.py", "key = self.messages.refuse(refusal.reason, refusal.detail, body, named, identity)", "key = '-'"),
    _one("a withdraw of what is dead and still unknown", INTERVENTIONS, "if order.unresolved or", 'if (order.unresolved and order.state != "dead") or'),
    _one("a requeue forgets an unresolved attempt", INTERVENTIONS, "        must_ask=True,", "        must_ask=True,\n        send_by=None,\n        older_send_by=None,"),
    _one("a person closes what is no letter", INTERVENTIONS, "    if order.letter is None:\n", "    if order.ended_at is not None:\n"),
    _one("the details are not sent", POLICY, "Call(kind=CONFIRM, details=order.details, host=order.host)", "Call(kind=CONFIRM, host=order.host)"),
    _one("an inference passes for proof", POLICY, "inferred=True, due_at=", "inferred=False, due_at="),
    _one("a tracking code that never comes is nobody's concern", POLICY, "tracking_until = now + (self.rules.give_up or 0.0)", "tracking_until = None"),
    _one("lines that were not settled are not read again", TIMES, "for delay in CANCELLED_RECHECKS:", "for delay in ():"),
    _one("what changes after the end is not told", STEPS, 'event="updated",\n        tells=(Tell("order.updated"),),\n        proof=True,', 'event="updated",'),
    _one("a delivered line is lost to a poorer view", RECORDS, '"finished" if was_delivered else line.status', "line.status"),
    _lua(
        "an order dies of a balance from before it came", "lib/money",
        "if money.fresh and money.asked_at >= since then", "if money.fresh then",
    ),
    _lua("a look is dated when it is answered", "lane_call_settle", "tell_balances(lane, latest.at,", "tell_balances(lane, ts(now),"),
    _lua("an old balance is believed", "lib/money", "money.fresh = money.asked_at > now - look_every", "money.fresh = money.asked_at > 0"),
    _lua(
        "an order dies of our own arithmetic", "lib/money",
        "micro(order.amount) > micro(money.balance) and", "micro(order.amount) > money.left and",
    ),
    _one("a write that came too late is not tried again", "worker/ledger/ledger.py", 'self.write(found.order, step).result != "stale"', "self.write(found.order, step)"),
    _one("a webhook's word is dropped", DOORS, "step = answer and self.executor", "step = None and self.executor"),
    _one("an incomplete delivery is confirmed", POLICY, "if self.rules.reads and not (answer.complete and answer.lines):", "if False:"),
)  # fmt: skip
