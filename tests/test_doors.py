"""The doors: what becomes of each message, good or bad.

The supplier is one that records, and no socket is open.
"""

import json
import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import fakeredis
import pytest
from conftest import RETRY, START, an_order, make_ledger

from schemas.lane import Lane
from schemas.messages import DOORS
from schemas.order import REASONS
from worker.dead_letters import DeadLetters
from worker.ledger.messages import Messages
from worker.ledger.outbox import Outbox
from worker.ledger.reads.views import Views
from worker.process.logs import JsonFormatter
from worker.rules.answers import Blocked, Confirmed, Line, Pending, Rejected, Unknown
from worker.settings import load
from worker.turns.executor import Executor
from worker.web_app.doors import Doors
from worker.web_app.refusals import MASK

TRX = "T-1"
HEX = "5499362b1fb35e73548b45af"
SECRET_STREET = "Secret Street 5"
DETAILS = {"customer": {"address": SECRET_STREET}}
LANES = (Lane("relograde"), Lane("relograde", "a"), Lane("logitrail"))
DONE = Confirmed(lines=(Line("t", "finished", deliverable=True),))


class Supplier:
    """Speaks as the clients of worker.suppliers do, and remembers what it was asked."""

    def __init__(self):
        self.calls = []
        self.answers = {"confirm": Unknown("read timeout"), "find": Unknown("read timeout")}

    def confirm(self, order_id, gate, host=0, details=None):
        self.calls.append(("confirm", order_id, host, details))
        gate.sent_at = gate.opened_at
        return self.answers["confirm"]

    def find(self, order_id, gate):
        self.calls.append(("find", order_id))
        return self.answers["find"]


class Shop:
    """The doors with all that is behind them, on a clock that a test moves."""

    def __init__(self, client, policies, clock, settings):
        self.clock = clock
        self.ledger = make_ledger(client, policies, clock)
        self.messages = Messages(self.ledger.scripts, ("task",), 30 * 86400.0)
        self.outbox = Outbox(self.ledger.scripts, ("task",), RETRY)
        self.views = Views(self.ledger.shelf, LANES)
        self.letters = DeadLetters(self.ledger, self.messages, self.outbox, self.views)
        self.supplier = Supplier()
        clients = dict.fromkeys(LANES, self.supplier)
        self.executor = Executor(self.ledger, policies, clients, jitter=lambda: 0.0)
        self.doors = Doors(
            settings, self.ledger, self.messages, self.outbox, self.executor, self.accept
        )

    def send(self, door, *args, **kwargs):
        """As it comes out of the broker."""
        return self.doors.receive(door, args, kwargs)

    def confirm(self, **changed):
        return self.send("orders.confirm", **confirm(**changed))

    def order(self, supplier="relograde", order_id=TRX):
        return self.views.order(supplier, order_id)

    def look(self, supplier="relograde", account=None):
        """Does what the dispatcher and a worker would do now."""
        picked = self.ledger.dispatch(Lane(supplier, account), 10).picked
        return [self.executor.step(supplier, order_id) for order_id in picked]

    def accept(self, order, details):
        """The first step is made before the message is done with."""
        opened, step = self.executor.open(order, details)
        if step:
            step()
        return opened

    def told(self):
        """What goes out to the web app from now on, each once, in the order in which it was first
        sent.
        """
        bodies = {}
        for _ in range(4):
            for delivery in self.outbox.take("task", 100, 30.0, 0.0):
                self.outbox.later(delivery)
                bodies.setdefault(delivery.body["id"], delivery.body)
            self.clock.advance(31)
        return list(bodies.values())


def at(offset):
    """A time as the web app writes it, `offset` seconds from the clock's beginning."""
    return (datetime.fromtimestamp(START, UTC) + timedelta(seconds=offset)).isoformat()


def confirm(**changed):
    message = {
        "supplier": "relograde",
        "order_id": TRX,
        "reference": "shop-1",
        "created_at": at(-60),
        **changed,
    }
    if message["supplier"] == "logitrail":
        message = {
            **message,
            "order_id": changed.get("order_id", HEX),
            "created_at": changed.get("created_at"),
        }
    return message


def types(bodies):
    return [body["type"] for body in bodies]


@pytest.fixture
def shop(policies, clock, environment):
    environment.setenv("RELOGRADE_ACCOUNTS", "a")
    environment.setenv("RELOGRADE_API_KEY", "key")
    environment.setenv("RELOGRADE_API_KEY_A", "key-a")
    connection = fakeredis.FakeRedis(decode_responses=True)
    yield Shop(connection, policies, clock, load())
    connection.close()


