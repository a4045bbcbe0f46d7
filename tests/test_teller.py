"""The web app is told in the shape of the contract, signed, in order, at least once, and not before
it is on disk.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from conftest import RETRY, START, make_ledger
from standardwebhooks import Webhook, WebhookVerificationError

from schemas.lane import Lane
from schemas.order import Order
from schemas.outcomes import TYPES, iso
from worker.ledger.messages import Messages
from worker.ledger.outbox import GIVE_UP, Outbox, outcome_id, parse_id, render
from worker.ledger.reads.views import Views
from worker.process.loops import Loop
from worker.rules.words import Step
from worker.web_app.teller import (
    BATCH,
    HOLD,
    IDLE_WAIT,
    POSTS_AT_ONCE,
    PRESSED_WAIT,
    SYNC_AGE,
    Poster,
    Teller,
)

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS10ZXN0cw=="
BODY_KEYS = {"id", "type", "timestamp", "data"}
DATA_KEYS = {
    "supplier", "order_id", "account", "reference", "state", "reason", "sequence", "attempts",
    "inferred",
    "details_applied", "tracking_code", "tracking_url", "lines_total", "lines_finished", "lines",
}  # fmt: skip
LINES = [
    {
        "tag": "t1",
        "status": "finished",
        "deliverable": True,
        "expires_at": START,
        "sealed": "c2VhbGVk",
    },
    {"tag": "t2", "status": "pending", "deliverable": False, "expires_at": None, "sealed": None},
]


def order(order_id: str = "T-1", supplier: str = "relograde") -> Order:
    deadline = START + 86400 if supplier == "relograde" else None
    created = START if supplier == "relograde" else None
    return Order(
        supplier=supplier,
        order_id=order_id,
        reference="shop-1",
        created_at=created,
        deadline_at=deadline,
    )


class WebApp:
    """A web app over real HTTP: verifies each signature, answers what a test says, remembers what
    it took.
    """

    def __init__(self) -> None:
        self.statuses: dict[str, list[int]] = {}
        self.seen: list[dict[str, Any]] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.hang: Callable[[dict[str, Any]], None] = lambda body: None
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                app.requests.append((dict(self.headers.items()), raw))
                body = Webhook(SECRET).verify(raw, {k.lower(): v for k, v in self.headers.items()})
                app.hang(body)
                app.seen.append(body)
                left = app.statuses.get(body["data"]["order_id"]) or app.statuses.get("*") or [204]
                self.send_response(left.pop(0) if len(left) > 1 else left[0])
                self.send_header("Location", app.url)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/outcomes"

    def ids(self) -> list[str]:
        return [body["id"] for body in self.seen]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def web_app():
    app = WebApp()
    yield app
    app.close()


class Desk:
    """A ledger, its outbox and a teller, on a clock that a test moves, against a real Redis."""

    def __init__(
        self, client, policies, clock, channels=("task",), post=None, publish=None, synced=True
    ):
        self.clock = clock
        self.client = client
        self.ledger = make_ledger(client, policies, clock, channels=channels)
        self.server = self.ledger.scripts.server
        self.server.synced = synced
        self.outbox = Outbox(self.ledger.scripts, channels, RETRY)
        self.published: list[dict[str, Any]] = []
        self.teller = Teller(self.outbox, publish or self.published.extend, post)
        self.views = Views(self.ledger.shelf, (Lane("relograde"), Lane("logitrail")))

    def close(self) -> None:
        self.teller._pool.shutdown()

    def change(self, order_id="T-1", kind="order.updated", reason=None, **fields):
        self.ledger.change(
            "relograde",
            order_id,
            lambda found, now: Step(
                order=replace(found, **fields), event="changed", tells=((kind, reason),)
            ),
        )

    def ids(self) -> list[str]:
        return [body["id"] for body in self.published]

    def turn(self) -> int:
        """One round with its POSTs, as if time had passed."""
        taken = self.teller.round()
        self.teller.wait()
        return taken

    def rounds(self, number=5, pause=0.2) -> None:
        for _ in range(number):
            self.turn()
            self.clock.advance(pause)


@pytest.fixture
def desk(client, policies, clock):
    made: list[Desk] = []

    def make(**arguments: Any) -> Desk:
        made.append(Desk(client, policies, clock, **arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


# --- the shape ------------------------------------------------------------------------------------


def test_an_outcome_has_exactly_the_keys_of_the_contract(desk):
    """Also while nothing is known of lines and tracking."""
    shop = desk()
    shop.ledger.open(order())
    shop.turn()
    [body] = shop.published
    assert set(body) == BODY_KEYS
    assert set(body["data"]) == DATA_KEYS
    assert body == {
        "id": "relograde.T-1.1",
        "type": "order.accepted",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "data": {
            "supplier": "relograde", "order_id": "T-1", "account": None, "reference": "shop-1",
            "state": "accepted",
            "reason": None, "sequence": 1, "attempts": 0, "inferred": False,
            "details_applied": None,
            "tracking_code": None, "tracking_url": None, "lines_total": None,
            "lines_finished": None, "lines": [],
        },
    }  # fmt: skip
    assert json.loads(json.dumps(body)) == body


def test_lines_and_tracking_are_told_as_they_stood(desk):
    """`sealed` only where there is something sealed; what later happens does not change what was
    written.
    """
    shop = desk()
    shop.ledger.open(order())
    shop.change(
        kind="order.confirmed", state="confirmed", lines=LINES, tracking_code="JJFI1", tracking_url="https://t.example/1",
        inferred=True, details_applied=False, attempts=2,
    )  # fmt: skip
    shop.change(tracking_code="later")
    shop.rounds(number=4, pause=31)
    data = next(body for body in shop.published if body["type"] == "order.confirmed")["data"]
    assert data["lines"] == [
        {
            "tag": "t1",
            "status": "finished",
            "expires_at": "2027-01-15T08:00:00.000Z",
            "sealed": "c2VhbGVk",
        },
        {"tag": "t2", "status": "pending", "expires_at": None},
    ]
    assert (data["lines_total"], data["lines_finished"]) == (2, 1)
    assert (data["tracking_code"], data["tracking_url"]) == ("JJFI1", "https://t.example/1")
    assert (data["inferred"], data["details_applied"], data["attempts"]) == (True, False, 2)


def test_a_refused_message_is_told_under_its_letter(desk):
    """With neither state nor sequence, so that it never reads as an order's own death."""
    shop = desk()
    messages = Messages(shop.ledger.scripts, ("task",), 86400.0)
    named = {"supplier": "relograde", "order_id": "T-1", "reference": "other"}
    messages.refuse("conflicting_request", "reference: known", {"kwargs": {}}, named)
    shop.turn()
    [body] = shop.published
    assert set(body["data"]) == DATA_KEYS | {"key"}
    assert body["id"] == "messages.1.1"
    assert {
        name: body["data"][name]
        for name in ("key", "state", "sequence", "reason", "reference", "order_id")
    } == {
        "key": "message/1",
        "state": None,
        "sequence": None,
        "reason": "conflicting_request",
        "reference": "other",
        "order_id": "T-1",
    }


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_renders(kind):
    """From the few strings that the ledger keeps."""
    kept = {"type": kind, "at": f"{START:.6f}", "order": {"state": "pending", "reference": "r"}}
    body = render("logitrail", "a" * 24, "7", kept)
    assert (body["type"], body["data"]["sequence"], body["data"]["supplier"]) == (
        kind,
        7,
        "logitrail",
    )
    assert body["timestamp"] == iso(START)


