"""The whole way on real input: a Celery client, real workers, a real Redis, suppliers over HTTP,
books that judge.
"""

import json
import re
import signal
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from fleet import Fleet, supplier_environment, wait_for

from sandbox.embedded_redis import EmbeddedRedis
from sandbox.server import Sandbox
from worker.servers import connect

RELOGRADE = {
    "finished": "confirmed",
    "pending": "confirmed",
    "partial": "confirmed",
    "partial_cancelled": "cancelled",
    "cancelled": "cancelled",
    "cancelled_late_lines": "cancelled",
    "token_only": "confirmed",
    "incomplete": "dead incomplete_delivery",
    "insufficient_balance": "dead insufficient_balance",
    "out_of_stock": "dead out_of_stock",
    "offer_unavailable": "dead offer_unavailable",
    "multiple_order_lines": "dead multiple_order_lines",
    "unknown_error": "dead unrecognised_answer",
    "expired": "dead deadline_missed",
    "rate_limited": "confirmed",
    "error_before": "confirmed",
    "error_after": "confirmed",
    "lost_answer": "confirmed",
    "lost_request": "confirmed",
    "truncated": "confirmed",
    "html_200": "confirmed",
    "wrong_trx": "confirmed",
    "no_content": "confirmed",
    "created_200": "confirmed",
    "cannot_confirm": "confirmed",
    "redirect": "confirmed",
    "oversized": "confirmed",
    "slow_drip": "confirmed",
    "timeout_after": "confirmed",
    "timeout_before": "confirmed",
    "slow": "confirmed",
}
LOGITRAIL = {
    "confirmed": "confirmed",
    "confirmed_without_tracking": "confirmed",
    "lost_answer": "confirmed",
    "lost_request": "confirmed",
    "error_before": "confirmed",
    "error_after": "confirmed",
    "html_500": "confirmed",
    "success_false": "confirmed",
    "wrong_order_id": "confirmed",
    "unknown_error": "confirmed",
    "conflict": "confirmed",
    "truncated": "confirmed",
    "timeout_after": "confirmed",
    "rate_limited": "confirmed",
    "order_not_passive": "dead order_not_passive",
    "invalid_body": "dead invalid_request",
}
SUPPLIERS = {"relograde": RELOGRADE, "logitrail": LOGITRAIL}
QUICK = {"hold": 4.0, "finish_after": 1.0, "interval": 0.002, "for_seconds": 1.0}
UNLIMITED = {"rate_limit": 0, "defaults": QUICK}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(
        seed=1, doors=True, initial={"relograde": UNLIMITED, "logitrail": UNLIMITED}
    ) as running:
        yield running


@pytest.fixture
def fleet(tmp_path: Path, server: EmbeddedRedis, sandbox: Sandbox) -> Iterator[Fleet]:
    """Workers to be started by the test, on a database of their own."""
    url = server.url.rsplit("/", 1)[0] + "/3"
    connection = connect(url)
    connection.flushdb()
    connection.close()
    running = Fleet(tmp_path, url, supplier_environment(sandbox))
    yield running
    running.stop()


class Ledger:
    """What the ledger's keys say, read as a stranger would."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url, decode_responses=True)

    def order(self, supplier: str, order_id: str) -> dict[str, str]:
        return dict(self.client.hgetall(f"countersign:{{{supplier}}}:order:{order_id}"))

    def events(self, order_id: str) -> list[str]:
        """The events of a Relograde order's timeline."""
        timeline = self.client.lrange(f"countersign:{{relograde}}:timeline:{order_id}", 0, -1)
        return [json.loads(entry)["event"] for entry in timeline]

    def end(self, supplier: str, order_id: str) -> str:
        """`confirmed`, `cancelled`, `dead reason`, …; empty while it is open."""
        order = self.order(supplier, order_id)
        state = order.get("state", "")
        if state in ("", "accepted", "submitted", "pending"):
            return ""
        return f"dead {order['reason']}" if state == "dead" else state

    def outcomes(self) -> list[dict[str, Any]]:
        """Everything that was told so far, in the order of telling."""
        import base64

        bodies = [json.loads(text)["body"] for text in reversed(self.client.lrange("shop", 0, -1))]
        return [json.loads(base64.b64decode(body))[1]["outcome"] for body in bodies]


