"""`celery -A worker orders | dead-letters | lanes | doctor`: exit codes, the JSON of the contract,
text for people.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from prometheus_client import generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from sandbox.embedded_redis import EmbeddedRedis
from schemas.lane import Lane
from schemas.order import STATES, Order
from worker import settings as settings_module
from worker.commands.dead_letters import dead_letters
from worker.commands.doctor import doctor, server_problems, settings_problems
from worker.commands.lanes import lanes
from worker.commands.metrics import metrics, registry
from worker.commands.orders import orders
from worker.ledger.lane_calls import KIND_ACCOUNT, LaneCalls
from worker.ledger.reads.backlog import Backlog
from worker.ledger.reads.money import MoneyReads
from worker.ledger.reads.views import Views
from worker.rules.answers import Rejected
from worker.rules.policy import Policy
from worker.rules.words import CONFIRM, Call, Rules, Step
from worker.service import Service, connect, service
from worker.settings import load

ROOT = Path(__file__).parents[1]
HEX = "5499362b1fb35e73548b45af"
GROUPS = {
    "orders": orders,
    "dead-letters": dead_letters,
    "lanes": lanes,
    "doctor": doctor,
    "metrics": metrics,
}
BRIEF = {
    "supplier", "order_id", "account", "reference", "state", "reason", "attempts", "created_at",
    "accepted_at",
    "deadline_at", "next_look_at", "last_sent_at", "unresolved", "inferred", "tracking_code",
    "tracking_url",
    "lines_total", "lines_finished", "outcome_delivered",
}  # fmt: skip
LETTER = {"key", "reason", "detail", "since", "deadline_at", "amount", "currency"}
FORECAST = {
    "minimum_slack_seconds", "predicted_misses", "predicted_misses_if_pending", "first_miss_at",
    "lanes", "money",
    "exact",
}  # fmt: skip
FORECAST_LANE = {
    "calls_per_minute", "held", "to_confirm", "predicted_misses", "predicted_misses_if_pending",
    "first_miss_at",
    "done_at", "spare_seconds", "release_before", "first_miss_if_held_at", "exact",
}  # fmt: skip
MONEY = {
    "lane", "currency", "orders", "amount", "orders_without_amount", "orders_waiting",
    "orders_lost", "balance",
    "balance_at", "missing", "top_up_before", "exact",
}  # fmt: skip
STATS = {"states", "dead_letters", "lanes", "minimum_slack_seconds", "predicted_misses"}
LANE = {"held", "cause", "in_flight", "calls_per_minute", "calls_left", "waiting", "due"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
SAFE = {
    "RELOGRADE_API_KEY": "key",
    "RELOGRADE_URL": "http://127.0.0.1:9",
    "LOGITRAIL_URLS": "http://127.0.0.1:9",
    "LOGITRAIL_MERCHANT_ID": "m",
    "LOGITRAIL_SECRET": "s",
    "OUTCOME_TASK": "shop.outcome",
}


class Terminal:
    """Runs a command as a person would, in this process."""

    def __call__(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(
            GROUPS[words[0]], list(words[1:]), prog_name=f"celery -A worker {words[0]}"
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.output
        self.error = done.stderr
        return done.stdout

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code))

    def refused(self, *words: str, code: int = 1) -> str:
        """The one line of an error."""
        assert self(*words, code=code) == ""
        assert self.error.count("\n") == 1
        return self.error


@pytest.fixture
def redis_url(server: EmbeddedRedis) -> str:
    return re.sub(r"/\d*$", "", server.url) + "/7"


@pytest.fixture
def here(redis_url: str, environment: pytest.MonkeyPatch) -> Iterator[Service]:
    """This process' service on an empty database, with suppliers that refuse connections."""
    for name, value in {**SAFE, "REDIS_URL": redis_url}.items():
        environment.setenv(name, value)
    environment.delenv("LEDGER_URL", raising=False)
    service.cache_clear()
    made = service()
    made.client.flushdb()
    yield made
    made.client.close()
    service.cache_clear()


@pytest.fixture
def run(here: Service) -> Terminal:
    return Terminal()


def ago(**passed: float) -> str:
    return (datetime.now(UTC) - timedelta(**passed)).isoformat()


def confirm(
    run: Terminal, order_id: str = "T-1", created_at: str | None = None, **more: str
) -> str:
    options = [word for name, value in more.items() for word in (f"--{name}", value)]
    made = created_at or ago(minutes=1)
    return run(
        "orders",
        "confirm",
        "relograde",
        order_id,
        "--reference",
        "r-1",
        "--created-at",
        made,
        *options,
    )


