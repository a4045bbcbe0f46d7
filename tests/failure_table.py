"""The table of failures: what the wire does to one call, and what it must make of the order.

Worked out by hand from the rules, never from what the code does. A row reads: *what happens*:
(wire, what follows). What follows is the order's state and reason, `unresolved` when a confirm may
have happened, the next look (which call, and how long from now), and the lane's cause when it is
held. `untouched` says how an order ends when the call in fact had no effect, where that is not
`confirmed`.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from conftest import START
from wire_server import Visit, http, says
from wires import (
    EXPECTS_TLS,
    LEAVES_HANDSHAKE,
    NO_SUCH_HOST,
    REFUSES,
    RESETS_HANDSHAKE,
    RESETS_UNREAD,
    SHAKES_NO_HANDS,
    SPEAKS_PLAINLY,
    TAKES_NOBODY,
    UNTRUSTED,
    WRONG_HOST,
    Wire,
    answers,
    cuts,
    drips_body,
    drips_chunks,
    drips_continue,
    drips_headers,
    drips_status,
    hangs_up,
    never_answers,
    resets,
    serves,
    speaks_nonsense,
    stops_short,
)

DATA = Path(__file__).parent / "data"
TRX = "RELO0T6YGUVIF4TBWE2"
LOGITRAIL_ID = "5499362b1fb35e73548b45af"
HTML = "<!doctype html><title>Please wait</title>"
MEBIBYTE = 1024 * 1024
Row = tuple[Wire, str] | tuple[Wire, str, str]


@dataclass(frozen=True)
class Situation:
    """One supplier, what the calls before met, and the rows for the next call.

    `others`: what other orders met.
    """

    supplier: str
    rows: dict[str, Row]
    before: tuple[Wire, ...] = ()
    others: tuple[Wire, ...] = ()


@dataclass(frozen=True)
class Case:
    """One row, as a test takes it."""

    name: str
    supplier: str
    wire: Wire
    leads_to: str
    untouched: str = "confirmed"
    before: tuple[Wire, ...] = ()
    others: tuple[Wire, ...] = field(default=(), repr=False)


def order(status: str, **changed: Any) -> dict[str, Any]:
    """Relograde's order with five lines, created an hour before the tests begin."""
    document = json.loads(
        (DATA / f"relograde_{'pending' if status == 'pending' else 'finished'}.json").read_text()
    )
    return (
        document | {"trx": TRX, "orderStatus": status, "dateCreated": created_ago(3600)} | changed
    )


def created_ago(seconds: float) -> str:
    return datetime.fromtimestamp(START - seconds, UTC).isoformat()


def with_lines(status: str, *lines: str, code: str | None = "CODE") -> dict[str, Any]:
    """Lines of these statuses, each with `code` to deliver."""
    made = [{"tag": f"T{n}", "status": line, "voucherCode": code} for n, line in enumerate(lines)]
    return order(status, items=[{"amount": len(made), "orderLines": made}])


def done(**changed: Any) -> dict[str, Any]:
    """Logitrail's confirmation."""
    return {
        "success": True,
        "order_id": LOGITRAIL_ID,
        "tracking_code": "JJFI1",
        "tracking_url": "https://t/1",
    } | changed


def chunked(*pieces: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def in_date(**ahead: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**ahead), usegmt=True)


def limited_until(**ahead: float) -> Wire:
    """429 with a date, which counts from the moment of the answer."""

    def behave(visit: Visit) -> bool:
        return says(http(429, retry_after=in_date(**ahead)))(visit)

    return serves(behave)


def slow(behave: Any) -> Wire:
    return serves(behave, slow=True)


FINISHED, PENDING, CANCELLED, CREATED = (
    answers(200, order(status)) for status in ("finished", "pending", "cancelled", "created")
)
WHOLE = json.dumps(order("finished")).encode()
E503 = answers(503, "service not available")

# --- nothing was sent: no effect for sure, the same call again ------------------------------------

UNSENT = {
    "the host has no address": NO_SUCH_HOST,
    "the connection is refused": REFUSES,
    "the connection is not taken in time": TAKES_NOBODY,
    "the TLS handshake is never answered": SHAKES_NO_HANDS,
    "the TLS handshake is reset": RESETS_HANDSHAKE,
    "the TLS handshake is hung up": LEAVES_HANDSHAKE,
    "the certificate is not trusted": UNTRUSTED,
    "the certificate is another host's": WRONG_HOST,
    "plain HTTP is spoken on the TLS port": SPEAKS_PLAINLY,
}