@pytest.fixture
def ledger(fleet: Fleet) -> Iterator[Ledger]:
    reading = Ledger(fleet.redis_url)
    yield reading
    reading.client.close()


def ended(ledger: Ledger, orders: list[dict[str, Any]], seconds: float = 60.0) -> dict[str, str]:
    """Waits until every order has an end, and returns the ends by order id."""

    def all_ended() -> dict[str, str] | None:
        ends = {
            order["order_id"]: ledger.end(order["supplier"], order["order_id"]) for order in orders
        }
        return ends if all(ends.values()) else None

    found: dict[str, str] = wait_for(all_ended, "every order has an end", seconds)
    return found


def judge(sandbox: Sandbox, ledger: Ledger) -> None:
    """The supplier's books against the ledger: invariants 2, 3, 5 and 6."""
    for entry in sandbox.books()["orders"]:
        name = (entry["supplier"], entry["order_id"], entry["behaviour"])
        end = ledger.end(entry["supplier"], entry["order_id"])
        assert entry["effects"] <= 1, name
        assert not entry["overlaps"], name
        assert not entry["repeated_without_asking"], name
        assert not entry["calls_after_deadline"], name
        confirmed = entry["status"] in ("finished", "confirmed")
        if entry["behaviour"] not in ("order_not_passive", "incomplete"):
            assert (end == "confirmed") == confirmed, (*name, end, entry["status"])
            assert (end == "cancelled") == (entry["status"] == "cancelled"), (
                *name,
                end,
                entry["status"],
            )


def test_every_kind_of_order_ends_as_it_should(
    sandbox: Sandbox, fleet: Fleet, ledger: Ledger
) -> None:
    """Each behaviour of both suppliers, through two workers; the books agree; no secret is
    anywhere.
    """
    key = "whole-secret-details"
    wanted = {
        (supplier, kind): end
        for supplier, kinds in SUPPLIERS.items()
        for kind, end in kinds.items()
    }
    fleet.start(2)
    orders = [fleet.confirm(sandbox.create(supplier, kind)) for supplier, kind in wanted]
    orders.append(
        fleet.confirm(
            sandbox.create("logitrail", "confirmed"), details={"language": "fi", "tags": [key]}
        )
    )
    ends = ended(ledger, orders)
    got = {(order["supplier"], order["behaviour"]): ends[order["order_id"]] for order in orders}
    assert got == wanted
    judge(sandbox, ledger)
    told_once_in_order(ledger, orders)
    assert sandbox.order("logitrail", orders[-1]["order_id"])["details"]["tags"] == [key]
    nothing_secret(fleet, ledger, key)


def told_once_in_order(ledger: Ledger, orders: list[dict[str, Any]]) -> None:
    """Invariant 11: every end is told, and the first telling of each order follows its sequence."""
    last = {
        "confirmed": "order.confirmed",
        "cancelled": "order.cancelled",
        "dead": "order.dead_lettered",
    }

    def told() -> bool:
        seen = {(outcome["data"]["order_id"], outcome["type"]) for outcome in ledger.outcomes()}
        ends = {
            order["order_id"]: ledger.end(order["supplier"], order["order_id"]).split()[0]
            for order in orders
        }
        return all(
            {(name, "order.accepted"), (name, last[end])} <= seen for name, end in ends.items()
        )

    wait_for(told, "every end is told")
    sequences: dict[str, list[int]] = {}
    for outcome in ledger.outcomes():
        seen = sequences.setdefault(outcome["data"]["order_id"], [])
        if outcome["data"]["sequence"] not in seen:
            seen.append(outcome["data"]["sequence"])
    assert all(numbers == sorted(numbers) for numbers in sequences.values())


def nothing_secret(fleet: Fleet, ledger: Ledger, *more: str) -> None:
    """Invariant 9: no voucher, token or credential in Redis, in a message or in a log."""
    client = redis.Redis.from_url(fleet.redis_url)
    everything = b"".join(name + (client.dump(name) or b"") for name in client.scan_iter("*"))
    everything += b"".join(b"".join(client.hvals(name)) for name in client.scan_iter("*:order:*"))
    everything += b"".join(
        b"".join(client.lrange(name, 0, -1)) for name in client.scan_iter("*:timeline:*")
    )
    everything += json.dumps(ledger.outcomes()).encode()
    client.close()
    text = everything + fleet.log().encode()
    for secret in (
        rb"TEST[A-Z0-9]{12}",
        b"sandbox-key",
        b"sandbox-secret",
        b"voucherCode",
        b"Bearer",
    ):
        assert not re.search(secret, text), secret
    for word in more:
        assert word.encode() not in fleet.log().encode(), word