def dead(run: Terminal, here: Service, *order_ids: str) -> None:
    """Orders past their deadline: a step makes dead letters of them, without a call."""
    for order_id in order_ids:
        confirm(run, order_id, ago(days=2), amount="9.90", currency="EUR")
        here.executor.step("relograde", order_id)


def kept(here: Service) -> str:
    """A refused message; its key."""
    here.doors.receive(
        "orders.confirm", (), {"supplier": "relograde", "order_id": "T-bad", "reference": "r"}
    )
    return str(here.views.letters("invalid_message")[-1]["key"])


# --- orders ---------------------------------------------------------------------------------------


def test_orders_confirm_accepts_and_shows(run):
    """Exit 0 once the ledger has it; a repeat is harmless."""
    assert confirm(run, amount="12.50", currency="eur") == "opened\n"
    assert confirm(run, created_at=ago(minutes=1)) == "known\n"
    shown = run.json("orders", "show", "relograde", "T-1")
    assert set(shown) == BRIEF | {"timeline"}
    assert (shown["state"], shown["reference"], shown["attempts"]) == ("accepted", "r-1", 0)
    assert (shown["unresolved"], shown["inferred"], shown["account"]) == (False, False, None)
    assert shown["outcome_delivered"] is False
    assert [set(entry) >= {"at", "event"} for entry in shown["timeline"]] == [True]
    for name in ("created_at", "accepted_at", "deadline_at", "next_look_at"):
        assert TIME.fullmatch(shown[name]), name
    created, deadline = (
        datetime.fromisoformat(shown[name]) for name in ("created_at", "deadline_at")
    )
    assert deadline - created == timedelta(days=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["relograde", "T-1", "--reference", "r"], "created_at: "),
        (
            ["relograde", "a b", "--reference", "r", "--created-at", "2027-01-01T00:00:00Z"],
            "order_id: ",
        ),
        (
            ["relograde", "T-1", "--reference", "r", "--created-at", "2027-01-01T00:00:00"],
            "created_at: ",
        ),
        (
            ["relograde", "T-1", "--reference", "r", "--created-at", "2999-01-01T00:00:00Z"],
            "created_at: ",
        ),
        (
            [
                "relograde",
                "T-1",
                "--reference",
                "r",
                "--created-at",
                "2026-01-01T00:00:00Z",
                "--account",
                "x",
            ],
            "account: ",
        ),
        (["logitrail", "T-1", "--reference", "r"], "order_id: "),
        (["logitrail", HEX, "--reference", "r", "--amount", "ten"], "amount: "),
    ],
)
def test_orders_confirm_says_what_is_wrong(run, here, words, said):
    """One line that names the field, exit code 1, and nothing kept."""
    assert said in run.refused("orders", "confirm", *words)
    assert here.views.letters() == []


def test_orders_confirm_refuses_a_conflict(run):
    """Another reference for a known order."""
    confirm(run)
    words = ["relograde", "T-1", "--reference", "other", "--created-at", ago(minutes=1)]
    assert "another reference" in run.refused("orders", "confirm", *words)
    assert run.json("orders", "show", "relograde", "T-1")["reference"] == "r-1"


def test_orders_list_is_newest_first(run, here):
    """The same objects without the timeline, in every state; filters and a limit."""
    for number in range(3):
        confirm(run, f"T-{number}")
    dead(run, here, "T-dead")
    run("orders", "confirm", "logitrail", HEX, "--reference", "r")
    rows = run.json("orders", "list")
    assert [row["order_id"] for row in rows] == [HEX, "T-dead", "T-2", "T-1", "T-0"]
    assert all(set(row) == BRIEF for row in rows)
    assert (rows[0]["deadline_at"], rows[0]["created_at"]) == (None, None)
    assert [row["order_id"] for row in run.json("orders", "list", "--state", "dead")] == ["T-dead"]
    assert [row["order_id"] for row in run.json("orders", "list", "--supplier", "logitrail")] == [
        HEX
    ]
    assert len(run.json("orders", "list", "--limit", "2")) == 2
    table = run("orders", "list").splitlines()
    assert len(table) == 6
    assert table[0].split()[:2] == ["supplier", "order"]


def test_orders_show_is_readable_and_fails_for_what_is_not_there(run):
    """A line per field and per event; one line of error."""
    confirm(run)
    text = run("orders", "show", "relograde", "T-1")
    assert re.search(r"^state +accepted$", text, re.M)
    assert "timeline\n" in text
    assert "no such order: relograde/T-9" in run.refused("orders", "show", "relograde", "T-9")
    run("orders", "show", "amazon", "T-9", code=2)