# --- sent, and no usable answer: it may have happened ---------------------------------------------

LOST = {
    "TLS is spoken on the plain port": EXPECTS_TLS,
    "the connection is reset before the request is read": RESETS_UNREAD,
    "the connection is reset after the request": serves(resets),
    "the connection is closed without an answer": serves(hangs_up),
    "no answer ever comes": slow(never_answers),
    "the status line drips": slow(drips_status),
    "the headers drip": slow(drips_headers),
    "it says `100 Continue` for ever": slow(drips_continue),
    "the body drips": slow(drips_body),
    "the chunks drip": slow(drips_chunks),
    "nonsense instead of HTTP": serves(speaks_nonsense),
    "a header line of 100 kB": serves(
        cuts(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n")
    ),
    "a thousand headers": serves(cuts(b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 1000 + b"\r\n")),
    "the body is shorter than its length": serves(stops_short),
    "the body ends where the connection does, in the middle": serves(
        cuts(b"HTTP/1.1 200 OK\r\n\r\n" + WHOLE[:500])
    ),
    "the JSON is cut short, its length is right": answers(200, WHOLE[:500]),
    "a chunk is cut off": serves(cuts(chunked(WHOLE)[:500])),
    "the last chunk is missing": serves(cuts(chunked(WHOLE[:500]))),
    "a chunk's size is no number": serves(cuts(chunked() + b"zz\r\nxx\r\n0\r\n\r\n")),
    "gzip that is none": answers(200, b"not zipped", content_encoding="gzip"),
    "gzip that is cut off": answers(200, gzip.compress(WHOLE)[:-40], content_encoding="gzip"),
    "a gzip bomb": answers(200, gzip.compress(b" " * 64 * MEBIBYTE), content_encoding="gzip"),
    "a body of two mebibytes": answers(200, b" " * 2 * MEBIBYTE),
    "200 with HTML": answers(200, HTML, content_type="text/html"),
    "200 with nothing": answers(200),
    "200 with an empty list": answers(200, "[]"),
    "200 with a JSON text": answers(200, '"finished"'),
    "200 with brackets without end": answers(200, "[" * 200_000),
    "201": answers(201),
    "204": answers(204),
    "301": answers(301, location="/elsewhere"),
    "302 with a page": answers(302, HTML, location="https://elsewhere.example/"),
    "307": answers(307, location="/elsewhere"),
    "308": answers(308, location="/elsewhere"),
    "408": answers(408),
    "500": answers(500, "server_error"),
    "500 in the words of a refusal": answers(500, "insufficient balance"),
    "502 with HTML": answers(502, "<html>Bad Gateway</html>"),
    "503 in the words of a refusal": E503,
    "503 with Retry-After": answers(503, retry_after="120"),
    "504": answers(504),
    "599": answers(599),
}
RELOGRADE_ODD = {
    "200 with another trx": answers(200, order("finished", trx="RELOANOTHER")),
    "200 without a trx": answers(200, order("finished", trx=None)),
    "200 with a status that nobody knows": answers(200, order("expired")),
    "200 without a status": answers(200, order("finished", orderStatus=None)),
    "200 with items that are none": answers(200, order("finished", items="many")),
    "201 with a finished order": answers(201, order("finished")),
}
LOGITRAIL_ODD = {
    "200 with another order": answers(200, done(order_id="0" * 24)),
    "200 without an order": answers(200, done(order_id=None)),
    "200, success is false": answers(200, done(success=False)),
    "200, success is a text": answers(200, done(success="true")),
    "200 with a refusal's code": answers(200, done(success=False, code="access_denied")),
    "201 with a confirmation": answers(201, done()),
    "400 `unknown`": answers(400, {"code": "unknown", "message": "internal"}),
    "500 `unknown`": answers(500, {"code": "unknown", "message": "internal"}),
    "503 `access_denied`": answers(503, {"code": "access_denied"}),
}

# One of each kind, where the same wire is met in another situation.
FEW_UNSENT = {
    name: UNSENT[name]
    for name in (
        "the host has no address",
        "the connection is refused",
        "the certificate is not trusted",
    )
}
FEW_LOST = {
    name: LOST[name]
    for name in (
        "the connection is reset after the request",
        "no answer ever comes",
        "the body drips",
        "the body is shorter than its length",
        "a chunk is cut off",
        "a gzip bomb",
        "a body of two mebibytes",
        "200 with HTML",
        "204",
        "408",
        "500",
        "502 with HTML",
        "504",
    )
}

# --- the lane's trouble: it is held, the order stays due ------------------------------------------

HELD = {
    "401": (answers(401, "unauthorized"), "unauthorized", 2),
    "403": (answers(403, {"message": "forbidden"}), "forbidden", 2),
    "405": (answers(405), "misconfigured", 2),
    "429": (answers(429), "rate_limited", 2),
    "429 with Retry-After": (answers(429, retry_after="17"), "rate_limited", 17),
}
LIMITS = {
    "429 with Retry-After in parts of a second": (answers(429, retry_after="2.5"), 2.5),
    "429 with Retry-After 0": (answers(429, retry_after="0"), 2),
    "429 with a negative Retry-After": (answers(429, retry_after="-5"), 2),
    "429 with Retry-After in three years": (answers(429, retry_after="99999999"), 300),
    "429 with Retry-After of 400 digits": (answers(429, retry_after="9" * 400), 2),
    "429 with Retry-After `soon`": (answers(429, retry_after="soon"), 2),
    "429 with Retry-After as a date in two minutes": (limited_until(seconds=150), "1*"),
    "429 with Retry-After as a date tomorrow": (limited_until(days=1), 300),
    "429 with Retry-After as a date yesterday": (limited_until(days=-1), 2),
    "429 with Retry-After as no date": (
        answers(429, retry_after="Sun, 99 Nov 2026 11:00:00 GMT"),
        2,
    ),
}
BLOCKED = {
    **HELD,
    "401 in the words of a refusal": (answers(401, "key has expired"), "unauthorized", 2),
    "403 with HTML": (answers(403, HTML), "forbidden", 2),
    **{name: (wire, "rate_limited", probe) for name, (wire, probe) in LIMITS.items()},
}


def all_of(wires: dict[str, Wire], leads_to: str) -> dict[str, Row]:
    return {name: (wire, leads_to) for name, wire in wires.items()}


def holding(wires: dict[str, tuple[Wire, str, Any]], order_is: str) -> dict[str, Row]:
    return {
        name: (wire, f"{order_is}; lane {cause}, probe in {probe} s")
        for name, (wire, cause, probe) in wires.items()
    }


# --- Relograde: every documented refusal, in every shape ------------------------------------------

EXPIRED = "this order has expired, orders need confirmation within 24 hours"
REFUSALS = {
    "this order can not be confirmed": (400, "submitted, unresolved; ask now"),
    EXPIRED: (400, "dead order_expired; no look"),
    "company not verified": (400, "accepted; confirm now; lane company_not_verified, probe in 2 s"),
    "MULTIPLE_ORDER_LINES": (400, "dead multiple_order_lines; no look"),
    "insufficient balance": (402, "dead insufficient_balance; no look"),
    "order not found": (404, "accepted; confirm in 30 s"),
    "some offers not available: rewarble 5 EUR": (422, "dead offer_unavailable; no look"),
    "Product rewarble 5 EUR WW is out of stock": (422, "dead out_of_stock; no look"),
}


def shapes(text: str) -> dict[str, Any]:
    """As version 1.03 says it, as clients of 1.02 expect it, and as nobody should be surprised to
    see it.
    """
    return {
        "text": f"{text}\n",
        "upper case": text.upper(),
        "lower case": text.lower(),
        "`message`": {"statusCode": 400, "message": text, "error": "Bad Request"},
        "`error`": {"error": text},
        "a list": {"message": [text]},
        "a JSON text": json.dumps(text.upper()),
    }


def refusals() -> Iterator[tuple[str, Row]]:
    for text, (status, leads_to) in REFUSALS.items():
        for shape, body in shapes(text).items():
            yield f"{status} {text[:32]}, as {shape}", (answers(status, body), leads_to)


UNCLEAR = {
    "400 in new words": answers(400, "something new"),
    "400 in new words, as JSON": answers(400, {"message": "something new"}),
    "400 with HTML": answers(400, "<p>this page is not available</p>"),
    "400 with nothing": answers(400),
    "400 with bytes that are no text": answers(400, b"\xff\xfe\xfa"),
    "409": answers(409),
    "418": answers(418),
    "422 in new words": answers(422, "something new"),
}

RELOGRADE_CONFIRM: dict[str, Row] = {
    **all_of(UNSENT, "accepted; confirm in 2 s"),
    **all_of(LOST | RELOGRADE_ODD, "submitted, unresolved; ask in 2 s"),
    "200 `created`": (answers(200, order("created")), "submitted, unresolved; ask in 2 s"),
    **dict(refusals()),
    **{
        name: (wire, "submitted, unresolved; ask now", "dead unrecognised_answer") for name, wire in UNCLEAR.items()
    },
    "400 insufficient balance": (answers(400, "insufficient balance"), "dead insufficient_balance; no look"),
    "400 out of stock, as version 1.00 said it": (answers(400, "x is out of stock"), "dead out_of_stock; no look"),
    "402 without a word": (answers(402), "dead insufficient_balance; no look"),
    "404 without a word": (answers(404), "accepted; confirm in 30 s"),
    "404 with HTML": (answers(404, HTML), "accepted; confirm in 30 s"),
    **holding(BLOCKED, "accepted; confirm now"),
    "200 `pending`": (PENDING, "pending; recheck in 15 s"),
    "200 `FINISHED`": (answers(200, order("FINISHED")), "confirmed; no look"),
    "200 `finished`, in chunks": (serves(says(chunked(WHOLE) + b"0\r\n\r\n")), "confirmed; no look"),
    "200 `finished`, zipped": (answers(200, gzip.compress(WHOLE), content_encoding="gzip"), "confirmed; no look"),
    "200 `finished`, a line without a code": (
        answers(200, with_lines("finished", "finished", code="")),
        "pending; recheck in 2 s",
    ),
    "200 `finished`, a line still pending": (
        answers(200, with_lines("finished", "finished", "pending")),
        "pending; recheck in 2 s",
    ),
    "200 `cancelled`": (answers(200, with_lines("cancelled", "cancelled", "finished")), "cancelled; no look"),
    "200 `cancelled`, a line still pending": (
        answers(200, with_lines("cancelled", "pending")),
        "cancelled; recheck in 900 s",
    ),
}  # fmt: skip

# --- Relograde: the question after a confirm without an answer ------------------------------------

STILL = "submitted, unresolved; ask in 10 s"
FOUND: dict[str, Row] = {
    "200 `finished`": (FINISHED, "confirmed; no look"),
    "200 `pending`": (PENDING, "pending; recheck in 15 s"),
    "200 `cancelled`": (answers(200, with_lines("cancelled", "cancelled")), "cancelled; no look"),
}
MISLED = {
    name: (answers(status, location="/elsewhere"), "misconfigured", 2)
    for name, status in {"301": 301, "302 with a page": 302, "307": 307, "308": 308}.items()
} | {"company not verified": (answers(400, "company not verified"), "company_not_verified", 2)}
RELOGRADE_ASK: dict[str, Row] = {
    **all_of(FEW_UNSENT | FEW_LOST | RELOGRADE_ODD | UNCLEAR, STILL),
    **{
        f"{status} {text[:32]}": (answers(status, text), STILL)
        for text, (status, _) in REFUSALS.items()
        if text != "company not verified"
    },
    **holding(HELD | MISLED, "submitted, unresolved; ask now"),
    **FOUND,
    "200 `created`, too early to be believed": (CREATED, "submitted, unresolved; ask in 43.01 s"),
}
RELOGRADE_SETTLED: dict[str, Row] = {
    **FOUND,
    "200 `created`": (CREATED, "accepted; confirm now"),
    "200 `created`, but 25 hours ago": (
        answers(200, order("created", dateCreated=created_ago(90000))),
        "dead deadline_missed; no look",
    ),
    "500": (answers(500), "submitted, unresolved; ask in 2 s"),
    "the connection is refused": (REFUSES, "submitted, unresolved; ask in 2 s"),
    "404": (answers(404, "order not found"), "submitted, unresolved; ask in 2 s"),
    "200 with HTML": (answers(200, HTML), "submitted, unresolved; ask in 2 s"),
}
RELOGRADE_AGAIN: dict[str, Row] = {
    "the order has expired": (answers(400, EXPIRED), "accepted; ask now"),
    "it can not be confirmed": (
        answers(400, "this order can not be confirmed"),
        "submitted, unresolved; ask now",
    ),
    "it is out of stock now": (
        answers(422, "Product x is out of stock"),
        "dead out_of_stock; no look",
    ),
    "the connection is refused": (REFUSES, "accepted; confirm in 2 s"),
    "503 again": (E503, "submitted, unresolved; ask in 2 s"),
    "200 `finished`": (FINISHED, "confirmed; no look"),
}

# --- Relograde: the re-check of a pending order; no question changes its state --------------------

PATIENT = "pending; recheck in 2 s"
RELOGRADE_RECHECK: dict[str, Row] = {
    **all_of(
        {name: LOST[name] for name in ("no answer ever comes", "500", "200 with HTML", "204")},
        PATIENT,
    ),
    **all_of(
        {name: UNSENT[name] for name in ("the host has no address", "the connection is refused")},
        PATIENT,
    ),
    "200 with another trx": (answers(200, order("finished", trx="RELOANOTHER")), PATIENT),
    "402 insufficient balance": (answers(402, "insufficient balance"), PATIENT),
    "404 order not found": (answers(404, "order not found"), PATIENT),
    "400 in new words": (answers(400, "something new"), PATIENT),
    "200 `created`": (CREATED, "pending; recheck in 30 s"),
    "200 `pending`": (PENDING, "pending; recheck in 30 s"),
    "200 `finished`": (FINISHED, "confirmed; no look"),
    "200 `cancelled`": (answers(200, with_lines("cancelled", "cancelled")), "cancelled; no look"),
    "401": (answers(401), "pending; recheck now; lane unauthorized, probe in 2 s"),
}

# --- the probe of a held lane: what goes wrong is the lane's trouble, and only what gets through re

STILL_HELD = "; lane unauthorized, probe in 10 s"
RELOGRADE_PROBE: dict[str, Row] = {
    "401 again": (answers(401), "accepted; confirm now; lane unauthorized, probe in 10 s"),
    "the company is not verified": (
        answers(400, "company not verified"),
        "accepted; confirm now; lane company_not_verified, probe in 10 s",
    ),
    "the connection is refused": (REFUSES, "accepted; confirm now" + STILL_HELD),
    "no answer ever comes": (slow(never_answers), "submitted, unresolved; ask in 2 s" + STILL_HELD),
    "503": (E503, "submitted, unresolved; ask in 2 s" + STILL_HELD),
    "302": (answers(302, location="/elsewhere"), "submitted, unresolved; ask in 2 s" + STILL_HELD),
    "200 with HTML": (answers(200, HTML), "submitted, unresolved; ask in 2 s" + STILL_HELD),
    "204": (answers(204), "submitted, unresolved; ask in 2 s" + STILL_HELD),
    "400 in new words": (UNCLEAR["400 in new words"], "submitted, unresolved; ask now"),
    "200 `finished`": (FINISHED, "confirmed; no look"),
    "402 insufficient balance": (
        answers(402, "insufficient balance"),
        "dead insufficient_balance; no look",
    ),
    "it can not be confirmed": (
        answers(400, "this order can not be confirmed"),
        "submitted, unresolved; ask now",
    ),
}

# --- what different orders meet one after the other -----------------------------------------------

OUTAGE = "; lane outage, probe in 2 s"
FIFTH_IN_A_ROW = {
    name: (wire, leads_to + OUTAGE)
    for name, wire, leads_to in (
        ("503", E503, "submitted, unresolved; ask in 2 s"),
        ("200 with HTML", answers(200, HTML), "submitted, unresolved; ask in 2 s"),
        ("302", answers(302, location="/elsewhere"), "submitted, unresolved; ask in 2 s"),
        ("a reset", serves(resets), "submitted, unresolved; ask in 2 s"),
        ("a refused connection", REFUSES, "accepted; confirm in 2 s"),
    )
}

# --- Logitrail ------------------------------------------------------------------------------------

CODES = {
    "order_not_passive": ((400, 409, 200, 500), "dead order_not_passive; no look"),
    "product.merchants_id.required": ((400,), "dead invalid_request; no look"),
    "item_source_id_missing": ((400,), "dead invalid_request; no look"),
    "access_denied": ((403, 400), "accepted; confirm now; lane forbidden, probe in 2 s"),
    "method_not_allowed": ((405, 400), "accepted; confirm now; lane misconfigured, probe in 2 s"),
}
CODE_SHAPES = {
    "as documented": lambda code: {"code": code},
    "with success and message": lambda code: {
        "success": False,
        "code": code,
        "message": "Tilaus on jo käsitelty",
    },
    "in upper case": lambda code: {"code": code.upper()},
}
LOGITRAIL_UNCLEAR = {
    "400 with a new code": answers(400, {"code": "something_new"}),
    "400 with a code that is no text": answers(400, {"code": 7}),
    "400 with a code as plain text": answers(400, "order_not_passive"),
    "400 with HTML": answers(400, HTML),
    "409 without a code": answers(409),
    "418": answers(418),
}
LOGITRAIL_CONFIRM: dict[str, Row] = {
    **all_of(FEW_UNSENT, "accepted; confirm in 2 s"),
    **all_of(FEW_LOST | LOGITRAIL_ODD | LOGITRAIL_UNCLEAR, "submitted, unresolved; ask in 65.01 s"),
    **{
        f"{status} `{code}`, {shape}": (answers(status, body(code)), leads_to)
        for code, (statuses, leads_to) in CODES.items()
        for status in statuses
        for shape, body in CODE_SHAPES.items()
    },
    "404": (answers(404), "accepted; confirm in 30 s"),
    "404 with a code": (answers(404, {"code": "not_found"}), "accepted; confirm in 30 s"),
    **holding(HELD, "accepted; confirm now"),
    "200": (answers(200, done()), "confirmed; no look"),
    "200, the id in upper case": (
        answers(200, done(order_id=LOGITRAIL_ID.upper())),
        "confirmed; no look",
    ),
    "200 without tracking": (
        answers(200, done(tracking_code=None, tracking_url=None)),
        "confirmed; no look",
    ),
}
LOGITRAIL_REPEAT: dict[str, Row] = {
    **all_of(FEW_UNSENT, STILL),
    **all_of(FEW_LOST | LOGITRAIL_ODD | LOGITRAIL_UNCLEAR, "submitted, unresolved; ask in 65.01 s"),
    **{
        f"{status} `order_not_passive`": (
            answers(status, {"code": "order_not_passive"}),
            "confirmed, inferred; recheck in 259200 s",
        )
        for status in (400, 409, 200, 500)
    },
    "400 `product.merchants_id.required`": (
        answers(400, {"code": "product.merchants_id.required"}),
        "submitted, unresolved; ask now",
    ),
    "404": (answers(404), STILL),
    **holding(HELD, "submitted, unresolved; ask now"),
    "200": (answers(200, done()), "confirmed; no look"),
}

SITUATIONS = {
    "Relograde, a confirm": Situation("relograde", RELOGRADE_CONFIRM),
    "Relograde, the question after a lost answer": Situation("relograde", RELOGRADE_ASK, (E503,)),
    "Relograde, the question after the settle time": Situation(
        "relograde", RELOGRADE_SETTLED, (E503, CREATED)
    ),
    "Relograde, the second confirm": Situation(
        "relograde", RELOGRADE_AGAIN, (E503, CREATED, CREATED)
    ),
    "Relograde, the re-check of a pending order": Situation(
        "relograde", RELOGRADE_RECHECK, (PENDING,)
    ),
    "Relograde, the probe of a held lane": Situation("relograde", RELOGRADE_PROBE, (answers(401),)),
    **{
        f"Relograde, after four orders that met the same: {name}": Situation(
            "relograde", {name: row}, (), (row[0],) * 4
        )
        for name, row in FIFTH_IN_A_ROW.items()
    },
    "Relograde, after two orders that were not found": Situation(
        "relograde",
        {
            "404": (
                answers(404, "order not found"),
                "accepted; confirm in 30 s; lane not_found, probe in 2 s",
            ),
            "503": (E503, "submitted, unresolved; ask in 2 s"),
        },
        others=(answers(404, "order not found"),) * 2,
    ),
    "Logitrail, a confirm": Situation("logitrail", LOGITRAIL_CONFIRM),
    "Logitrail, the repeat that asks": Situation("logitrail", LOGITRAIL_REPEAT, (E503,)),
}


def cases() -> Iterator[Case]:
    """Every row."""
    for title, situation in SITUATIONS.items():
        for name, row in situation.rows.items():
            yield Case(
                f"{title}: {name}",
                situation.supplier,
                *row,
                before=situation.before,
                others=situation.others,
            )