@pytest.mark.parametrize(
    "named", [("relograde", "T-1", 1), ("logitrail", "a" * 24, 12), ("messages", "7", 1)]
)
def test_an_id_says_which_outcome_it_is(named):
    """There and back."""
    assert parse_id(outcome_id(*named)) == named


# --- the signed POST ------------------------------------------------------------------------------


def test_a_post_is_signed_as_standard_webhooks_says(web_app):
    """Verified by its own library; one changed byte is a forgery."""
    poster = Poster(web_app.url, SECRET)
    body = {
        "id": "relograde.T-1.1",
        "type": "order.accepted",
        "timestamp": iso(START),
        "data": {"order_id": "Tö"},
    }
    assert poster(body) is True
    poster.close()
    headers, raw = web_app.requests[0]
    headers = {name.lower(): value for name, value in headers.items()}
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == body["id"]
    assert abs(int(headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert web_app.seen == [body]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(raw.replace(b"accepted", b"confirmed"), headers)


@pytest.mark.parametrize(
    ("status", "taken"),
    [
        (200, True),
        (202, True),
        (204, True),
        (301, False),
        (307, False),
        (400, False),
        (410, False),
        (500, False),
    ],
)
def test_only_a_2xx_has_taken_it(web_app, status, taken):
    """A redirect is not followed: it could carry the order elsewhere."""
    web_app.statuses["*"] = [status]
    poster = Poster(web_app.url, SECRET)
    assert poster({"id": "i", "data": {"order_id": "T"}}) is taken
    poster.close()
    assert len(web_app.requests) == 1


def test_a_web_app_that_is_not_there_has_not_taken_it():
    """No exception comes out."""
    assert Poster("http://127.0.0.1:9/", SECRET)({"id": "i", "data": {}}) is False


# --- in order, at least once ----------------------------------------------------------------------


def test_posts_of_one_order_go_in_order_and_wait_for_each_other(desk, web_app):
    """The second is not sent before the first was taken, however often that fails."""
    poster = Poster(web_app.url, SECRET)
    shop = desk(channels=("post",), post=poster)
    web_app.statuses["T-1"] = [500, 503, 204]
    shop.ledger.open(order())
    shop.change(kind="order.confirmed", state="confirmed")
    shop.rounds(number=80, pause=0.5)
    assert web_app.ids() == ["relograde.T-1.1"] * 3 + ["relograde.T-1.2"]
    assert len({raw for _, raw in web_app.requests[:3]}) == 1
    assert shop.views.show("relograde", "T-1")["outcome_delivered"] is True
    poster.close()


def test_retries_follow_the_schedule(desk, web_app):
    """2, 10 and 30 seconds, the last repeats; counted on the ledger's clock."""
    poster = Poster(web_app.url, SECRET)
    shop = desk(channels=("post",), post=poster)
    web_app.statuses["*"] = [500]
    shop.ledger.open(order())
    sent_at = []
    for _ in range(110):
        before = len(web_app.seen)
        shop.turn()
        if len(web_app.seen) > before:
            sent_at.append(shop.clock.now - START)
        shop.clock.advance(1)
    assert sent_at == [0, 2, 12, 42, 72, 102]
    assert shop.views.show("relograde", "T-1")["outcome_delivered"] is False
    poster.close()


def test_a_failing_order_does_not_hold_back_the_others(desk, web_app):
    """Nor does it get lost itself."""
    poster = Poster(web_app.url, SECRET)
    shop = desk(channels=("post",), post=poster)
    web_app.statuses["T-bad"] = [500]
    shop.ledger.open(order("T-bad"))
    for number in range(20):
        shop.ledger.open(order(f"T-{number}"))
    shop.rounds(number=3)
    assert {f"relograde.T-{number}.1" for number in range(20)} < set(web_app.ids())
    web_app.statuses["T-bad"] = [204]
    shop.rounds(number=2, pause=60)
    assert shop.client.zcard("test:{relograde}:outbox:post") == 0
    poster.close()


def test_a_hanging_post_does_not_hold_back_other_orders(desk, web_app):
    """The web app hangs over one order; another one's outcome goes out meanwhile."""
    poster = Poster(web_app.url, SECRET)
    shop = desk(channels=("post",), post=poster)
    released, hanging, other = threading.Event(), threading.Event(), threading.Event()

    def hang(body: dict[str, Any]) -> None:
        if body["data"]["order_id"] == "T-slow":
            hanging.set()
            released.wait(14)
        else:
            other.set()

    web_app.hang = hang
    loop = Loop("teller", shop.teller.turn)
    shop.ledger.open(order("T-slow"))
    loop.start()
    try:
        assert hanging.wait(10)
        shop.ledger.open(order("T-quick"))
        assert other.wait(4)
    finally:
        loop.stop()
        released.set()
        loop.join(20)
        poster.close()


def test_a_round_that_took_all_it_may_is_followed_at_once_by_the_next(desk, web_app):
    """Otherwise outcomes gather for a quarter of a second: many together cost less.

    POSTs that hang are no pressure.
    """
    poster = Poster(web_app.url, SECRET)
    shop, posts = desk(), desk(channels=("post",), post=poster)
    for number in range(BATCH + 1):
        shop.ledger.open(order(f"T-{number}"))
    shop.clock.advance(SYNC_AGE)
    assert [shop.teller.turn(), shop.teller.turn()] == [PRESSED_WAIT, IDLE_WAIT]
    released = threading.Event()
    web_app.hang = lambda body: released.wait(14)
    for number in range(POSTS_AT_ONCE):
        posts.ledger.open(order(f"P-{number}"))
    posts.clock.advance(SYNC_AGE)
    assert [posts.teller.turn(), posts.teller.turn()] == [PRESSED_WAIT, IDLE_WAIT], (
        "none is free for another"
    )
    released.set()
    posts.teller.wait()
    poster.close()


def test_a_task_is_repeated_until_it_is_acknowledged(desk):
    """Always with the same id and body."""
    shop = desk()
    shop.ledger.open(order())
    shop.rounds(number=60, pause=1)
    assert shop.ids() == ["relograde.T-1.1"] * 4
    assert all(body == shop.published[0] for body in shop.published)
    assert shop.outbox.delivered("relograde", "T-1", 1, "task") == "delivered"
    shop.rounds(number=60, pause=1)
    assert len(shop.published) == 4


def test_a_later_task_does_not_wait_for_an_acknowledgement(desk):
    """It waits until the one before it was sent, and no longer: the web app has `sequence` to sort
    by.
    """
    shop = desk()
    shop.ledger.open(order())
    shop.turn()
    shop.change(kind="order.confirmed", state="confirmed")
    shop.rounds(number=3)
    assert shop.ids() == ["relograde.T-1.1", "relograde.T-1.2"]


def test_two_tasks_of_one_moment_go_out_one_right_after_the_other(desk):
    """An order that is confirmed at once: accepted and confirmed fall due together."""
    shop = desk()
    shop.ledger.open(order())
    shop.change(kind="order.confirmed", state="confirmed")
    shop.rounds(number=5)
    assert shop.ids() == ["relograde.T-1.1", "relograde.T-1.2"]


def test_a_receipt_does_not_send_the_next_one_twice(desk):
    """It went when the one before it was sent, and is repeated on the schedule like any other."""
    shop = desk()
    shop.ledger.open(order())
    shop.change(kind="order.confirmed", state="confirmed")
    shop.rounds(number=3)
    shop.outbox.delivered("relograde", "T-1", 1, "task")
    shop.rounds(number=3)
    assert shop.ids() == ["relograde.T-1.1", "relograde.T-1.2"]


def test_a_receipt_that_overtakes_the_note_of_sending_lets_the_next_one_go(desk):
    """The web app may answer before the teller has written down that it sent."""
    shop = desk(publish=lambda bodies: [receipt(shop, body) for body in bodies])
    shop.ledger.open(order())
    shop.change(kind="order.confirmed", state="confirmed")
    shop.rounds(number=3)
    assert shop.ids() == ["relograde.T-1.1", "relograde.T-1.2"]


def receipt(shop, body):
    shop.published.append(body)
    shop.outbox.delivered("relograde", body["data"]["order_id"], body["data"]["sequence"], "task")


def test_both_channels_are_told_each_by_its_own_count(desk, web_app):
    """One that fails does not stop the other."""
    poster = Poster(web_app.url, SECRET)
    shop = desk(channels=("task", "post"), post=poster)
    web_app.statuses["*"] = [500]
    shop.ledger.open(order())
    shop.rounds(number=3)
    assert set(shop.ids()) == set(web_app.ids()) == {"relograde.T-1.1"}
    shop.outbox.delivered("relograde", "T-1", 1, "task")
    assert shop.views.show("relograde", "T-1")["outcome_delivered"] is False
    web_app.statuses["*"] = [200]
    shop.rounds(number=4, pause=5)
    assert shop.views.show("relograde", "T-1")["outcome_delivered"] is True
    poster.close()


@pytest.mark.parametrize("kind", ["order.pending", "order.deadline_warning"])
def test_only_passing_news_is_superseded(desk, kind):
    """By any later outcome, before it was sent."""
    shop = desk()
    shop.ledger.open(order())
    shop.change(kind=kind)
    shop.change(kind="order.updated")
    shop.change(kind="order.confirmed", state="confirmed")
    shop.rounds(number=5, pause=31)
    assert list(dict.fromkeys(shop.ids())) == [
        "relograde.T-1.1",
        "relograde.T-1.3",
        "relograde.T-1.4",
    ]


def test_what_nobody_takes_for_three_days_is_a_letter_of_its_own_and_the_next_one_goes(
    desk, web_app
):
    """It can be requeued by a person, then it goes out again with the same id."""
    poster = Poster(web_app.url, SECRET)
    shop = desk(channels=("post",), post=poster)
    web_app.statuses["*"] = [500]
    shop.ledger.open(order())
    shop.change(kind="order.confirmed", state="confirmed")
    shop.turn()
    shop.clock.advance(GIVE_UP + 1)
    shop.turn()
    web_app.statuses["*"] = [200]
    shop.clock.advance(HOLD)
    shop.rounds(number=3)
    assert [letter["key"] for letter in shop.views.letters()] == ["outcome/relograde.T-1.1"]
    assert web_app.ids()[-1] == "relograde.T-1.2"
    assert shop.outbox.close("relograde", "T-1", 1, requeue=True)
    shop.rounds(number=3)
    assert web_app.ids()[-1] == "relograde.T-1.1"
    assert shop.views.letters() == []
    poster.close()


def test_a_sender_that_raises_is_tried_again(desk):
    """Whatever it raises; none of the batch counts as sent."""
    tried = []

    def publish(bodies: list[dict[str, Any]]) -> None:
        tried.append([body["data"]["order_id"] for body in bodies])
        if len(tried) < 3:
            raise OSError("the broker went away")

    shop = desk(publish=publish)
    shop.ledger.open(order())
    shop.ledger.open(order("T-2"))
    shop.rounds(number=2, pause=HOLD)
    shop.rounds(number=2, pause=RETRY[0] - 1)
    assert tried == [["T-1", "T-2"]] * 3


# --- not before it is on disk ---------------------------------------------------------------------


def test_with_a_synced_server_nothing_waits(desk):
    """Every write is on disk before its answer."""
    shop = desk()
    shop.server.synced = True
    shop.ledger.open(order())
    assert shop.turn() == 1
    assert shop.ids() == ["relograde.T-1.1"]


def test_without_synced_writes_nothing_leaves_before_two_seconds(desk):
    """In which a server with an append-only file syncs by itself; the ledger's clock counts
    them.
    """
    shop = desk(synced=False)
    shop.ledger.open(order())
    shop.turn()
    assert shop.ids() == []
    shop.clock.advance(HOLD + 1)
    shop.ledger.open(order("T-2"))
    shop.turn()
    assert shop.ids() == ["relograde.T-1.1"]
    shop.clock.advance(SYNC_AGE - 0.01)
    shop.turn()
    assert "relograde.T-2.1" not in shop.ids()
    shop.clock.advance(0.02)
    shop.rounds(number=3)
    assert "relograde.T-2.1" in shop.ids()


def test_an_outcome_that_a_restart_forgot_is_not_told(desk):
    """What was written within the last two seconds may be gone; what is gone was told to nobody."""
    shop = desk(synced=False)
    shop.ledger.open(order())
    shop.turn()
    shop.client.flushdb()
    shop.clock.advance(HOLD + SYNC_AGE)
    shop.rounds(number=3)
    assert shop.ids() == []