def test_orders_stats_counts_everything(run, here):
    """States are those of orders alone; dead letters are all of them."""
    confirm(run)
    dead(run, here, "T-dead")
    kept(here)
    stats = run.json("orders", "stats")
    assert set(stats) == STATS
    assert stats["states"] == {**dict.fromkeys(STATES, 0), "accepted": 1, "dead": 1}
    assert stats["dead_letters"] == {"deadline_missed": 1, "invalid_message": 1}
    assert set(stats["lanes"]) == {"relograde", "logitrail"}
    assert all(set(lane) >= LANE for lane in stats["lanes"].values())
    assert stats["lanes"]["relograde"]["calls_per_minute"] == 50
    assert (
        stats["lanes"]["logitrail"]["calls_per_minute"],
        stats["lanes"]["logitrail"]["calls_left"],
    ) == (0, None)
    assert 0 < stats["minimum_slack_seconds"] <= 86400 - 60 - 30
    assert stats["predicted_misses"] == 0
    assert "minimum slack seconds" in run("orders", "stats")


def test_the_lanes_of_orders_stats_have_exactly_the_keys_of_the_contract(run):
    """It binds to the letter; what else is known of a lane is for `lanes show`."""
    assert all(set(lane) == LANE for lane in run.json("orders", "stats")["lanes"].values())


def test_stats_of_nothing(run):
    """Slack is null when nothing waits."""
    stats = run.json("orders", "stats")
    assert (stats["minimum_slack_seconds"], stats["predicted_misses"], stats["dead_letters"]) == (
        None,
        0,
        {},
    )
    assert set(stats["states"].values()) == {0}


# --- foresight ------------------------------------------------------------------------------------


def unpaid(run: Terminal, here: Service, *amounts: str | None, currency: str = "EUR") -> None:
    """Orders that died for want of money."""
    for number, amount in enumerate(amounts):
        order_id = f"T-{currency}-{number}"
        priced = {"amount": amount, "currency": currency} if amount else {}
        confirm(run, order_id, **priced)
        here.ledger.change("relograde", order_id, died_of_want)


def died_of_want(order: Order, now: float) -> Step:
    answer = Rejected("insufficient_balance", "insufficient balance")
    return Policy(Rules(reads=True, settle=40.0)).decide(order, Call(kind=CONFIRM), answer, now)


def test_a_forecast_of_nothing(run):
    """No lane has anything to lose."""
    seen = run.json("orders", "forecast")
    assert set(seen) == FORECAST
    assert set(seen["lanes"]) == {"relograde", "logitrail"}
    assert all(set(lane) == FORECAST_LANE for lane in seen["lanes"].values())
    assert (seen["predicted_misses"], seen["first_miss_at"], seen["money"], seen["exact"]) == (
        0,
        None,
        [],
        True,
    )
    assert "relograde: no order waits for a confirm" in run("orders", "forecast")


def test_a_forecast_of_who_cannot_be_late(run):
    """Logitrail's orders wait too, but there is nothing that they could miss."""
    run("orders", "confirm", "logitrail", HEX, "--reference", "shop-1")
    assert run.json("orders", "forecast")["lanes"]["logitrail"]["to_confirm"] is None
    assert "logitrail: its orders have no deadline\n" in run("orders", "forecast")


def test_a_forecast_says_what_will_be_confirmed(run):
    """By when, and how much time the tightest has."""
    confirm(run, "T-1")
    lane = run.json("orders", "forecast")["lanes"]["relograde"]
    assert (lane["to_confirm"], lane["predicted_misses"]) == (1, 0)
    assert TIME.fullmatch(lane["done_at"])
    said = r"will not miss its deadline at 50 calls a minute: done \S+Z, the tightest has 863\d\d s"
    said = f"the one order that waits {said}"
    assert re.search(said, run("orders", "forecast"))
    confirm(run, "T-2")
    assert "none of 2 orders will miss its deadline at 50 calls a minute: done" in run(
        "orders", "forecast"
    )


def test_a_forecast_says_that_the_only_one_will_be_missed(run):
    """Of one there are no others."""
    confirm(run, "T-1", ago(days=2))
    text = run("orders", "forecast")
    assert (
        "relograde: the one order that waits will miss its deadline at 50 calls a minute, the first"
        in text
    )


