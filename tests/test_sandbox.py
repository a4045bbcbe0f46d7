"""The sandbox against `docs/suppliers.md`: a stand-in that is kinder than the supplier would prove
nothing.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import requests

from sandbox.behaviours import LOGITRAIL, RELOGRADE
from sandbox.server import Sandbox

BEARER = {"Authorization": "Bearer sandbox-key"}
BASIC = ("M-sandbox", "sandbox-secret")
PATIENCE = 5


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with Sandbox(seed=1, doors=True, relograde_keys=("sandbox-key", "other-key")) as running:
        yield running


@pytest.fixture
def sandbox(server: Sandbox) -> Sandbox:
    server.reset()
    return server


def relograde(
    sandbox: Sandbox, method: str, path: str, key: str = "sandbox-key", **more: Any
) -> requests.Response:
    url = f"{sandbox.relograde_url}/api/1.02/{path}"
    headers = {"Authorization": f"Bearer {key}"}
    return requests.request(
        method,
        url,
        headers=headers,
        timeout=more.pop("timeout", PATIENCE),
        allow_redirects=False,
        **more,
    )


def confirm(sandbox: Sandbox, order: dict[str, Any], **more: Any) -> requests.Response:
    return relograde(sandbox, "PATCH", f"order/confirm/{order['order_id']}", **more)


def find(sandbox: Sandbox, order: dict[str, Any], **more: Any) -> requests.Response:
    return relograde(sandbox, "GET", f"order/{order['order_id']}", **more)


def logitrail(
    sandbox: Sandbox, method: str, path: str, host: int = 1, **more: Any
) -> requests.Response:
    url = f"{sandbox.logitrail_urls[host - 1]}/orders/{path}"
    auth = more.pop("auth", BASIC)
    return requests.request(method, url, auth=auth, timeout=more.pop("timeout", PATIENCE), **more)


def ship(sandbox: Sandbox, order: dict[str, Any], **more: Any) -> requests.Response:
    return logitrail(sandbox, "POST", f"{order['order_id']}/_confirm", **more)


def booked(sandbox: Sandbox, order: dict[str, Any]) -> dict[str, Any]:
    return sandbox.order(order["supplier"], order["order_id"])


def until(true: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


# --- Relograde: shapes ----------------------------------------------------------------------------

HEADER = [
    "trx",
    "priceCurrency",
    "priceAmount",
    "priceVat",
    "priceInclVat",
    "priceFx",
    "dateCreated",
    "paymentStatus",
    "type",
    "reference",
    "state",
    "orderStatus",
    "isBalancePayment",
    "downloaded",
    "items",
]
ITEM = [
    "product",
    "amount",
    "priceCurrency",
    "singlePriceAmount",
    "totalPriceAmount",
    "totalPriceVat",
    "totalPriceInclVat",
    "priceFx",
    "paymentCurrency",
    "singlePriceAmountInPaymentCurrency",
    "totalPriceAmountInPaymentCurrency",
    "totalPriceVatInPaymentCurrency",
    "totalPriceInclVatInPaymentCurrency",
    "orderLines",
    "linesCompleted",
    "productSlug",
    "faceValueAmount",
    "faceValueCurrency",
    "faceValueFx",
]
PRODUCT = [
    "slug",
    "name",
    "brand",
    "productType",
    "region",
    "faceValueAmount",
    "faceValueCurrency",
    "mainCategory",
    "redeemType",
    "isStocked",
]


def test_a_finished_confirm_has_the_fields_and_the_numbers_of_the_documented_example(
    sandbox: Sandbox,
) -> None:
    """5 x rewarble-ww-eur-5 at 4.96 is 24.80, printed with its zeros, two of five lines with an
    expiry date.
    """
    order = sandbox.create("relograde", "finished", lines=5, reference="test")
    answer = confirm(sandbox, order)
    body = answer.json(parse_float=Decimal)
    item = body["items"][0]
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert list(body) == HEADER
    assert list(item) == ITEM
    assert list(item["product"]) == PRODUCT
    assert '"priceAmount":24.80,' in answer.text
    assert '"priceFx":1.00000000,' in answer.text
    assert (body["orderStatus"], body["paymentStatus"], body["priceCurrency"]) == (
        "finished",
        "paid",
        "eur",
    )
    assert (item["linesCompleted"], item["singlePriceAmount"]) == (5, Decimal("4.96"))
    assert [("voucherDateExpired" in line) for line in item["orderLines"]] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert re.fullmatch(r"RELO[A-Z0-9]{15}", body["trx"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["dateCreated"])
    for line in item["orderLines"]:
        assert re.fullmatch(r"TAG-[0-9a-f-]{36}", line["tag"])
        assert re.fullmatch(r"TEST[A-Z0-9]{12}", line["voucherCode"])
        assert "token" not in line


def test_a_created_order_has_no_payment_status_and_bare_lines(sandbox: Sandbox) -> None:
    """`paymentStatus` is absent while created, and nothing is delivered yet."""
    body = find(sandbox, sandbox.create("relograde", "finished")).json()
    assert "paymentStatus" not in body
    assert "reference" not in body
    assert [set(line) for line in body["items"][0]["orderLines"]] == [{"tag", "status"}] * 2
    assert body["orderStatus"] == "created"


def test_tokens_are_in_find_and_not_in_confirm(sandbox: Sandbox) -> None:
    """Token-only lines show nothing to deliver in the confirm answer, and a token of 35 characters
    in find.
    """
    order = sandbox.create("relograde", "token_only")
    confirmed = confirm(sandbox, order).json()["items"][0]["orderLines"]
    found = find(sandbox, order).json()["items"][0]["orderLines"]
    assert all(set(line) == {"tag", "status"} for line in confirmed)
    assert all(len(line["token"]) == 35 and "voucherCode" not in line for line in found)


def test_a_pending_order_shows_its_finished_lines_and_finishes_later(sandbox: Sandbox) -> None:
    """A pending answer already carries codes (documented: four of five lines); the rest comes
    later.
    """
    params = {"lines_first": 4, "finish_after": 0.1}
    order = sandbox.create("relograde", "partial", lines=5, params=params)
    body = confirm(sandbox, order).json()
    assert (body["orderStatus"], body["items"][0]["linesCompleted"]) == ("pending", 4)
    assert set(body["items"][0]["orderLines"][4]) == {"tag", "status"}
    first = [line["voucherCode"] for line in body["items"][0]["orderLines"][:4]]
    until(lambda: find(sandbox, order).json()["orderStatus"] == "finished")
    assert [line["voucherCode"] for line in find(sandbox, order).json()["items"][0]["orderLines"]][
        :4
    ] == first


@pytest.mark.parametrize(
    ("behaviour", "at_once", "in_the_end"),
    [
        (
            "pending",
            ("pending", "pending pending pending"),
            ("finished", "finished finished finished"),
        ),
        (
            "pending_forever",
            ("pending", "pending pending pending"),
            ("pending", "pending pending pending"),
        ),
        (
            "partial_cancelled",
            ("pending", "finished finished pending"),
            ("cancelled", "finished finished cancelled"),
        ),
        (
            "cancelled",
            ("cancelled", "cancelled cancelled cancelled"),
            ("cancelled", "cancelled cancelled cancelled"),
        ),
        (
            "cancelled_late_lines",
            ("cancelled", "pending pending pending"),
            ("cancelled", "finished finished cancelled"),
        ),
        (
            "incomplete",
            ("finished", "finished finished finished"),
            ("finished", "finished finished finished"),
        ),
    ],
)
def test_what_a_confirmed_order_becomes(
    sandbox: Sandbox, behaviour: str, at_once: tuple[str, str], in_the_end: tuple[str, str]
) -> None:
    """`cancelled` does not mean that nothing was delivered, and lines may finish after a cancelled
    answer.
    """

    def seen(body: dict[str, Any]) -> tuple[str, str]:
        return body["orderStatus"], " ".join(
            line["status"] for line in body["items"][0]["orderLines"]
        )

    order = sandbox.create("relograde", behaviour, lines=3, params={"finish_after": 0.05})
    assert seen(confirm(sandbox, order).json()) == at_once
    until(lambda: seen(find(sandbox, order).json()) == in_the_end)


def test_an_incomplete_order_has_a_line_without_anything_to_deliver(sandbox: Sandbox) -> None:
    """Finished, but neither code nor token, also in find."""
    order = sandbox.create("relograde", "incomplete")
    confirm(sandbox, order)
    assert set(find(sandbox, order).json()["items"][0]["orderLines"][-1]) == {"tag", "status"}


def test_currency_dates_and_extra_fields_are_switches(sandbox: Sandbox) -> None:
    """1.03 writes EUR and no millis; 1.02 records carry fields that no page names."""
    sandbox.settings(
        {"relograde": {"currency_case": "upper", "dates_with_millis": False, "extra_fields": True}}
    )
    body = find(sandbox, sandbox.create("relograde", "finished")).json()
    assert body["priceCurrency"] == "EUR"
    assert re.fullmatch(r"[^.]+Z", body["dateCreated"])
    assert isinstance(body["items"][0]["orderLines"][0]["product"], str)


# --- Relograde: refusals --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "status", "message"),
    [
        ("multiple_order_lines", 400, "MULTIPLE_ORDER_LINES"),
        ("not_found", 404, "order not found"),
        ("cannot_confirm", 400, "this order can not be confirmed"),
        ("expired", 400, "this order has expired, orders need confirmation within 24 hours"),
        ("company_not_verified", 400, "company not verified"),
        ("offer_unavailable", 422, "some offers not available: rewarble 5 EUR WW"),
        ("out_of_stock", 422, "Product rewarble 5 EUR WW is out of stock"),
        ("insufficient_balance", 402, "insufficient balance"),
        ("rate_limited", 429, "rate_limit_exceeded"),
        ("forbidden", 403, "forbidden"),
        ("error_before", 500, "server_error"),
    ],
)
def test_a_refusal_says_the_documented_words_and_has_no_effect(
    sandbox: Sandbox, behaviour: str, status: int, message: str
) -> None:
    """Bare text by default, JSON by switch; the books show no effect either way."""
    order = sandbox.create(
        "relograde", behaviour, params={"times": 2} if behaviour == "cannot_confirm" else {}
    )
    answer = confirm(sandbox, order)
    assert (answer.status_code, answer.text) == (status, message)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert (booked(sandbox, order)["effects"], booked(sandbox, order)["status"]) == (0, "created")
    sandbox.settings({"relograde": {"errors_as": "json"}})
    other = confirm(sandbox, sandbox.create("relograde", behaviour))
    assert (other.status_code, other.json()) == (status, {"message": message})


@pytest.mark.parametrize(
    "behaviour",
    ["insufficient_balance_once", "out_of_stock_once", "rate_limited", "error_before", "redirect"],
)
def test_what_is_refused_once_is_accepted_the_next_time(sandbox: Sandbox, behaviour: str) -> None:
    """`params.times` says how often."""
    order = sandbox.create("relograde", behaviour, params={"times": 2})
    codes = [confirm(sandbox, order).status_code for _ in range(3)]
    assert codes[0] == codes[1] != 200
    assert codes[2] == 200
    assert booked(sandbox, order)["effects"] == 1


def test_a_company_that_gets_verified_is_served(sandbox: Sandbox) -> None:
    """For params.for_seconds after the order was made."""
    order = sandbox.create("relograde", "company_not_verified", params={"for_seconds": 0.2})
    assert confirm(sandbox, order).text == "company not verified"
    until(lambda: confirm(sandbox, order).status_code == 200)


@pytest.mark.parametrize("status", ["finished", "pending", "cancelled"])
def test_only_a_created_order_can_be_confirmed(sandbox: Sandbox, status: str) -> None:
    """The second confirm of an order says exactly what a lost first one would have led to."""
    order = sandbox.create("relograde", status)
    assert confirm(sandbox, order).json()["orderStatus"] == status
    again = confirm(sandbox, order)
    assert (again.status_code, again.text) == (400, "this order can not be confirmed")
    assert booked(sandbox, order)["effects"] == 1


def test_an_order_expires_by_its_creation_time(sandbox: Sandbox) -> None:
    """The clock runs from `dateCreated`, and a call after it is in the books."""
    sandbox.settings({"relograde": {"confirm_within_seconds": 100}})
    young, old = (sandbox.create("relograde", "finished", age_seconds=age) for age in (90, 110))
    assert confirm(sandbox, young).status_code == 200
    assert "has expired" in confirm(sandbox, old).text
    assert [booked(sandbox, order)["calls_after_deadline"] for order in (young, old)] == [0, 1]


def test_which_of_two_refusals_wins_is_a_switch(sandbox: Sandbox) -> None:
    """The order of the checks is not known: an order both confirmed and old may be told either."""
    order = sandbox.create("relograde", "finished", age_seconds=90000)
    sandbox.move("relograde", order["order_id"], "finished")
    assert confirm(sandbox, order).text == "this order can not be confirmed"
    sandbox.settings({"relograde": {"expiry_before_status": True}})
    assert "has expired" in confirm(sandbox, order).text


def test_a_confirm_is_paid_from_the_balance_of_its_currency(sandbox: Sandbox) -> None:
    """Create costs nothing, confirm costs the order's amount, 402 costs nothing."""
    sandbox.settings({"relograde": {"balance": {"EUR": "15.00", "USD": "0"}}})
    orders = [
        sandbox.create("relograde", "finished", currency=currency)
        for currency in ("EUR", "EUR", "USD")
    ]
    assert [confirm(sandbox, order).status_code for order in orders] == [200, 402, 402]
    accounts = relograde(sandbox, "GET", "account").json(parse_float=Decimal)
    assert accounts[0] == {"currency": "eur", "state": "sandbox", "totalAmount": Decimal("5.08")}
    assert [
        row["currency"] for row in relograde(sandbox, "GET", "account?currency=USD").json()
    ] == ["usd"]