@pytest.fixture
def lines(caplog):
    """Every line that was logged, as it would be written."""
    caplog.set_level(logging.DEBUG)
    return lambda: "\n".join(JsonFormatter().format(record) for record in caplog.records)


# --- confirm --------------------------------------------------------------------------------------


def test_an_accepted_order_takes_its_first_step_at_once(shop):
    """The lane is free, so nobody waits for a dispatch."""
    shop.supplier.answers["confirm"] = DONE
    assert shop.confirm(amount=12.5, currency="eur", account="a") == "opened"
    assert shop.supplier.calls == [("confirm", TRX, 0, None)]
    order = shop.order()
    assert (order.state, order.account, order.amount, order.currency) == (
        "confirmed",
        "a",
        "12.5",
        "EUR",
    )
    assert order.deadline_at == START - 60 + 86400
    assert types(shop.told()) == ["order.accepted", "order.confirmed"]


def test_a_held_lane_takes_no_first_step(shop):
    """The order is accepted all the same."""
    shop.ledger.hold(Lane("relograde"), "maintenance")
    assert shop.confirm() == "opened"
    assert shop.supplier.calls == []
    assert shop.order().state == "accepted"


@pytest.mark.parametrize(
    "state", ["accepted", "submitted", "pending", "confirmed", "dead", "withdrawn"]
)
def test_a_repeat_changes_nothing_and_tells_the_same_again(shop, state):
    """Acceptance and the latest outcome go out once more, with the same ids, whatever became of the
    order.
    """
    supplier = shop.supplier
    match state:
        case "accepted" | "withdrawn":
            shop.ledger.hold(Lane("relograde"), "maintenance")
        case "pending":
            supplier.answers["confirm"] = Pending(lines=(Line("t", "pending"),))
        case "confirmed":
            supplier.answers["confirm"] = DONE
    shop.confirm(created_at=at(-86400) if state == "dead" else at(-60))
    if state == "withdrawn":
        shop.send("orders.withdraw", supplier="relograde", order_id=TRX)
    before, calls, told = shop.order(), list(supplier.calls), shop.told()
    assert before.state == state
    for body in told:
        shop.send("outcomes.acknowledge", id=body["id"])
    assert shop.told() == []
    assert shop.confirm(created_at=at(-5), amount=99, details=None) == "known"
    assert shop.order() == before
    assert supplier.calls == calls
    again = shop.told()
    assert [body["id"] for body in again] == list(dict.fromkeys([told[0]["id"], told[-1]["id"]]))
    assert all(body in told for body in again)


@pytest.mark.parametrize(
    "changed",
    [
        {"reference": "shop-2"},
        pytest.param(
            {"account": "a"},
        ),
        {"reference": "shop-2", "account": "a"},
    ],
)
def test_a_conflicting_request_leaves_the_first_order_alone(shop, changed):
    """It is kept whole as a letter of its own, and told under that letter's key: not as the first
    order's death.
    """
    shop.confirm()
    before, told = shop.order(), shop.told()
    assert shop.confirm(**changed) == "conflicting_request"
    assert shop.order() == before
    [letter] = shop.views.letters()
    assert (letter["key"], letter["reason"], letter["count"]) == (
        "message/1",
        "conflicting_request",
        1,
    )
    assert letter["detail"].startswith(next(iter(changed)))
    assert shop.letters.show("message/1")["body"]["kwargs"] == confirm(**changed)
    [body] = [body for body in shop.told() if body["id"] not in {one["id"] for one in told}]
    assert body["type"] == "order.dead_lettered"
    data = body["data"]
    assert (data["key"], data["state"], data["sequence"]) == ("message/1", None, None)
    assert data["reference"] == changed.get("reference", "shop-1")
    assert (data["supplier"], data["order_id"], data["reason"]) == (
        "relograde",
        TRX,
        "conflicting_request",
    )


def test_the_body_of_a_conflict_names_the_order_whatever_came_of_it(shop):
    """Also long after the first order has ended."""
    shop.supplier.answers["confirm"] = DONE
    shop.confirm()
    shop.clock.advance(86400)
    assert shop.confirm(reference="other", created_at=at(86000)) == "conflicting_request"
    assert shop.order().state == "confirmed"