def test_a_forecast_says_what_will_be_missed(run):
    """How many, and when the first is lost."""
    for number in range(52):
        confirm(run, f"T-{number}", ago(seconds=86400 - 30 - 55))
    seen = run.json("orders", "forecast")
    assert (seen["predicted_misses"], seen["lanes"]["relograde"]["to_confirm"]) == (2, 52)
    assert TIME.fullmatch(seen["first_miss_at"])
    said = (
        "2 of 52 orders will miss their deadline at 50 calls a minute, the first "
        f"{seen['first_miss_at']}"
    )
    text = run("orders", "forecast")
    assert f"relograde: {said}\n" in text
    assert seen["predicted_misses_if_pending"] == 7
    assert "relograde: 7 of them will if most confirms are answered pending" in text
    assert run.json("orders", "stats")["predicted_misses"] == 2


def test_a_forecast_of_a_held_lane_says_until_when_to_release_it(run):
    """And what the hold loses if it stays."""
    run("lanes", "hold", "relograde", "--note", "n")
    assert "relograde: no order waits for a confirm" in run("orders", "forecast")
    confirm(run, "T-1")
    text = run("orders", "forecast")
    said = (
        "the one order that waits will not miss its deadline at 50 calls a minute, once "
        "the lane is released: done"
    )
    assert said in text
    assert re.search(
        r"held, and while it is all are lost, the first \S+Z; release it before \S+Z\n", text
    )
    confirm(run, "T-2", ago(days=2))
    run("orders", "withdraw", "relograde", "T-1")
    assert "release it" not in run("orders", "forecast"), "there is nothing left to save"


def test_a_forecast_says_what_to_top_up(run, here):
    """How much, and until when; amounts that were not sent are said."""
    unpaid(run, here, "1200.00", "40")
    unpaid(run, here, None, "5.10", currency="USD")
    [nothing, euro, dollar] = run.json("orders", "forecast")["money"]
    assert set(euro) == MONEY
    assert (euro["lane"], euro["currency"], euro["missing"], euro["orders"]) == (
        "relograde",
        "EUR",
        "1240.00",
        2,
    )
    assert (dollar["missing"], nothing["orders_without_amount"]) == ("5.10", 1)
    text = run("orders", "forecast")
    assert re.search(
        r"^relograde: top up 1,240.00 EUR before \S+Z or 2 orders are lost$", text, re.MULTILINE
    )
    assert re.search(
        r"top up \(no currency\) before \S+Z or 1 order is lost; the amount of 1 is not known", text
    )


def told(here: Service, amount: str) -> None:
    """A look at the account, and its answer."""
    calls = LaneCalls(here.ledger.shelf)
    call = calls.permit(Lane("relograde"), KIND_ACCOUNT, 0.0)
    calls.settle_look(call, {"EUR": Decimal(amount)}, call.now)


def test_a_balance_that_is_there_pays(run, here):
    """Then they only want to be requeued."""
    unpaid(run, here, "1200.00", "40")
    told(here, "1000.50")
    [short] = run.json("orders", "forecast")["money"]
    assert (short["balance"], short["missing"]) == ("1000.50", "239.50")
    assert TIME.fullmatch(short["balance_at"])
    assert "top up 239.50 EUR" in run("orders", "forecast")
    told(here, "5000")
    assert "the balance of 5,000 EUR pays for its dead letters: requeue them before" in run(
        "orders", "forecast"
    )


def test_orders_that_wait_and_are_not_paid_for_want_money_too(run, here):
    """The balance lasts for three of them."""
    unpaid(run, here, "30")
    for number in range(5):
        confirm(run, f"T-{number}", amount="30", currency="EUR")
    told(here, "100")
    said = r"relograde: top up 80 EUR before \S+Z or 3 orders are lost; "
    more = r"[23] of them wait, and the balance of 100 EUR is of \S+Z\n"
    assert re.search(said + more, run("orders", "forecast"))
    here.views.report.money = MoneyReads(here.ledger.shelf, nearest=4)
    text = run("orders", "forecast")
    assert "top up at least 50 EUR" in text
    assert "not all were read" in text


def test_a_forecast_says_when_it_is_not_exact(run, here):
    """With very many orders."""
    here.views.report.backlog = Backlog(here.ledger.shelf, nearest=1, groups=2)
    assert "not all were read" not in run("orders", "forecast")
    for number in range(3):
        confirm(run, f"T-{number}")
    assert "not all were read one by one" in run("orders", "forecast")