def test_money_that_comes_in_is_added(sandbox: Sandbox) -> None:
    """To what confirms have left, in a currency that was there or not."""
    sandbox.settings({"relograde": {"balance": {"EUR": "15.00"}}})
    confirm(sandbox, sandbox.create("relograde", "finished"))
    assert sandbox.top_up(eur="4.50", GBP="1") == {"EUR": "9.58", "GBP": "1"}
    assert (
        confirm(sandbox, sandbox.create("relograde", "finished", amount="9.58")).status_code == 200
    )
    with pytest.raises(ValueError, match="400"):
        sandbox.top_up(EUR="much")
    assert sandbox.books()["kinds_per_key"] == {"key-1": {"confirm": 2}}


# --- Relograde: what goes wrong on the wire -------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "params", "effects"),
    [
        ("lost_answer", {}, 1),
        ("lost_request", {}, 0),
        ("truncated", {}, 1),
        ("timeout_after", {"hold": 0.6}, 1),
        ("timeout_before", {"hold": 0.6}, 0),
        ("slow_drip", {"interval": 0.1}, 1),
    ],
)
def test_an_answer_that_never_arrives_says_nothing_of_the_effect(
    sandbox: Sandbox, behaviour: str, params: dict[str, Any], effects: int
) -> None:
    """The client sees a failure each time; only the books, and a find, tell one from the other."""
    order = sandbox.create("relograde", behaviour, params=params)
    with pytest.raises(requests.RequestException):
        requests.patch(
            f"{sandbox.relograde_url}/api/1.02/order/confirm/{order['order_id']}",
            headers=BEARER,
            timeout=(1, 0.3),
        ) if behaviour != "slow_drip" else _within(sandbox, order, seconds=0.5)
    until(lambda: booked(sandbox, order)["calls"][0]["answered_at"])
    books = booked(sandbox, order)
    assert (books["effects"], books["calls"][0]["status"] in ("dropped", "timeout")) == (
        effects,
        True,
    )
    assert find(sandbox, order).json()["orderStatus"] == ("finished" if effects else "created")