@pytest.mark.parametrize(
    ("supplier", "kind"),
    [("relograde", "slow"), ("relograde", "timeout_after"), ("logitrail", "slow")],
)
def test_kill_in_the_middle_of_a_confirm(
    sandbox: Sandbox, fleet: Fleet, ledger: Ledger, supplier: str, kind: str
) -> None:
    """kill -9 of the only worker while a confirm is under way: a new worker ends the order right,
    with one effect.
    """
    fleet.start()
    order = fleet.confirm(sandbox.create(supplier, kind, params={"hold": 1.0}))

    def calling() -> bool:
        return bool(sandbox.order(supplier, order["order_id"])["calls"])

    wait_for(calling, "the confirm has arrived")
    fleet.kill()
    fleet.start()
    assert ended(ledger, [order], 90) == {order["order_id"]: "confirmed"}
    judge(sandbox, ledger)
    assert sandbox.order(supplier, order["order_id"])["effects"] == 1


def test_twenty_senders_of_one_order(sandbox: Sandbox, fleet: Fleet, ledger: Ledger) -> None:
    """The same confirm from twenty senders at once is one order, one attempt, one effect."""
    fleet.start(3)
    order = sandbox.create("relograde", "slow", params={"hold": 0.5})
    senders = [threading.Thread(target=fleet.confirm, args=(order,)) for _ in range(20)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert ended(ledger, [order]) == {order["order_id"]: "confirmed"}
    entry = sandbox.order("relograde", order["order_id"])
    assert (entry["effects"], entry["confirms"]) == (1, 1)


def test_a_stopping_worker_finishes_its_call(
    sandbox: Sandbox, fleet: Fleet, ledger: Ledger
) -> None:
    """SIGTERM in the middle of a confirm: the answer is written, and what came too late is there
    for the next one.
    """
    fleet.start()
    order = fleet.confirm(sandbox.create("relograde", "slow", params={"hold": 1.5}))
    wait_for(
        lambda: sandbox.order("relograde", order["order_id"])["calls"], "the confirm has arrived"
    )
    fleet.workers[0].send_signal(signal.SIGTERM)
    while_it_stops = [fleet.confirm(sandbox.create("logitrail", "confirmed")) for _ in range(30)]
    assert fleet.workers[0].wait(60) == 0
    assert ledger.end("relograde", order["order_id"]) == "confirmed"
    fleet.start()
    assert set(ended(ledger, while_it_stops).values()) == {"confirmed"}
    judge(sandbox, ledger)


@pytest.mark.parametrize("impatience", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_second_signal_loses_nothing(
    sandbox: Sandbox, fleet: Fleet, ledger: Ledger, impatience: signal.Signals
) -> None:
    """A stopping worker takes nothing new and finishes its calls, however often it is told; killed,
    it is asked for.
    """
    fleet.environment |= {"RELOGRADE_READ_TIMEOUT": "8", "LOGITRAIL_READ_TIMEOUT": "8"}
    fleet.start()
    slow = [
        sandbox.create(supplier, "slow", params={"hold": 5.0})
        for supplier in SUPPLIERS
        for _ in range(3)
    ]
    in_hand = [fleet.confirm(order) for order in slow]
    wait_for(
        lambda: all(sandbox.order(o["supplier"], o["order_id"])["calls"] for o in in_hand),
        "all have arrived",
    )
    worker = fleet.workers[0]
    worker.send_signal(signal.SIGTERM)
    wait_for(lambda: listeners(ledger) == 0, "it listens no more")
    late = [
        fleet.confirm(sandbox.create(supplier, kind))
        for supplier, kind in (("relograde", "finished"), ("logitrail", "confirmed"))
    ]
    assert worker.poll() is None
    code = fleet.kill(with_signal=impatience)
    ends = {ledger.end(order["supplier"], order["order_id"]) for order in in_hand}
    assert (code, ends) == (
        (0, {"confirmed"}) if impatience == signal.SIGTERM else (-signal.SIGKILL, {""})
    )
    assert ledger.client.llen("orders") == len(late)
    fleet.start()
    assert set(ended(ledger, in_hand + late, 90).values()) == {"confirmed"}
    judge(sandbox, ledger)
    assert {
        sandbox.order(order["supplier"], order["order_id"])["effects"] for order in in_hand + late
    } == {1}


def listeners(ledger: Ledger) -> int:
    """How many connections wait for messages at this moment."""
    return sum("b" in client["flags"] for client in ledger.client.client_list())


def test_withdraw_and_webhooks(sandbox: Sandbox, fleet: Fleet, ledger: Ledger) -> None:
    """A withdraw before its confirm wins; a Logitrail webhook brings the tracking that an inference
    lacks.
    """
    fleet.start()
    taken_back = sandbox.create("relograde", "finished")
    fleet.send("orders.withdraw", supplier="relograde", order_id=taken_back["order_id"])
    inferred = fleet.confirm(sandbox.create("logitrail", "lost_answer"))
    wait_for(
        lambda: ledger.client.exists("countersign:{relograde}:withdrawn:" + taken_back["order_id"]),
        "the mark",
    )
    fleet.confirm(taken_back)
    assert ended(ledger, [taken_back, inferred]) == {
        taken_back["order_id"]: "withdrawn",
        inferred["order_id"]: "confirmed",
    }
    assert ledger.order("logitrail", inferred["order_id"])["inferred"] == "1"
    fleet.send("webhooks.logitrail", payload=sandbox.webhook("logitrail", inferred["order_id"]))
    wait_for(
        lambda: ledger.order("logitrail", inferred["order_id"]).get("tracking_code"),
        "the tracking code",
    )
    shown = fleet.command("orders", "show", "logitrail", inferred["order_id"])
    assert shown["tracking_code"]
    assert not shown["inferred"]
    assert sandbox.order("relograde", taken_back["order_id"])["confirms"] == 0


def test_dead_letter_is_requeued(sandbox: Sandbox, fleet: Fleet, ledger: Ledger) -> None:
    """A person tops up the balance and requeues: the supplier is asked, then the order is
    confirmed.
    """
    fleet.start()
    order = fleet.confirm(sandbox.create("relograde", "insufficient_balance_once"))
    assert ended(ledger, [order]) == {order["order_id"]: "dead insufficient_balance"}
    fleet.command("dead-letters", "requeue", f"relograde/{order['order_id']}")
    wait_for(
        lambda: ledger.end("relograde", order["order_id"]) == "confirmed", "the order is confirmed"
    )
    kinds = [call["kind"] for call in sandbox.order("relograde", order["order_id"])["calls"]]
    assert kinds == ["confirm", "find", "confirm"]
    assert fleet.command("dead-letters", "list") == []


def test_a_wrong_key_holds_the_lane(sandbox: Sandbox, fleet: Fleet, ledger: Ledger) -> None:
    """Invariant 7: with a wrong key no order dies, one probe at a time goes out; with the right one
    all go on.
    """
    sandbox.settings({"relograde": {"key_valid": False}})
    fleet.start()
    orders = [fleet.confirm(sandbox.create("relograde", "finished")) for _ in range(10)]
    other = fleet.confirm(sandbox.create("logitrail", "confirmed"))
    assert ended(ledger, [other]) == {other["order_id"]: "confirmed"}
    wait_for(
        lambda: ledger.client.hget("countersign:{relograde}:lane:-", "probes") == "2",
        "the second probe",
    )
    lane = fleet.command("orders", "stats")["lanes"]["relograde"]
    assert (lane["held"], lane["cause"]) == (True, "unauthorized")
    sandbox.settings({"relograde": {"key_valid": True}})
    assert set(ended(ledger, orders).values()) == {"confirmed"}


def test_a_held_lane_spends_nothing_but_probes(tmp_path: Path, server: EmbeddedRedis) -> None:
    """One of two keys is wrong: its lane spends one probe an interval, the other lane goes on; then
    all by deadline.
    """
    keys = {"a": "sandbox-key", "b": "other-key"}
    environment = {"RELOGRADE_ACCOUNTS": "a,b", "RELOGRADE_MAX_IN_FLIGHT": "1"}
    environment |= {f"RELOGRADE_API_KEY_{name.upper()}": key for name, key in keys.items()}
    initial = {"relograde": {**UNLIMITED, "invalid_keys": ["key-1"]}, "logitrail": UNLIMITED}
    with Sandbox(
        seed=1, doors=True, relograde_keys=tuple(keys.values()), initial=initial
    ) as sandbox:
        url = server.url.rsplit("/", 1)[0] + "/3"
        running = Fleet(tmp_path, url, {**supplier_environment(sandbox), **environment})
        running.environment.pop("RELOGRADE_API_KEY")
        ledger = Ledger(url)
        ledger.client.flushdb()
        try:
            running.start(2)
            orders: dict[str, list[dict[str, Any]]] = {name: [] for name in keys}
            for age in (0, 300, 100, 200):
                for name, key in keys.items():
                    made = sandbox.create("relograde", "finished", account_key=key, age_seconds=age)
                    orders[name].append(running.confirm(made, account=name))
            assert set(ended(ledger, orders["b"]).values()) == {"confirmed"}
            lane = "countersign:{relograde}:lane:a"
            wait_for(lambda: int(ledger.client.hget(lane, "probes") or 0) >= 4, "the fourth probe")
            only_probes(sandbox.books(), int(ledger.client.hget(lane, "probes")))
            sandbox.settings({"relograde": {"invalid_keys": []}})
            assert set(ended(ledger, orders["a"]).values()) == {"confirmed"}
            names = [order["order_id"] for order in orders["a"]]
            done = [name for name in confirms(sandbox, status=200) if name in names]
            # The probe that got through may have been an order, and then any of them.
            assert done[1:] == [name for name in by_deadline(orders["a"]) if name != done[0]]
        finally:
            ledger.client.close()
            running.stop()


def only_probes(books: dict[str, Any], probes: int) -> None:
    """One order met the wrong key; since then one call an interval, two of three for the
    accounts.
    """
    calls, kinds = sorted(books["calls_per_key"]["key-1"]), books["kinds_per_key"]["key-1"]
    assert len(calls) <= 1 + probes + 1, "one more may be under way"
    gaps = [later - earlier for earlier, later in pairwise(calls)]
    assert all(
        gap >= interval for gap, interval in zip(gaps, (0.3, 0.6, *[1.0] * len(gaps)), strict=False)
    )
    assert kinds["confirm"] <= 1 + -(-probes // 3)
    assert kinds["account"] >= 2


def by_deadline(orders: list[dict[str, Any]]) -> list[str]:
    """Order ids, the earliest creation first."""
    return [order["order_id"] for order in sorted(orders, key=lambda order: order["created_at"])]


def confirms(sandbox: Sandbox, status: int | None = None) -> list[str]:
    """The orders that Relograde got a confirm for, or answered one with `status`, in the order of
    the calls.
    """
    calls = [
        (call, entry["order_id"]) for entry in sandbox.books()["orders"] for call in entry["calls"]
    ]
    calls = [
        (call, name)
        for call, name in calls
        if call["kind"] == "confirm" and status in (None, call["status"])
    ]
    return [name for _, name in sorted(calls, key=lambda one: one[0]["at"])]


def a_minute_later(ledger: Ledger) -> None:
    """The last look at the accounts was made long ago, so that the next one may be made now."""
    ledger.client.hset("countersign:{relograde}:lane_call:-:account", "at", 0)
    if ledger.client.hexists("countersign:{relograde}:lane:-", "look_at"):
        ledger.client.hset("countersign:{relograde}:lane:-", "look_at", 0)


def letters_of(orders: list[dict[str, Any]], ledger: Ledger) -> bool:
    """All of them have died for want of money.

    Those that came after the last look wait for the next one.
    """
    a_minute_later(ledger)
    return all(
        ledger.end("relograde", order["order_id"]) == "dead insufficient_balance"
        for order in orders
    )


def run_out(sandbox: Sandbox, fleet: Fleet, ledger: Ledger) -> list[dict[str, Any]]:
    """The balance runs out: one order is refused, five more come and die of it without a call."""
    sandbox.settings({"relograde": {"balance": {"EUR": "29.99"}}})
    ages = (0, 400, 100, 300, 200, 500)
    first, *others = [
        sandbox.create("relograde", "finished", amount="30", age_seconds=age) for age in ages
    ]
    fleet.confirm(first, amount="30", currency="EUR")
    assert ended(ledger, [first]) == {first["order_id"]: "dead insufficient_balance"}
    for order in others:
        fleet.confirm(order, amount="30.00", currency="eur")
    wait_for(lambda: letters_of(others, ledger), "the others are dead")
    assert confirms(sandbox) == [first["order_id"]], "the supplier has seen nothing of the others"
    return [first, *others]


def test_a_balance_that_comes_back_pays_by_deadline(
    sandbox: Sandbox, fleet: Fleet, ledger: Ledger
) -> None:
    """RELOGRADE_REQUEUE_ON_FUNDS: four of six can be paid, the earliest deadlines are; then the
    others.
    """
    fleet.environment |= {"RELOGRADE_REQUEUE_ON_FUNDS": "on", "RELOGRADE_MAX_IN_FLIGHT": "1"}
    fleet.start(2)
    orders = run_out(sandbox, fleet, ledger)
    first, wanted = orders[0]["order_id"], by_deadline(orders)
    sandbox.top_up(EUR="100.00")

    def paid(number: int) -> bool:
        a_minute_later(ledger)
        return (
            sum(ledger.end("relograde", order_id) == "confirmed" for order_id in wanted) == number
        )

    wait_for(lambda: paid(4), "four are confirmed")
    assert confirms(sandbox) == [first, *wanted[:4]]
    assert {ledger.end("relograde", order_id) for order_id in wanted[4:]} == {
        "dead insufficient_balance"
    }
    sandbox.top_up(EUR="100.00")
    wait_for(lambda: paid(6), "all are confirmed")
    assert confirms(sandbox) == [first, *wanted]
    judge(sandbox, ledger)


def test_without_the_switch_they_wait_for_a_person(
    sandbox: Sandbox, fleet: Fleet, ledger: Ledger
) -> None:
    """Invariant 8: the balance is back, new orders are paid, and the letters stay until somebody
    requeues them.
    """
    fleet.start(2)
    orders = run_out(sandbox, fleet, ledger)
    sandbox.top_up(EUR="1000.00")
    later = fleet.confirm(
        sandbox.create("relograde", "finished", amount="30"), amount="30", currency="EUR"
    )

    def paid() -> bool:
        a_minute_later(ledger)
        return ledger.end("relograde", later["order_id"]) == "confirmed"

    wait_for(paid, "a new order is paid")
    assert letters_of(orders, ledger)
    [lane] = [lane for lane in fleet.command("lanes", "show") if lane["lane"] == "relograde"]
    assert lane["balances"]["EUR"]["amount"] == "999.99"
    fleet.command("dead-letters", "requeue", "--reason", "insufficient_balance")
    assert set(ended(ledger, orders).values()) == {"confirmed"}
    judge(sandbox, ledger)


def calls(sandbox: Sandbox, orders: list[dict[str, Any]]) -> dict[str, int]:
    """How many calls each kind had, a page as one."""
    ours = {order["order_id"] for order in orders}
    booked = [entry["calls"] for entry in sandbox.books()["orders"] if entry["order_id"] in ours]
    pages = {call["at"] for entry in booked for call in entry if call["kind"] == "list"}
    return {
        "find": sum(call["kind"] == "find" for entry in booked for call in entry),
        "list": len(pages),
    }


def test_pages_answer_for_pending_orders(sandbox: Sandbox, fleet: Fleet, ledger: Ledger) -> None:
    """Pages stand for more looks than they cost; some reads bear them out; the books agree."""
    sandbox.settings({"relograde": {"defaults": {**QUICK, "finish_after": 5.0}}})
    fleet.environment["RELOGRADE_CALLS_PER_MINUTE"] = "600"
    fleet.start(2)
    orders = sandbox.create_many(
        [{"supplier": "relograde", "behaviour": "pending"} for _ in range(30)]
    )
    assert set(ended(ledger, [fleet.confirm(order) for order in orders]).values()) == {"confirmed"}
    judge(sandbox, ledger)
    told_once_in_order(ledger, orders)
    nothing_secret(fleet, ledger)
    booked = calls(sandbox, orders)
    assert booked["list"] >= 2
    assert booked["find"] >= 1
    # How many looks there are depends on how fast this machine is; the first answers the confirm.
    events = [event for order in orders for event in ledger.events(order["order_id"])]
    looks = sum(event in ("pending", "confirmed") for event in events) - len(orders)
    assert booked["find"] + booked["list"] < looks, booked
    [lane] = [row for row in fleet.command("lanes", "show") if row["lane"] == "relograde"]
    assert lane["pages"] == "on"


def test_a_list_that_lies_is_found_out_and_not_used_again(
    sandbox: Sandbox, fleet: Fleet, ledger: Ledger
) -> None:
    """It shows every end as pending; each sixth look is a read, which a later page denies.

    All orders end right.
    """
    sandbox.settings(
        {"relograde": {"list_stuck": True, "defaults": {**QUICK, "finish_after": 2.0}}}
    )
    fleet.environment["RELOGRADE_CALLS_PER_MINUTE"] = "600"
    fleet.start(2)
    orders = sandbox.create_many(
        [{"supplier": "relograde", "behaviour": "pending"} for _ in range(20)]
    )
    assert set(ended(ledger, [fleet.confirm(order) for order in orders], 90.0).values()) == {
        "confirmed"
    }
    judge(sandbox, ledger)

    def lane() -> dict[str, Any]:
        return next(row for row in fleet.command("lanes", "show") if row["lane"] == "relograde")

    # Until an end that is five seconds old is shown on a page as pending; others keep the pages
    # coming.
    more: list[dict[str, Any]] = []

    def found_out() -> dict[str, Any] | None:
        batch = sandbox.create_many(
            [{"supplier": "relograde", "behaviour": "pending"} for _ in range(8)]
        )
        more.extend(fleet.confirm(order) for order in batch)
        assert set(ended(ledger, batch, 90.0).values()) == {"confirmed"}
        return (
            lane() if ledger.client.hexists("countersign:{relograde}:lane:-", "pages_off") else None
        )

    found = wait_for(found_out, "the list is found out", 120.0)
    assert "a page says pending, it was confirmed before" in found["pages_note"]
    assert fleet.log().count('"event": "pages_contradicted"') == 1
    before = calls(sandbox, [*orders, *more])["list"]
    last = sandbox.create_many(
        [{"supplier": "relograde", "behaviour": "pending"} for _ in range(8)]
    )
    assert set(ended(ledger, [fleet.confirm(order) for order in last]).values()) == {"confirmed"}
    assert calls(sandbox, [*orders, *more, *last])["list"] == before
    assert fleet.command("lanes", "pages", "relograde", "on") == {
        "lane": "relograde",
        "pages": "on",
    }
    assert (lane()["pages"], lane()["pages_note"]) == ("on", None)


def test_redis_goes_away_and_comes_back(tmp_path: Path, sandbox: Sandbox) -> None:
    """Redis down at the start and in the middle: the worker says so and goes on by itself; nothing
    is lost.
    """
    with EmbeddedRedis(tmp_path / "redis", own=True) as server:
        url = server.url
        server.stop()
        running = Fleet(tmp_path, url, supplier_environment(sandbox))
        ledger = Ledger(url)
        try:
            running.start()
            wait_for(
                lambda: "Trying again" in running.log() or "rror" in running.log(),
                "the worker says so",
            )
            server.start()
            first = [running.confirm(sandbox.create("relograde", "pending")) for _ in range(5)]
            wait_for(
                lambda: all(ledger.order("relograde", o["order_id"]) for o in first),
                "all are accepted",
            )
            server.kill()
            wait_for(lambda: "ledger_unreachable" in running.log(), "the worker says so")
            server.start()
            second = [running.confirm(sandbox.create("logitrail", "confirmed")) for _ in range(5)]
            assert set(ended(ledger, first + second, 120).values()) == {"confirmed"}
            assert running.workers[0].poll() is None
            judge(sandbox, ledger)
        finally:
            ledger.client.close()
            running.stop()