def test_metrics_are_printed_for_prometheus(run, here):
    """One page; the parser of the library takes it."""
    unpaid(run, here, "1200.00")
    confirm(run, "T-1")
    families = {family.name: family for family in text_string_to_metric_families(run("metrics"))}
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["countersign_ledger_up",] == 1
    assert values["countersign_orders", "accepted"] == 1
    assert values["countersign_dead_letters", "insufficient_balance"] == 1
    assert values["countersign_lane_held", "", "relograde"] == 0
    assert values["countersign_lane_due", "relograde"] == 1
    assert values["countersign_predicted_misses", "relograde"] == 0
    assert values["countersign_predicted_misses_if_pending", "relograde"] == 0
    assert values["countersign_money_missing", "EUR", "relograde"] == 1200
    assert values["countersign_orders_without_money", "EUR", "relograde"] == 1
    assert 86000 < values["countersign_minimum_slack_seconds",] < 86400
    assert (
        abs(
            values["countersign_top_up_before_timestamp_seconds", "EUR", "relograde"]
            - time.time()
            - 86310
        )
        < 60
    )


def test_metrics_of_a_held_lane_and_of_what_it_loses(run):
    """The cause is a label."""
    confirm(run, "T-1", ago(days=2))
    run("lanes", "hold", "relograde", "--note", "n")
    text = run("metrics")
    assert 'countersign_lane_held{cause="person",lane="relograde"} 1.0' in text
    assert re.search(r'countersign_first_miss_timestamp_seconds{lane="relograde"} \d', text)
    assert 'countersign_lane_calls_left{lane="logitrail"}' not in text, "no limit, no number"


def test_metrics_are_served(here):
    """At /metrics; a ledger that cannot be reached is a metric too."""
    server, thread = start_http_server(0, "127.0.0.1", registry(here.views))
    url = f"http://127.0.0.1:{server.server_port}/metrics"
    try:
        assert "countersign_ledger_up 1.0" in requests.get(url, timeout=10).text
        broken = Views(Service(here.settings).ledger, here.lanes)
        away = connect("redis://127.0.0.1:9/0")
        broken.client = broken.scripts.client = away
        assert (
            generate_latest(registry(broken)).decode().splitlines()[-1]
            == "countersign_ledger_up 0.0"
        )
        away.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    "address", ["9540", ":9540", "127.0.0.1:port", "127.0.0.1:99999", "203.0.113.7:9540"]
)
def test_metrics_need_an_address_that_can_be_listened_on(run, address):
    """One line, exit code 1."""
    assert "--listen" in run.refused("metrics", "--listen", address)


def test_orders_withdraw(run):
    """Known or not seen yet: exit 0 when done."""
    confirm(run)
    assert run.json("orders", "withdraw", "relograde", "T-1") == {"result": "withdrawn"}
    assert run.json("orders", "withdraw", "relograde", "T-9") == {
        "result": "withdrawn_before_confirm"
    }
    assert run.json("orders", "show", "relograde", "T-1")["state"] == "withdrawn"
    assert confirm(run, "T-9") == "withdrawn\n"


def test_orders_withdraw_says_what_is_wrong_and_keeps_nothing(run, here):
    """As `orders confirm` does."""
    said = run.refused("orders", "withdraw", "logitrail", "T-1")
    assert here.views.letters() == []
    assert "order_id: " in said


# --- dead letters ---------------------------------------------------------------------------------


def test_dead_letters_list_has_the_keys_of_the_contract(run, here):
    """Beside the order's own; a message has what it named."""
    dead(run, here, "T-1")
    key = kept(here)
    order, message = run.json("dead-letters", "list")
    assert set(order) == BRIEF | LETTER
    assert set(message) >= LETTER
    assert (order["key"], order["reason"], order["state"]) == (
        "relograde/T-1",
        "deadline_missed",
        "dead",
    )
    assert (order["amount"], order["currency"]) == ("9.90", "EUR")
    assert TIME.fullmatch(order["since"])
    assert TIME.fullmatch(order["deadline_at"])
    assert (message["key"], message["reason"], message["order_id"]) == (
        key,
        "invalid_message",
        "T-bad",
    )
    assert message["detail"] == "created_at: Missing data for required field."
    assert [
        row["key"] for row in run.json("dead-letters", "list", "--reason", "invalid_message")
    ] == [key]
    assert run.json("dead-letters", "list", "--reason", "gave_up") == []
    assert len(run("dead-letters", "list").splitlines()) == 3
    run("dead-letters", "list", "--reason", "bad luck", code=2)


def test_dead_letters_show(run, here):
    """An order with its timeline, a message with its body; one line for what is none."""
    dead(run, here, "T-1")
    confirm(run, "T-2")
    assert set(run.json("dead-letters", "show", "relograde/T-1")) == BRIEF | LETTER | {"timeline"}
    assert run.json("dead-letters", "show", kept(here))["body"]["kwargs"]["order_id"] == "T-bad"
    assert "deadline_missed" in run("dead-letters", "show", "relograde/T-1")
    for key in (
        "relograde/T-2",
        "relograde/T-9",
        "message/99",
        "outcome/relograde.T-1.1",
        "outcome/x",
        "nonsense",
        "",
    ):
        assert "no such dead letter" in run.refused("dead-letters", "show", key)