def _within(sandbox: Sandbox, order: dict[str, Any], seconds: float) -> None:
    """A budget for the whole call, which a read timeout is not."""
    url = f"{sandbox.relograde_url}/api/1.02/order/confirm/{order['order_id']}"
    end = time.monotonic() + seconds
    with requests.patch(url, headers=BEARER, timeout=(1, 0.3), stream=True) as answer:
        for _ in answer.iter_content(1):
            if time.monotonic() > end:
                raise requests.Timeout("out of budget")


@pytest.mark.parametrize(
    ("behaviour", "status", "effects"),
    [
        ("error_after", 500, 1),
        ("html_200", 200, 1),
        ("wrong_trx", 200, 1),
        ("created_200", 200, 0),
        ("no_content", 204, 1),
        ("redirect", 302, 0),
        ("oversized", 200, 1),
        ("unknown_error", 400, 0),
    ],
)
def test_an_odd_answer_is_in_the_books_as_unclear(
    sandbox: Sandbox, behaviour: str, status: int, effects: int
) -> None:
    """Whoever repeats after one of these without a read has guessed."""
    order = sandbox.create("relograde", behaviour)
    answer = confirm(sandbox, order)
    assert answer.status_code == status
    books = booked(sandbox, order)
    assert (books["effects"], books["calls"][0]["clean"]) == (effects, False)
    confirm(sandbox, order)
    assert booked(sandbox, order)["repeated_without_asking"] == 1