@pytest.mark.parametrize(
    ("ahead", "result", "created"),
    [
        (-1, "opened", START - 1),
        (0, "opened", START),
        (1, "opened", START),
        (300, "opened", START),
        (300.001, "invalid_message", None),
        (301, "invalid_message", None),
        (86400, "invalid_message", None),
    ],
)
def test_a_creation_a_little_ahead_counts_as_now(shop, ahead, result, created):
    """Clocks differ by up to five minutes; a time beyond that is no creation, and names its
    field.
    """
    assert shop.confirm(created_at=at(ahead)) == result
    if created is None:
        assert shop.order() is None
        assert shop.views.letters()[0]["detail"].startswith("created_at: ")
    else:
        assert shop.order().created_at == created


@pytest.mark.parametrize(
    ("age", "state", "calls"),
    [
        (86400 - 31, "submitted", 1),
        (86400 - 30, "submitted", 1),
        (86400 - 29, "dead", 0),
        (90000, "dead", 0),
    ],
)
def test_an_order_past_its_last_safe_moment_dies_without_a_call(shop, age, state, calls):
    """It was accepted, so it is the order that dies, and not the message."""
    assert shop.confirm(created_at=at(-age)) == "opened"
    order = shop.order()
    assert order.state == state
    assert len(shop.supplier.calls) == calls
    if state == "dead":
        [letter] = shop.views.letters("deadline_missed")
        assert letter["key"] == f"relograde/{TRX}"
        assert types(shop.told()) == ["order.accepted", "order.dead_lettered"]


def test_an_order_past_its_deadline_dies_also_in_a_held_lane(shop):
    """A person's hold does not move a deadline."""
    shop.ledger.hold(Lane("relograde"), "maintenance")
    shop.confirm(created_at=at(-90000))
    shop.look()
    assert (shop.order().state, shop.order().reason) == ("dead", "deadline_missed")
    assert shop.supplier.calls == []


# --- bad input ------------------------------------------------------------------------------------

BAD = [
    ("orders.confirm", confirm(supplier="amazon"), "supplier"),
    ("orders.confirm", confirm(order_id="a b"), "order_id"),
    ("orders.confirm", confirm(created_at=None), "created_at"),
    ("orders.confirm", confirm(created_at="2027-01-15T08:00:00"), "created_at"),
    ("orders.confirm", confirm(account="unknown"), "account"),
    ("orders.confirm", confirm(supplier="logitrail", account="a"), "account"),
    ("orders.confirm", confirm(amount=True), "amount"),
    ("orders.confirm", confirm(retail_price=12), "retail_price"),
    ("orders.confirm", confirm(supplier="logitrail", details={"note": "x" * 2_000_000}), "details"),
    ("orders.hint", {"supplier": "relograde"}, "order_id"),
    ("orders.withdraw", {"supplier": "logitrail", "order_id": TRX}, "order_id"),
    ("webhooks.relograde", {}, "payload"),
    ("webhooks.relograde", {"payload": 5}, "payload"),
    ("webhooks.logitrail", {"payload": [{"event_type": "order.shipped"}]}, "payload"),
    ("outcomes.acknowledge", {"id": "nonsense"}, "id"),
    ("outcomes.acknowledge", {"id": "relograde.T.-1"}, "id"),
    ("outcomes.acknowledge", {"id": 7}, "id"),
]


@pytest.mark.parametrize(("door", "message", "field"), BAD)
def test_bad_input_becomes_a_letter_that_names_the_field(shop, door, message, field):
    """Whole, and once: nothing is called, nothing is opened, nothing raises."""
    assert shop.send(door, **message) == "invalid_message"
    [letter] = shop.views.letters()
    assert letter["reason"] == "invalid_message"
    assert letter["detail"].split(":")[0].split(".")[0] == field
    body = shop.letters.show(letter["key"])["body"]
    assert body["task"] == door
    assert {
        name: value for name, value in body["kwargs"].items() if name in DOORS[door]().fields
    } == {name: value for name, value in message.items() if name != "retail_price"}
    assert shop.supplier.calls == []
    assert sum(shop.views.stats()["states"].values()) == 0
    assert shop.confirm(order_id="T-good") == "opened"


@pytest.mark.parametrize(
    ("door", "payload"),
    [("webhooks.relograde", 5), ("webhooks.logitrail", "x"), ("webhooks.logitrail", [{}] * 101)],
)
def test_a_payload_that_is_wrong_as_a_whole_is_named_payload(shop, door, payload):
    """There is no field `payload.message`."""
    shop.send(door, payload=payload)
    assert shop.views.letters()[0]["detail"].startswith("payload: ")