def test_requeue_one_and_several(run, here):
    """Each is asked about before it is confirmed; twice is an error and harmless."""
    dead(run, here, "T-1", "T-2", "T-3")
    assert run("dead-letters", "requeue", "relograde/T-1") == "relograde/T-1  requeued\n"
    done = run.json(
        "dead-letters", "requeue", "relograde/T-2", "relograde/T-1", "relograde/T-9", code=1
    )
    assert [(one["key"], one["requeued"]) for one in done] == [
        ("relograde/T-2", True),
        ("relograde/T-1", False),
        ("relograde/T-9", False),
    ]
    assert [one["error"] is None for one in done] == [True, False, False]
    assert [row["key"] for row in run.json("dead-letters", "list")] == ["relograde/T-3"]
    assert run.json("orders", "show", "relograde", "T-1")["state"] == "accepted"
    assert here.views.order("relograde", "T-1").must_ask


def test_requeue_by_reason(run, here):
    """All with it, of one supplier if asked; a dry run changes nothing."""
    dead(run, here, "T-1", "T-2")
    rehearsed = run.json("dead-letters", "requeue", "--reason", "deadline_missed", "--dry-run")
    assert [(one["key"], one["requeued"]) for one in rehearsed] == [
        ("relograde/T-1", False),
        ("relograde/T-2", False),
    ]
    assert len(run.json("dead-letters", "list")) == 2
    assert (
        run.json(
            "dead-letters", "requeue", "--reason", "deadline_missed", "--supplier", "logitrail"
        )
        == []
    )
    assert (
        run("dead-letters", "requeue", "--reason", "deadline_missed", "--dry-run").count(
            "would be requeued"
        )
        == 2
    )
    assert run("dead-letters", "requeue", "--reason", "deadline_missed").count("requeued") == 2
    assert run.json("dead-letters", "list") == []


@pytest.mark.parametrize("words", [[], ["relograde/T-1", "--reason", "gave_up"]])
def test_requeue_needs_keys_or_a_reason(run, words):
    """Not both."""
    assert "give KEYs, or --reason" in run.refused("dead-letters", "requeue", *words)


@pytest.mark.parametrize("key", ["relograde/T-9", "relograde/T-accepted", "message/1", "nonsense"])
def test_a_dry_run_says_what_the_real_one_would(run, here, key):
    """What is no letter, or cannot be requeued, fails in the rehearsal too."""
    confirm(run, "T-accepted")
    kept(here)
    run("dead-letters", "requeue", key, code=1)
    run("dead-letters", "requeue", key, "--dry-run", code=1)


def test_a_message_is_resolved_and_not_requeued(run, here):
    """Its body goes with it."""
    key = kept(here)
    assert "send it again" in run("dead-letters", "requeue", key, code=1)
    assert run.json("dead-letters", "resolve", key, "--note", "told the shop") == {
        "key": key,
        "resolved": True,
    }
    assert run.json("dead-letters", "list") == []
    assert "no such dead letter" in run.refused("dead-letters", "resolve", key, "--note", "again")


def test_resolve_closes_an_order_with_a_note(run, here):
    """It ends as resolved; a note is required; twice is an error."""
    dead(run, here, "T-1")
    run("dead-letters", "resolve", "relograde/T-1", code=2)
    assert (
        run("dead-letters", "resolve", "relograde/T-1", "--note", "refunded")
        == "relograde/T-1  resolved\n"
    )
    assert run.json("orders", "show", "relograde", "T-1")["state"] == "resolved"
    assert here.views.order("relograde", "T-1").note == "refunded"
    for key in ("relograde/T-1", "relograde/T-9", "outcome/relograde.T-1.1", "nonsense"):
        assert "no such dead letter" in run.refused("dead-letters", "resolve", key, "--note", "n")


def test_an_undeliverable_outcome_is_a_letter_like_any_other(run, here):
    """Listed, shown, requeued, resolved under `outcome/ID`."""
    confirm(run)
    here.scripts.run(
        "outbox_settle",
        "relograde",
        channel="task",
        deliveries=[{"id": "T-1", "sequence": 1, "delay": 1.0}],
        give_up=0.0,
    )
    [letter] = run.json("dead-letters", "list")
    assert set(letter) >= LETTER
    assert (letter["key"], letter["reason"]) == ("outcome/relograde.T-1.1", "outcome_undeliverable")
    assert run.json("dead-letters", "show", letter["key"]) == letter
    assert run.json("dead-letters", "requeue", letter["key"])[0]["requeued"] is True
    assert run.json("dead-letters", "list") == []
    assert run.json("orders", "show", "relograde", "T-1")["outcome_delivered"] is False