def test_the_odd_bodies_are_odd_in_the_way_they_are_named(sandbox: Sandbox) -> None:
    """Another trx, a status that is no news, megabytes, a page for people."""
    bodies = {
        name: (order := sandbox.create("relograde", name), confirm(sandbox, order))
        for name in ("wrong_trx", "created_200", "oversized", "html_200")
    }
    assert bodies["wrong_trx"][1].json()["trx"] != bodies["wrong_trx"][0]["order_id"]
    assert bodies["created_200"][1].json()["orderStatus"] == "created"
    assert len(bodies["oversized"][1].content) > 3_000_000
    assert bodies["html_200"][1].headers["Content-Type"].startswith("text/html")


def test_a_dropped_connection_is_reset(sandbox: Sandbox) -> None:
    """A reset, and not the polite end of a stream."""
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        confirm(sandbox, sandbox.create("relograde", "lost_answer"))


def test_a_client_that_hangs_up_does_not_stop_the_supplier(sandbox: Sandbox) -> None:
    """The effect comes after the client has gone; until then a find shows `created`."""
    order = sandbox.create("relograde", "slow", params={"hold": 0.6})
    with pytest.raises(requests.Timeout):
        confirm(sandbox, order, timeout=0.2)
    assert find(sandbox, order).json()["orderStatus"] == "created"
    until(lambda: booked(sandbox, order)["status"] == "finished")
    assert booked(sandbox, order)["calls"][0]["status"] == "timeout"


def test_a_held_confirm_holds_nobody_else(sandbox: Sandbox) -> None:
    """One slow order, one quick one."""
    thread = threading.Thread(
        target=confirm, args=(sandbox, sandbox.create("relograde", "slow", params={"hold": 0.5}))
    )
    thread.start()
    before = time.monotonic()
    assert confirm(sandbox, sandbox.create("relograde", "finished")).status_code == 200
    assert time.monotonic() - before < 0.4
    thread.join()