def test_a_flood_of_one_bad_message_is_one_letter_with_a_count(shop):
    """And one outcome, told again with the same id; another body is another letter."""
    for _ in range(40):
        shop.confirm(amount="ten")
    [letter] = shop.views.letters()
    assert (letter["key"], letter["count"]) == ("message/1", 40)
    assert len({body["id"] for body in shop.told()}) == 1
    shop.confirm(amount="eleven")
    assert [letter["count"] for letter in shop.views.letters()] == [40, 1]
    assert shop.views.stats()["dead_letters"] == {"invalid_message": 2}


def test_a_resolved_letter_does_not_swallow_the_same_message_later(shop):
    """The next one opens a letter of its own; the first one's body is gone."""
    shop.confirm(amount="ten")
    assert shop.letters.resolve("message/1", "told them") is None
    assert shop.letters.show("message/1") is None
    shop.confirm(amount="ten")
    [letter] = shop.views.letters()
    assert (letter["key"], letter["count"]) == ("message/2", 1)
    assert (
        shop.ledger.scripts.client.hget(shop.ledger.scripts.key("messages", "order", "1"), "body")
        is None
    )


def test_a_refused_message_is_not_requeued_but_sent_again(shop):
    """Nobody knows what its sender meant."""
    shop.confirm(amount="ten")
    assert "send it again" in shop.letters.requeue("message/1")
    assert len(shop.views.letters()) == 1


def test_a_refused_message_that_named_an_order_is_told(shop):
    """Under the letter's key, with neither state nor sequence; one that names none is told to
    nobody.
    """
    shop.confirm(amount="ten")
    shop.send("outcomes.acknowledge", id="nonsense")
    shop.confirm(order_id=5)
    [body] = shop.told()
    assert body["type"] == "order.dead_lettered"
    assert (body["data"]["key"], body["data"]["reference"]) == ("message/1", "shop-1")
    assert (body["data"]["state"], body["data"]["sequence"]) == (None, None)


def test_the_values_of_unknown_fields_are_masked(shop, lines):
    """Nobody knows what they are; the known ones are kept."""
    shop.confirm(card_number="4111111111111111", nested={"pin": "1234"})
    shop.send("outcomes.acknowledge", id="x", token="hunter2")
    kept = json.dumps([shop.letters.show(letter["key"]) for letter in shop.views.letters()])
    stored = str(
        [
            shop.ledger.scripts.client.hgetall(key)
            for key in shop.ledger.scripts.client.keys("*order*")
        ]
    )
    for secret in ("4111111111111111", "1234", "hunter2"):
        assert secret not in kept + stored + lines()
    assert shop.letters.show("message/1")["body"]["kwargs"] == {
        **confirm(),
        "card_number": MASK,
        "nested": MASK,
    }


def test_details_are_shown_in_no_list_and_no_log(shop, lines):
    """Personal data: neither of an order, nor of a refused message, nor in what the web app is
    told.
    """
    shop.confirm(supplier="logitrail", details=DETAILS)
    shop.confirm(supplier="logitrail", details=DETAILS, amount="ten")
    shop.confirm(supplier="logitrail", details=DETAILS, reference="other")
    shop.confirm(details=DETAILS)
    shown = [
        shop.views.letters(),
        shop.views.show("logitrail", HEX),
        shop.views.stats(),
        shop.told(),
    ]
    assert len(shown[0]) == 3
    assert SECRET_STREET not in json.dumps(shown) + lines()
    assert "message_refused" in lines()


def test_details_leave_the_ledger_when_their_order_ends_or_their_letter_is_resolved(shop):
    """Until then they are kept, whole."""
    client = shop.ledger.scripts.client
    everything = lambda: str([(k, client.type(k), client.dump(k)) for k in client.keys("*")])  # noqa: E731
    shop.confirm(supplier="logitrail", details=DETAILS)
    assert shop.supplier.calls == [("confirm", HEX, 0, DETAILS)]
    details = shop.ledger.scripts.key("logitrail", "details", HEX)
    assert json.loads(client.get(details)) == DETAILS
    shop.send("webhooks.logitrail", payload=event("confirmed"))
    assert shop.order("logitrail", HEX).state == "confirmed"
    assert client.get(details) is None
    shop.confirm(supplier="logitrail", details=DETAILS, amount="ten")
    [letter] = shop.views.letters()
    assert shop.letters.show(letter["key"])["body"]["kwargs"]["details"] == DETAILS
    shop.letters.resolve(letter["key"], "done")
    assert SECRET_STREET not in everything()