# --- lanes ----------------------------------------------------------------------------------------


def test_lanes_are_held_and_released(run):
    """With a note for those who come later; every lane is shown."""
    assert {row["lane"] for row in run.json("lanes", "show")} == {"relograde", "logitrail"}
    assert run.json("lanes", "hold", "relograde", "--note", "key is changed") == {
        "lane": "relograde",
        "held": True,
    }
    held, free = run.json("lanes", "show")
    assert set(held) >= LANE | {"lane"}
    assert (held["held"], held["cause"], held["note"]) == (True, "person", "key is changed")
    assert (free["held"], free["cause"]) == (False, None)
    assert TIME.fullmatch(held["since"])
    assert "key is changed" in run("lanes", "show")
    assert run.json("orders", "stats")["lanes"]["relograde"]["cause"] == "person"
    assert run("lanes", "release", "relograde") == "relograde  released\n"
    assert run.json("lanes", "show")[0]["held"] is False
    run("lanes", "hold", "relograde", code=2)


def test_pages_are_put_off_and_on(run):
    """A person's word, in either direction; there is nothing to say of a lane without pages."""
    assert {row["lane"]: row["pages"] for row in run.json("lanes", "show")} == {
        "relograde": "on",
        "logitrail": None,
    }
    assert run.json("lanes", "pages", "relograde", "off") == {"lane": "relograde", "pages": "off"}
    off = run.json("lanes", "show")[0]
    assert off["pages"] == "off"
    assert off["pages_since"].endswith("Z")
    assert run("lanes", "pages", "relograde", "on") == "relograde  pages on\n"
    assert (run.json("lanes", "show")[0]["pages"], run.json("lanes", "show")[0]["pages_since"]) == (
        "on",
        None,
    )
    assert "no pages are used for logitrail" in run.refused("lanes", "pages", "logitrail", "on")
    run("lanes", "pages", "relograde", "perhaps", code=2)


@pytest.mark.parametrize("name", ["amazon", "relograde/a", "", "relograde/-"])
def test_a_lane_that_is_none_is_refused(run, name):
    """One line, exit code 1."""
    assert "no such lane" in run.refused("lanes", "hold", name, "--note", "n")


def test_accounts_are_lanes(here, environment):
    """`relograde/a` as people type it."""
    environment.setenv("RELOGRADE_ACCOUNTS", "a")
    environment.setenv("RELOGRADE_API_KEY_A", "key-a")
    service.cache_clear()
    run = Terminal()
    run("lanes", "hold", "relograde/a", "--note", "n")
    assert [(row["lane"], row["held"]) for row in run.json("lanes", "show")] == [
        ("relograde", False),
        ("relograde/a", True),
        ("logitrail", False),
    ]
    service().client.close()


# --- doctor ---------------------------------------------------------------------------------------


def test_doctor_finds_nothing_on_a_safe_server(run):
    """Exit 0, `all well`, an empty list for machines."""
    assert run("doctor") == "all well\n"
    assert run.json("doctor") == []


@pytest.mark.parametrize(
    ("name", "unsafe", "safe", "said"),
    [
        ("appendonly", "no", "yes", "appendonly yes"),
        ("appendfsync", "no", "everysec", "appendfsync"),
        ("maxmemory-policy", "allkeys-lru", "noeviction", "noeviction"),
        ("maxmemory-policy", "volatile-ttl", "noeviction", "noeviction"),
    ],
)
def test_doctor_refuses_an_unsafe_server(run, environment, own_server, name, unsafe, safe, said):
    """One line with the remedy, exit code 1."""
    environment.setenv("REDIS_URL", own_server.url)
    service.cache_clear()
    client = connect(own_server.url)
    client.config_set(name, unsafe)
    try:
        text = run("doctor", code=1)
        [problem] = run.json("doctor", code=1)
    finally:
        client.config_set(name, safe)
        client.close()
        service().client.close()
    assert text.count("\n") == 1
    assert said in text
    assert set(problem) == {"problem", "remedy"}


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """One whose configuration a test may spoil."""
    with EmbeddedRedis(Path(tmp_path_factory.mktemp("doctor")), own=True) as server:
        yield server