# --- the books ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("atomic", "effects"), [(False, 2), (True, 1)])
def test_two_confirms_at_once_are_an_overlap(sandbox: Sandbox, atomic: bool, effects: int) -> None:
    """Nobody knows whether the real gate is atomic; the sandbox's default is that it is not, and
    both are charged.
    """
    sandbox.settings({"relograde": {"hold_seconds": 0.3, "atomic_gate": atomic}})
    order = sandbox.create("relograde", "finished")
    threads = [threading.Thread(target=confirm, args=(sandbox, order)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    books = booked(sandbox, order)
    assert (books["overlaps"], books["effects"], books["repeated_without_asking"]) == (
        1,
        effects,
        1,
    )


def test_a_read_between_two_confirms_is_asking(sandbox: Sandbox) -> None:
    """A find that was answered, or a page of the list with the order on it; a find that failed is
    no answer.
    """
    for ask in ("find", "list", "failed find"):
        order = sandbox.create(
            "relograde", "lost_request", params={"read_errors": int(ask == "failed find")}
        )
        with pytest.raises(requests.ConnectionError):
            confirm(sandbox, order)
        relograde(sandbox, "GET", "order" if ask == "list" else f"order/{order['order_id']}")
        assert confirm(sandbox, order).status_code == 200
        books = booked(sandbox, order)
        assert (books["repeated_without_asking"], books["reads"]) == (
            int(ask == "failed find"),
            1,
        ), ask


def test_a_clear_refusal_may_be_repeated_without_asking(sandbox: Sandbox) -> None:
    """402, 422 and 429 say that nothing happened."""
    order = sandbox.create("relograde", "rate_limited")
    assert [confirm(sandbox, order).status_code for _ in range(2)] == [429, 200]
    assert booked(sandbox, order)["repeated_without_asking"] == 0


def test_the_books_name_every_call_and_no_key(sandbox: Sandbox) -> None:
    """Kind, times, status and effect of each call; keys only by their labels."""
    order = sandbox.create("relograde", "finished")
    confirm(sandbox, order)
    find(sandbox, order)
    books = sandbox.books()
    calls = books["orders"][0]["calls"]
    assert [(call["kind"], call["status"], call["effect"]) for call in calls] == [
        ("confirm", 200, True),
        ("find", 200, False),
    ]
    assert all(call["at"] <= call["answered_at"] for call in calls)
    assert {label: len(times) for label, times in books["calls_per_key"].items()} == {"key-1": 2}
    assert "sandbox-key" not in json.dumps(books)
    assert (books["orders"][0]["lines_finished"], books["orders"][0]["lines_total"]) == (2, 2)


def test_the_mix_comes_from_the_seed(sandbox: Sandbox) -> None:
    """The same seed gives the same behaviours, and never the same ids."""
    wanted = [{"supplier": "relograde", "behaviour": "mix"}] * 50
    first = sandbox.create_many(wanted)
    sandbox.reset()
    second = sandbox.create_many(wanted)
    assert [order["behaviour"] for order in first] == [order["behaviour"] for order in second]
    assert not {order["order_id"] for order in first} & {order["order_id"] for order in second}


@pytest.mark.parametrize(
    "wanted",
    [
        {"supplier": "relograde", "behaviour": "no such"},
        {"supplier": "nobody", "behaviour": "finished"},
        {"supplier": "relograde", "behaviour": "finished", "params": {"hodl": 1}},
        {"supplier": "relograde", "behaviour": "finished", "created_at": "2026-01-01T00:00:00"},
        {"supplier": "relograde", "behaviour": "finished", "age": 3},
    ],
)
def test_a_misspelt_order_is_refused(sandbox: Sandbox, wanted: dict[str, Any]) -> None:
    """A typing error in a test must not pass for a passed test; and of a list either all are made
    or none.
    """
    with pytest.raises(ValueError, match="400"):
        sandbox.create_many([{"supplier": "relograde", "behaviour": "finished"}, wanted])
    assert sandbox.books()["orders"] == []


def test_an_unknown_behaviour_lists_the_known_ones(sandbox: Sandbox) -> None:
    """So that the message is enough to go on."""
    with pytest.raises(ValueError, match="lost_answer"):
        sandbox.create("logitrail", "no such")


@pytest.mark.parametrize(
    "wanted",
    [
        {"relograde": {"no_such": 1}},
        {"relograde": {"outage": "418"}},
        {"relograde": {"key_valid": 1}},
        {"nobody": {}},
        {"logitrail": {"not_passive_status": 422}},
    ],
)
def test_a_misspelt_switch_is_refused(sandbox: Sandbox, wanted: dict[str, Any]) -> None:
    """And changes nothing."""
    before = sandbox.settings()
    with pytest.raises(ValueError, match="400"):
        sandbox.settings(wanted)
    assert sandbox.settings() == before


# --- Relograde: keys, budgets, outages, the other routes ------------------------------------------


def test_sixty_calls_a_minute_and_key(sandbox: Sandbox) -> None:
    """Reads and confirms count together, each key for itself; Retry-After only by switch."""
    order = sandbox.create("relograde", "finished")
    sandbox.settings({"relograde": {"rate_limit": 3}})
    assert [find(sandbox, order).status_code for _ in range(3)] == [200] * 3
    refused = confirm(sandbox, order)
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, False)
    assert find(sandbox, order, key="other-key").status_code == 404
    sandbox.settings({"relograde": {"retry_after": 7}})
    assert find(sandbox, order).headers["Retry-After"] == "7"
    assert booked(sandbox, order)["effects"] == 0
    assert len(sandbox.books()["calls_per_key"]["key-1"]) == 5


def test_the_documented_budget_is_the_default(sandbox: Sandbox) -> None:
    """60 in a minute at Relograde; none documented at Logitrail."""
    settings = sandbox.settings()
    assert (settings["relograde"]["rate_limit"], settings["logitrail"]["rate_limit"]) == (60, 0)


def test_an_order_belongs_to_its_key(sandbox: Sandbox) -> None:
    """Another key gets a 404, a wrong one a 401."""
    order = sandbox.create("relograde", "finished", account_key="other-key")
    assert confirm(sandbox, order).status_code == 404
    assert confirm(sandbox, order, key="nonsense").status_code == 401
    assert confirm(sandbox, order, key="other-key").status_code == 200


@pytest.mark.parametrize(
    ("switch", "status"),
    [
        ({"key_valid": False}, 401),
        ({"invalid_keys": ["key-1"]}, 401),
        ({"address_allowed": False}, 403),
        ({"outage": "503"}, 503),
        ({"outage": 502}, 502),
        ({"company_verified": False}, 400),
    ],
)
def test_what_blocks_the_whole_account(
    sandbox: Sandbox, switch: dict[str, Any], status: int
) -> None:
    """And leaves the order alone."""
    order = sandbox.create("relograde", "finished")
    sandbox.settings({"relograde": switch})
    assert confirm(sandbox, order).status_code == status
    sandbox.reset()
    assert sandbox.settings()["relograde"]["outage"] is None


def test_a_supplier_that_refuses_closes_its_own_port(sandbox: Sandbox) -> None:
    """On its own port nobody answers at all; on the shared one the connection is cut; afterwards
    both are back.
    """
    order = sandbox.create("relograde", "finished")
    shared = f"{sandbox.url}/relograde/api/1.02/order/{order['order_id']}"
    sandbox.settings({"relograde": {"outage": "refuse"}})
    with pytest.raises(requests.ConnectionError, match="refused"):
        find(sandbox, order)
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        requests.get(shared, headers=BEARER, timeout=PATIENCE)
    sandbox.settings({"relograde": {"outage": None}})
    assert (
        find(sandbox, order).status_code
        == requests.get(shared, headers=BEARER, timeout=PATIENCE).status_code
        == 200
    )


def test_an_order_can_be_made_through_the_api(sandbox: Sandbox) -> None:
    """As the shop makes it: items, reference, a price but no charge; resolve wants one item
    only.
    """
    item = {"productSlug": "rewarble-ww-eur-5", "amount": 2}
    body = {"paymentCurrency": "eur", "reference": "shop 1", "items": [item]}
    made = relograde(sandbox, "POST", "order", json=body)
    assert (made.status_code, made.json()["orderStatus"], made.json()["reference"]) == (
        201,
        "created",
        "shop 1",
    )
    assert '"priceAmount":9.92' in made.text
    assert (
        relograde(sandbox, "PATCH", f"order/resolve/{made.json()['trx']}").json()["orderStatus"]
        == "finished"
    )
    two = relograde(sandbox, "POST", "order", json={**body, "items": [item, item]}).json()
    assert relograde(sandbox, "PATCH", f"order/resolve/{two['trx']}").text == "MULTIPLE_ORDER_LINES"
    assert relograde(sandbox, "PATCH", f"order/confirm/{two['trx']}").status_code == 200
    assert relograde(sandbox, "POST", "order", json={"items": []}).status_code == 400


def test_resolve_delivers_now_or_not_at_all(sandbox: Sandbox) -> None:
    """What confirm would leave pending, resolve cancels."""
    order = sandbox.create("relograde", "pending")
    assert (
        relograde(sandbox, "PATCH", f"order/resolve/{order['order_id']}").json()["orderStatus"]
        == "cancelled"
    )


def test_cancel_deletes_an_unconfirmed_order_and_cancels_a_pending_one(sandbox: Sandbox) -> None:
    """204 and gone; or 200 with lines that are still shown as pending."""
    created, pending = (
        sandbox.create("relograde", "finished"),
        sandbox.create("relograde", "pending"),
    )
    confirm(sandbox, pending)
    assert relograde(sandbox, "PATCH", f"order/cancel/{created['order_id']}").status_code == 204
    assert find(sandbox, created).status_code == confirm(sandbox, created).status_code == 404
    body = relograde(sandbox, "PATCH", f"order/cancel/{pending['order_id']}").json()
    assert (body["orderStatus"], body["items"][0]["orderLines"][0]["status"]) == (
        "cancelled",
        "pending",
    )
    assert find(sandbox, pending).json()["items"][0]["orderLines"][0]["status"] == "cancelled"


def test_the_list_has_pages(sandbox: Sandbox) -> None:
    """Newest first or oldest first; page and limit, or limit and offset; only this key's orders."""
    ids = [
        sandbox.create("relograde", "finished", age_seconds=age)["order_id"] for age in (30, 20, 10)
    ]
    sandbox.create("relograde", "finished", account_key="key-2")
    page = relograde(sandbox, "GET", "order?page=2&limit=2").json()
    assert page["pagination"] == {"total": 3, "page": 2, "limit": 2, "pages": 2}
    assert [order["trx"] for order in page["data"]] == ids[:1]
    sandbox.settings({"relograde": {"list_order": "oldest"}})
    assert [
        order["trx"] for order in relograde(sandbox, "GET", "order?limit=2&offset=1").json()["data"]
    ] == ids[1:]


def test_the_list_can_lie(sandbox: Sandbox) -> None:
    """An end is shown as pending there, and as it is by a find."""
    done, new = sandbox.create("relograde", "finished"), sandbox.create("relograde", "finished")
    confirm(sandbox, done)
    for stuck, shown in ((False, "finished"), (True, "pending")):
        sandbox.settings({"relograde": {"list_stuck": stuck}})
        page = {
            order["trx"]: order["orderStatus"]
            for order in relograde(sandbox, "GET", "order").json()["data"]
        }
        assert page == {done["order_id"]: shown, new["order_id"]: "created"}
    assert find(sandbox, done).json()["orderStatus"] == "finished"


# --- Logitrail ------------------------------------------------------------------------------------


def test_a_logitrail_confirm_has_the_documented_members(sandbox: Sandbox) -> None:
    """`success`, `order_id`, `tracking_code`, `tracking_url` with escaped slashes; the second time
    not passive.
    """
    order = sandbox.create("logitrail", "confirmed")
    answer = ship(sandbox, order)
    assert re.fullmatch(r"[0-9a-f]{24}", order["order_id"])
    assert (answer.status_code, list(answer.json())) == (
        200,
        ["success", "order_id", "tracking_code", "tracking_url"],
    )
    assert r"https:\/\/" in answer.text
    assert answer.json()["order_id"] == order["order_id"]
    books = booked(sandbox, order)
    assert (books["tracking_code"], books["repeated_without_asking"]) == (
        answer.json()["tracking_code"],
        None,
    )
    for status in (400, 409):
        sandbox.settings({"logitrail": {"not_passive_status": status}})
        again = ship(sandbox, order)
        assert (again.status_code, again.json()["code"]) == (status, "order_not_passive")
        assert "tracking_code" not in again.json()


@pytest.mark.parametrize(
    ("behaviour", "status", "code", "effects"),
    [
        ("order_not_passive", 400, "order_not_passive", 0),
        ("error_before", 500, "unknown", 0),
        ("error_after", 500, "unknown", 1),
        ("unknown_error", 500, "unknown", 0),
        ("invalid_body", 400, "product.merchants_id.required", 0),
        ("access_denied", 403, "access_denied", 0),
        ("not_found", 404, "not_found", 0),
        ("conflict", 409, "conflicting_state", 0),
        ("rate_limited", 429, "rate_limited", 0),
    ],
)
def test_logitrail_speaks_in_codes(
    sandbox: Sandbox, behaviour: str, status: int, code: str, effects: int
) -> None:
    """JSON with `code`, whatever the HTTP status."""
    order = sandbox.create("logitrail", behaviour)
    answer = ship(sandbox, order)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert booked(sandbox, order)["effects"] == effects


@pytest.mark.parametrize(
    ("behaviour", "effects"),
    [("lost_answer", 1), ("lost_request", 0), ("truncated", 1), ("timeout_after", 1)],
)
def test_a_lost_logitrail_answer_says_nothing_of_the_effect(
    sandbox: Sandbox, behaviour: str, effects: int
) -> None:
    """The repeat is the question: 200 when nothing had happened, `order_not_passive` when it
    had.
    """
    order = sandbox.create(
        "logitrail", behaviour, params={"hold": 0.5} if behaviour == "timeout_after" else {}
    )
    with pytest.raises(requests.RequestException):
        ship(sandbox, order, timeout=0.2)
    assert booked(sandbox, order)["effects"] == effects
    assert ship(sandbox, order).status_code == (400 if effects else 200)
    assert booked(sandbox, order)["effects"] == 1


def test_odd_logitrail_answers(sandbox: Sandbox) -> None:
    """No tracking, no success, another order, a page for people."""
    bodies = {
        name: ship(sandbox, sandbox.create("logitrail", name))
        for name in LOGITRAIL
        if _is_odd(name)
    }
    assert set(bodies["confirmed_without_tracking"].json()) == {"success", "order_id"}
    assert bodies["success_false"].json() == {"success": False}
    assert re.fullmatch(r"[0-9a-f]{24}", bodies["wrong_order_id"].json()["order_id"])
    assert (bodies["html_500"].status_code, bodies["html_500"].text[:9]) == (500, "<!DOCTYPE")


def _is_odd(name: str) -> bool:
    return name in ("confirmed_without_tracking", "success_false", "wrong_order_id", "html_500")


def test_the_two_hosts_share_one_state_and_fail_apart(sandbox: Sandbox) -> None:
    """What host 1 confirmed is not passive at host 2; while one is down the other answers."""
    first, second = (
        sandbox.create("logitrail", "confirmed"),
        sandbox.create("logitrail", "confirmed"),
    )
    assert ship(sandbox, first, host=1).status_code == 200
    assert ship(sandbox, first, host=2).json()["code"] == "order_not_passive"
    sandbox.settings({"logitrail": {"host_1_down": True}})
    with pytest.raises(requests.ConnectionError, match="refused"):
        ship(sandbox, second, host=1)
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        requests.post(
            f"{sandbox.url}/logitrail-1/2015-01-01/orders/{second['order_id']}/_confirm",
            auth=BASIC,
            timeout=PATIENCE,
        )
    assert ship(sandbox, second, host=2).status_code == 200
    assert [call["host"] for call in booked(sandbox, second)["calls"]] == [1, 2]


def test_logitrail_credentials(sandbox: Sandbox) -> None:
    """A wrong secret is a 403 with `access_denied`, and so is a key that was withdrawn."""
    order = sandbox.create("logitrail", "confirmed")
    denied = ship(sandbox, order, auth=("M-sandbox", "wrong"))
    assert (denied.status_code, denied.json()["code"]) == (403, "access_denied")
    sandbox.settings({"logitrail": {"key_valid": False}})
    assert ship(sandbox, order).status_code == 403


def test_a_confirm_body_is_applied_only_when_the_confirm_is_accepted(sandbox: Sandbox) -> None:
    """And the books say which confirm carried one."""
    order = sandbox.create("logitrail", "confirmed")
    assert (
        ship(sandbox, order, json={"products": [{"qty": 1}]}).json()["code"]
        == "product.merchants_id.required"
    )
    assert ship(sandbox, order, json={"tags": ["a"]}).status_code == 200
    assert ship(sandbox, order, json={"tags": ["b"]}).status_code == 400
    assert ship(sandbox, order).status_code == 400
    books = booked(sandbox, order)
    assert books["details"] == {"tags": ["a"]}
    assert [call["body"] for call in books["calls"]] == [True, True, True, False]


def test_a_logitrail_order_can_be_made_updated_and_deleted(sandbox: Sandbox) -> None:
    """201 and passive; `deleted` before and `cancelled` after confirmation; there is no GET."""
    made = logitrail(sandbox, "POST", "_create", json={"merchants_order": {"id": "shop 1"}})
    order = {"supplier": "logitrail", "order_id": made.json()["order_id"]}
    assert (made.status_code, booked(sandbox, order)["status"]) == (201, "passive")
    assert logitrail(sandbox, "POST", order["order_id"], json={"language": "fi"}).status_code == 200
    assert booked(sandbox, order)["details"]["language"] == "fi"
    assert logitrail(sandbox, "GET", order["order_id"]).json()["code"] == "method_not_allowed"
    assert ship(sandbox, order).status_code == 200
    assert logitrail(sandbox, "DELETE", order["order_id"]).json() == {"success": True}
    assert booked(sandbox, order)["status"] == "cancelled"
    assert (
        logitrail(sandbox, "POST", f"{order['order_id']}/_delete").json()["code"]
        == "order_already_cancelled"
    )
    assert ship(sandbox, order).json()["code"] == "order_not_passive"


# --- webhooks -------------------------------------------------------------------------------------


def test_a_relograde_webhook_names_the_order_and_nothing_else(sandbox: Sandbox) -> None:
    """`event`, `state`, `apiKeyDescription`, and trx and reference in `data`."""
    order = sandbox.create("relograde", "finished", reference="shop 1")
    assert sandbox.webhook("relograde", order["order_id"]) == {
        "event": "ORDER_FINISHED",
        "state": "sandbox",
        "apiKeyDescription": "key-1",
        "data": {"trx": order["order_id"], "reference": "shop 1"},
    }


def test_a_logitrail_webhook_carries_tracking_once_confirmed(sandbox: Sandbox) -> None:
    """Alone or in an array, with the merchant's order as an object or as text."""
    order = sandbox.create("logitrail", "confirmed", reference="shop 1")
    event = sandbox.webhook("logitrail", order["order_id"])
    assert set(event) == {"event_id", "webhook_id", "event_type", "ts", "retry_count", "payload"}
    about = {"id": order["order_id"], "merchants_order": {"id": "shop 1"}, "status": "passive"}
    assert event["payload"] == {"order": about}
    sandbox.settings({"logitrail": {"webhook_batch": True, "webhook_merchants_order_as": "string"}})
    moved = sandbox.move("logitrail", order["order_id"], "processed")
    told = sandbox.webhook("logitrail", order["order_id"])[0]["payload"]["order"]
    assert (told["merchants_order"], told["status"]) == ("shop 1", "processed")
    assert told["tracking_code"] == moved["tracking_code"] is not None
    assert moved["effects"] == 0


def test_webhooks_are_sent_as_often_as_wanted_and_nobody_waits_for_them(sandbox: Sandbox) -> None:
    """On finished, also when the confirm itself finished; for a cancelled order nothing comes."""
    heard: list[dict[str, Any]] = []

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Ear) as ear:
        threading.Thread(target=ear.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{ear.server_port}/"
        sandbox.settings({"relograde": {"webhook_url": url, "webhook_copies": 2}})
        orders = [
            sandbox.create("relograde", name, params={"finish_after": 0.1})
            for name in ("finished", "pending", "cancelled")
        ]
        for order in orders:
            assert confirm(sandbox, order).status_code == 200
        until(lambda: len(heard) == 4)
        ear.shutdown()
    told = [body["data"]["trx"] for body in heard]
    assert sorted(told) == sorted([order["order_id"] for order in orders[:2]] * 2)


# --- the tables -----------------------------------------------------------------------------------


def test_every_behaviour_can_be_confirmed_and_none_takes_effect_twice(sandbox: Sandbox) -> None:
    """Each row of both tables, three confirms each: whatever the client saw, at most one effect."""
    sandbox.settings(
        {
            "relograde": {
                "rate_limit": 0,
                "defaults": {"hold": 0.01, "interval": 0.0, "megabytes": 1},
            }
        }
    )
    sandbox.settings({"logitrail": {"defaults": {"hold": 0.01, "interval": 0.0}}})
    for supplier, table in (("relograde", RELOGRADE), ("logitrail", LOGITRAIL)):
        for name in table:
            order = sandbox.create(supplier, name)
            for _ in range(3):
                _try(sandbox, order)
    rows = sandbox.books()["orders"]
    assert len(rows) == len(RELOGRADE) + len(LOGITRAIL)
    assert {row["behaviour"]: row["effects"] for row in rows if row["effects"] > 1} == {}
    assert {row["behaviour"] for row in rows if row["confirms"] != 3} == set()
    assert {row["behaviour"] for row in rows if row["overlaps"]} == set()


def _try(sandbox: Sandbox, order: dict[str, Any]) -> None:
    try:
        (confirm if order["supplier"] == "relograde" else ship)(sandbox, order)
    except requests.RequestException:
        return