POISON = [
    ({"reference": "\ud800"}, "reference"),
    ({"card\ud800": 1}, "card"),
]


@pytest.mark.parametrize(("changed", "field"), POISON)
def test_text_that_the_ledger_cannot_hold_is_a_letter_too(shop, changed, field):
    r"""`"\ud800"` passes Python's JSON reader; the door must not raise for bad input."""
    assert shop.confirm(**changed) == "invalid_message"
    assert shop.views.letters()[0]["detail"].startswith(field)


@pytest.mark.parametrize("value", [Decimal("1.5"), datetime(2027, 1, 15, tzinfo=UTC)])
def test_details_with_a_decimal_are_accepted_or_refused_but_not_lost(shop, value):
    """A Python web app sends its prices so, and Celery's JSON gives them back as Decimals."""
    result = shop.confirm(supplier="logitrail", details={"unit_price": value})
    assert shop.order("logitrail", HEX) is not None or result in REASONS


def test_positional_arguments_are_refused_as_such(shop):
    """Also on a door whose keyword arguments are right."""
    assert shop.send("orders.confirm", "relograde", **confirm()) == "invalid_message"
    assert shop.views.letters()[0]["detail"].startswith("args: ")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((("relograde", "T-1", "shop-1"), {}), (("relograde", "T-2", "shop-2"), {})),
        (((), confirm(note="a")), ((), confirm(note="b"))),
    ],
)
def test_different_bad_messages_are_different_letters(shop, one, other):
    """Only the same body again adds to the count (docs/contract.md)."""
    for args, kwargs in (one, other):
        shop.send("orders.confirm", *args, **kwargs)
    assert len(shop.views.letters()) == 2


def test_a_deeply_nested_document_is_not_an_accident(shop):
    """As deep as Python's own reader lets through."""
    depth = 400
    shop.confirm(supplier="logitrail", details=json.loads('{"a":' * depth + "1" + "}" * depth))
    assert shop.order("logitrail", HEX) is not None


# --- hint, withdraw -------------------------------------------------------------------------------


def test_a_hint_makes_a_waiting_order_due_at_once(shop):
    """The next re-check was 15 s away."""
    shop.supplier.answers = {"confirm": Pending(lines=(Line("t", "pending"),)), "find": DONE}
    shop.confirm()
    assert shop.look() == []
    assert shop.send("orders.hint", supplier="relograde", order_id=TRX) == "due"
    assert shop.look() == ["confirmed"]
    assert shop.supplier.calls == [("confirm", TRX, 0, None), ("find", TRX)]


def test_a_hint_for_a_dead_order_makes_one_read(shop):
    """And what it proves ends the order; the deadline does not undo it."""
    shop.confirm(created_at=at(-90000))
    assert shop.order().state == "dead"
    shop.supplier.answers["find"] = DONE
    shop.send("orders.hint", supplier="relograde", order_id=TRX)
    shop.look()
    assert shop.supplier.calls == [("find", TRX)]
    assert shop.order().state == "confirmed"
    assert shop.views.letters() == []


@pytest.mark.parametrize(
    "door",
    [
        "orders.hint",
        "webhooks.relograde",
        pytest.param(
            "webhooks.logitrail",
        ),
    ],
)
def test_what_names_an_unknown_order_is_logged_and_dropped(shop, lines, door):
    """No letter, no order, no call."""
    message = {
        "orders.hint": {"supplier": "relograde", "order_id": "T-9"},
        "webhooks.relograde": {"payload": {"event": "ORDER_FINISHED", "data": {"trx": "T-9"}}},
        "webhooks.logitrail": {"payload": event("confirmed")},
    }[door]
    shop.send(door, **message)
    assert '"event": "hint"' in lines() or '"event": "webhook"' in lines()
    assert (shop.views.letters(), shop.supplier.calls) == ([], [])
    assert sum(shop.views.stats()["states"].values()) == 0