UNSAFE = [
    ({"RELOGRADE_API_KEY": ""}, "RELOGRADE_API_KEY"),
    ({"LOGITRAIL_SECRET": ""}, "LOGITRAIL_SECRET"),
    ({"RELOGRADE_URL": "http://connect.example"}, "RELOGRADE_URL"),
    ({"LOGITRAIL_URLS": "https://a.example,http://b.example"}, "LOGITRAIL_URLS"),
    (
        {"RELOGRADE_URL": "https://connect.example", "RELOGRADE_READ_TIMEOUT": "30"},
        "RELOGRADE_READ_TIMEOUT",
    ),
    ({"RELOGRADE_CALLS_PER_MINUTE": "61"}, "RELOGRADE_CALLS_PER_MINUTE"),
    ({"RELOGRADE_CALLS_PER_MINUTE": "0"}, "RELOGRADE_CALLS_PER_MINUTE"),
    ({"RETRY_SECONDS": "0.5"}, "RETRY_SECONDS"),
    ({"RELOGRADE_SETTLE_SECONDS": "20"}, "RELOGRADE_SETTLE_SECONDS"),
    ({"RELOGRADE_DEADLINE_MARGIN_SECONDS": "4"}, "RELOGRADE_DEADLINE_MARGIN_SECONDS"),
    ({"OUTCOME_TASK": ""}, "OUTCOME_TASK"),
    ({"OUTCOME_URL": "http://shop.example/o", "OUTCOME_SECRET": "whsec_c2VjcmV0"}, "OUTCOME_URL"),
]


@pytest.mark.parametrize(("variables", "named"), UNSAFE)
def test_doctor_names_an_unsafe_setting(environment, variables, named):
    """And the remedy."""
    for name, value in {**SAFE, **variables}.items():
        environment.setenv(name, value)
    [(problem, remedy)] = settings_problems(load())
    assert named in problem + remedy
    assert remedy


def _map(**fields: str) -> bytes:
    texts = [text for pair in fields.items() for text in pair]
    return f"%{len(fields)}\r\n".encode() + b"".join(
        f"${len(text)}\r\n{text}\r\n".encode() for text in texts
    )


class OldServer:
    """Speaks just enough of the protocol to say which version it is."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        sock, _ = self._listener.accept()
        with sock, sock.makefile("rwb") as stream:
            while line := stream.readline():
                words = [
                    stream.read(int(stream.readline()[1:]) + 2)[:-2].upper()
                    for _ in range(int(line[1:]))
                ]
                stream.write(self._answer(words))
                stream.flush()

    def _answer(self, words: list[bytes]) -> bytes:
        if words[0] == b"INFO":
            text = f"# Server\r\nredis_version:{self.version}\r\n".encode()
            return b"$%d\r\n%s\r\n" % (len(text), text)
        if words[0] == b"CONFIG":
            return (
                _map(appendonly="yes", appendfsync="everysec") if words[2] == b"APPEND*" else _map()
            )
        if words[0] == b"HELLO":
            return b"%1\r\n$5\r\nproto\r\n:3\r\n"
        return b"+PONG\r\n" if words[0] == b"PING" else b"+OK\r\n"

    def close(self) -> None:
        self._thread.join(10)
        self._listener.close()


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ("5.0.14", True),
        ("6.0.16", True),
        ("6.2.0", False),
        ("7.2.4", False),
        ("8.0.0", False),
    ],
)
def test_doctor_wants_redis_6_2(environment, version, old):
    """6.0 is what a common Linux still ships."""
    fake = OldServer(version)
    environment.setenv("REDIS_URL", fake.url)
    environment.delenv("LEDGER_URL", raising=False)
    problems = [problem for problem, _ in server_problems(load())]
    fake.close()
    assert any("6.2" in problem for problem in problems) is old


def test_commands_say_in_one_line_that_the_ledger_is_away(environment):
    """Exit code 1, no traceback."""
    environment.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    environment.delenv("LEDGER_URL", raising=False)
    service.cache_clear()
    run = Terminal()
    for words in (["orders", "stats"], ["dead-letters", "list"], ["lanes", "show"], ["doctor"]):
        assert "the ledger cannot be reached" in run.refused(*words)
    service().client.close()
    service.cache_clear()


# --- as it is typed -------------------------------------------------------------------------------


def test_the_commands_are_those_of_celery(here, redis_url):
    """`celery -A worker …` finds them, and prints nothing but what was asked for."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(settings_module.PREFIXES)
    }
    done = subprocess.run(
        [str(Path(sys.executable).parent / "celery"), "-A", "worker", "orders", "stats", "--json"],
        cwd=ROOT,
        env={**clean, **SAFE, "REDIS_URL": redis_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(json.loads(done.stdout)) == STATS