def test_a_withdraw_before_its_confirm_is_remembered(shop):
    """The confirm that comes later ends as withdrawn, without a call, and is told."""
    assert (
        shop.send("orders.withdraw", supplier="relograde", order_id=TRX)
        == "withdrawn_before_confirm"
    )
    assert shop.confirm() == "withdrawn"
    assert (shop.order().state, shop.supplier.calls) == ("withdrawn", [])
    assert types(shop.told()) == ["order.accepted", "order.withdrawn"]
    assert shop.confirm() == "known"
    assert shop.order().state == "withdrawn"


def test_a_withdraw_takes_back_what_was_not_sent(shop):
    """Also when it is dead, and twice is harmless."""
    shop.ledger.hold(Lane("relograde"), "maintenance")
    shop.confirm()
    shop.confirm(order_id="T-dead", created_at=at(-90000))
    shop.look()
    for order_id in (TRX, "T-dead"):
        assert shop.send("orders.withdraw", supplier="relograde", order_id=order_id) == "withdrawn"
        assert (
            shop.send("orders.withdraw", supplier="relograde", order_id=order_id)
            == "withdrawn_again"
        )
        assert shop.order(order_id=order_id).state == "withdrawn"
    assert (shop.views.letters(), shop.supplier.calls) == ([], [])
    assert types(shop.told()).count("order.withdrawn") == 2


@pytest.mark.parametrize(
    "answer", [Unknown("read timeout"), Pending(lines=(Line("t", "pending"),)), DONE]
)
def test_a_withdraw_that_comes_too_late_is_told_so(shop, answer):
    """Something was, or may have been, sent; the order stays as it is."""
    shop.supplier.answers["confirm"] = answer
    shop.confirm()
    state = shop.order().state
    assert shop.send("orders.withdraw", supplier="relograde", order_id=TRX) == "withdraw_refused"
    assert shop.order().state == state
    last = shop.told()[-1]
    assert (last["type"], last["data"]["reason"], last["data"]["state"]) == (
        "order.updated",
        "withdraw_refused",
        state,
    )


def test_a_withdraw_after_an_attempt_without_effect_is_possible(shop):
    """Blocked means that this confirm did nothing."""
    shop.supplier.answers["confirm"] = Blocked("unverified")
    shop.confirm()
    assert shop.order().attempts == 1
    assert shop.send("orders.withdraw", supplier="relograde", order_id=TRX) == "withdrawn"


# --- webhooks -------------------------------------------------------------------------------------


def event(status="confirmed", order_id=HEX, kind="order.info.change", **order):
    return {
        "event_id": "e-1",
        "webhook_id": "w-1",
        "event_type": kind,
        "ts": "2027-01-15T08:00:00.000Z",
        "payload": {"order": {"id": order_id, "status": status, **order}},
    }


TRACKED = {"tracking_code": "JJFI1", "tracking_url": "https://track.example/JJFI1"}


@pytest.mark.parametrize(
    ("payload", "state", "code"),
    [
        (event("confirmed", **TRACKED), "confirmed", "JJFI1"),
        ([event("confirmed", **TRACKED)], "confirmed", "JJFI1"),
        (
            [event("confirmed", order_id="f" * 24), event("processed", **TRACKED)],
            "confirmed",
            "JJFI1",
        ),
        (event("", kind="order.shipped", **TRACKED), "confirmed", "JJFI1"),
        (event("cancelled"), "cancelled", None),
        (event("deleted"), "cancelled", None),
        (event("draft"), "submitted", None),
        ({"event_type": "product.inventory.change", "payload": {"anything": 1}}, "submitted", None),
        ([], "submitted", None),
    ],
)
def test_a_webhook_of_logitrail_is_proof(shop, payload, state, code):
    """One event or a list; the order's confirm had no usable answer."""
    shop.confirm(supplier="logitrail")
    assert shop.order("logitrail", HEX).state == "submitted"
    shop.send("webhooks.logitrail", payload=payload)
    order = shop.order("logitrail", HEX)
    assert (order.state, order.tracking_code) == (state, code)
    assert len(shop.supplier.calls) == 1


def test_a_webhook_twice_is_told_once(shop):
    """Suppliers repeat theirs, up to a hundred in one list."""
    shop.confirm(supplier="logitrail")
    for _ in range(2):
        shop.send("webhooks.logitrail", payload=[event(**TRACKED)] * 100)
    assert types(shop.told()) == ["order.accepted", "order.confirmed"]


@pytest.mark.parametrize(
    "odd",
    [
        {"event_type": "order.shipped"},
        {"event_type": None},
        {"event_type": "order.shipped", "payload": {"order": {"id": 5}}},
        "text",
        None,
    ],
)
def test_a_malformed_event_does_not_spoil_the_good_ones_beside_it(shop, odd):
    """Their proof counts; the odd one alone is kept as a letter (core 10)."""
    shop.confirm(supplier="logitrail")
    payload = [odd, event(**TRACKED)]
    assert shop.send("webhooks.logitrail", payload=payload) == "invalid_message"
    assert shop.order("logitrail", HEX).state == "confirmed"
    [letter] = shop.views.letters("invalid_message")
    assert letter["detail"].startswith("payload.0")
    assert shop.letters.show("message/1")["body"]["kwargs"] == {"payload": [odd]}


@pytest.mark.parametrize(
    "data", [{"trx": TRX}, {"trx": TRX, "orderStatus": "finished", "items": []}]
)
def test_a_webhook_of_relograde_is_a_hint_and_proves_nothing(shop, data):
    """Whoever knows a trx could forge one: the order is read before anything is believed."""
    shop.supplier.answers = {"confirm": Pending(lines=(Line("t", "pending"),)), "find": Pending()}
    shop.confirm()
    shop.send("webhooks.relograde", payload={"event": "ORDER_FINISHED", "data": data})
    assert shop.order().state == "pending"
    assert shop.look() == ["pending"]
    assert shop.supplier.calls[-1] == ("find", TRX)


# --- acknowledge ----------------------------------------------------------------------------------


def test_an_outcome_is_told_until_it_is_acknowledged(shop):
    """A broker can lose a task, so the web app's word counts."""
    shop.ledger.hold(Lane("relograde"), "maintenance")
    shop.confirm()
    [first] = shop.told()
    shop.clock.advance(60)
    assert shop.told() == [first]
    assert shop.views.show("relograde", TRX)["outcome_delivered"] is False
    assert shop.send("outcomes.acknowledge", id=first["id"]) == "delivered"
    shop.clock.advance(600)
    assert shop.told() == []
    assert shop.views.show("relograde", TRX)["outcome_delivered"] is True
    assert shop.send("outcomes.acknowledge", id=first["id"]) == "gone"


@pytest.mark.parametrize("text", ["relograde.T-9.1", "messages.7.1", "relograde.T-1.99999999999"])
def test_an_acknowledgement_of_what_is_not_there_is_harmless(shop, text):
    """Late, doubled or forged."""
    shop.confirm()
    before = shop.order()
    assert shop.send("outcomes.acknowledge", id=text) == "gone"
    assert (shop.order(), shop.views.letters()) == (before, [])


@pytest.mark.parametrize(
    "text", ["", "relograde", "relograde..1", "amazon.T.1", "relograde.T.", "relograde.T.x"]
)
def test_an_acknowledgement_of_nonsense_is_refused(shop, text):
    """It names its field."""
    assert shop.send("outcomes.acknowledge", id=text) == "invalid_message"
    assert shop.views.letters()[0]["detail"].startswith("id: ")


def test_two_outcomes_of_one_moment_go_out_one_after_the_other(shop):
    """Order in order, and no waiting of half a minute between them."""
    shop.supplier.answers["confirm"] = DONE
    shop.confirm()
    seen = []
    for _ in range(10):
        for delivery in shop.outbox.take("task", 100, 30.0, 0.0):
            shop.outbox.later(delivery)
            seen.append(delivery.sequence)
        shop.clock.advance(0.2)
    assert seen == [1, 2]


# --- a person at a terminal -----------------------------------------------------------------------


def test_a_person_hears_the_fault_at_once_and_nothing_is_kept(shop):
    """`celery -A worker orders confirm` goes through the same checks; no first step is taken
    there.
    """
    assert shop.doors.check_in({**confirm(), "amount": "ten"}).startswith("refused: amount: ")
    assert shop.doors.check_in(confirm(account="nobody")).startswith("refused: account: ")
    assert shop.doors.check_in(confirm()) == "opened"
    assert shop.doors.check_in(confirm()) == "known"
    assert shop.doors.check_in(confirm(reference="other")).startswith("refused: ")
    assert (shop.views.letters(), shop.supplier.calls) == ([], [])


# --- holes that a flood of orders would find ------------------------------------------------------


def test_twenty_confirms_of_one_order_are_one_order_and_one_call(shop):
    """Harmless at any moment."""
    results = [shop.confirm() for _ in range(20)]
    assert results == ["opened"] + ["known"] * 19
    assert len(shop.supplier.calls) == 1
    assert shop.views.stats()["states"]["submitted"] == 1


def test_the_letters_of_orders_and_messages_stand_side_by_side(shop):
    """Oldest first, each under its own key."""
    shop.confirm(created_at=at(-90000))
    shop.clock.advance(1)
    shop.confirm(order_id="T-2", amount="ten")
    shop.clock.advance(1)
    shop.confirm(order_id="T-3", created_at=at(-90000))
    assert [letter["key"] for letter in shop.views.letters()] == [
        f"relograde/{TRX}",
        "message/1",
        "relograde/T-3",
    ]
    assert shop.views.stats()["states"]["dead"] == 2


# --- one order, one name (14) ---------------------------------------------------------------------

UPPER, MIXED = HEX.upper(), HEX[:12].upper() + HEX[12:]


def test_a_logitrail_order_is_one_in_any_letter_case(shop):
    """The same id in another case is a repeat, and not a second confirm (core 2)."""
    shop.supplier.answers["confirm"] = Confirmed(tracking_code="T")
    for spelling in (UPPER, HEX, MIXED):
        shop.confirm(supplier="logitrail", order_id=spelling)
    confirms = [call for call in shop.supplier.calls if call[0] == "confirm"]
    assert [call[1] for call in confirms] == [HEX.lower()]
    assert shop.confirm(supplier="logitrail", order_id=MIXED, reference="other") == (
        "conflicting_request"
    )


def test_webhook_withdraw_and_hint_find_it_in_any_letter_case(shop):
    """What is cancelled or withdrawn under one spelling is not confirmed under another."""
    shop.ledger.hold(Lane("logitrail"), "nothing is sent yet")
    shop.confirm(supplier="logitrail", order_id=UPPER)
    assert shop.send("orders.hint", supplier="logitrail", order_id=MIXED) == "due"
    assert shop.send("webhooks.logitrail", payload=event("cancelled", order_id=MIXED)) == "taken"
    assert shop.order("logitrail", HEX.lower()).state == "cancelled"
    other = "ABCDEF" * 4
    shop.confirm(supplier="logitrail", order_id=other)
    assert shop.send("orders.withdraw", supplier="logitrail", order_id=other.lower()) == "withdrawn"
    third = "FEDCBA" * 4
    assert shop.send("orders.withdraw", supplier="logitrail", order_id=third) == (
        "withdrawn_before_confirm"
    )
    assert shop.confirm(supplier="logitrail", order_id=third.lower()) == "withdrawn"


@pytest.mark.parametrize("kept", [UPPER, MIXED], ids=["upper", "mixed"])
def test_an_older_record_in_another_spelling_is_found(shop, kept):
    """A ledger of an older version goes on: its orders keep their keys."""
    shop.ledger.hold(Lane("logitrail"), "nothing is sent yet")
    shop.ledger.open(an_order(kept, "logitrail", reference="shop-1", accepted_at=START))
    assert shop.ledger.learn_spellings("logitrail") == 1
    assert shop.ledger.learn_spellings("logitrail") == 0, "once"
    assert shop.ledger.learn_spellings("relograde") == 0
    assert shop.confirm(supplier="logitrail", order_id=HEX) == "known"
    assert shop.send("orders.withdraw", supplier="logitrail", order_id=HEX) == "withdrawn"
    assert shop.order("logitrail", kept).state == "withdrawn"
    assert shop.order("logitrail", HEX.lower()) is None


def test_a_trx_is_kept_as_it_came(shop):
    """Nothing says that Relograde takes it in another case."""
    shop.confirm(order_id="relo0TFQK8FXQXSPURM")
    assert shop.order(order_id="relo0TFQK8FXQXSPURM") is not None


def test_letters_are_found_in_any_letter_case(shop):
    """A person types what the supplier's page shows."""
    shop.supplier.answers["confirm"] = Rejected("invalid_request")
    shop.confirm(supplier="logitrail", order_id=UPPER)
    key = f"logitrail/{UPPER}"
    assert shop.letters.show(key)["reason"] == "invalid_request"
    assert shop.letters.exists(key) is None
    assert shop.letters.requeue(key) is None
    other = "ABCDEF" * 4
    shop.confirm(supplier="logitrail", order_id=other)
    assert shop.letters.resolve(f"logitrail/{other}", "by hand") is None
