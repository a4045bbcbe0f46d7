"""One HTTP call to a supplier: a small reply comes out, or the answer that there was none.

Details are fixed words. No URL, header or text of a supplier goes into an answer or a log, since
any of them may contain a key.
"""

import json
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import Any
from urllib.parse import quote

import requests
import urllib3.exceptions

from worker.errors import causes
from worker.rules.answers import Unavailable, Unknown
from worker.suppliers.connections import CURRENT, CallLimits, Gate, GatedAdapter, TooLate

__all__ = ["Gate", "Http", "HttpReply", "retry_after", "segment"]

BODY_MAX = 1024 * 1024

# The first kind that fits. The order matters: most are OSErrors, and a bad certificate is a
# ValueError too.
_BEFORE_SENDING: tuple[tuple[type[BaseException], str], ...] = (
    (TooLate, "too late"),
    (TimeoutError, "connect timeout"),
    (socket.gaierror, "dns"),
    (ConnectionRefusedError, "connect refused"),
    (ssl.SSLError, "tls"),
    (ValueError, "not sendable"),
    (OSError, "connect failed"),
)
_AFTER_SENDING: tuple[tuple[type[BaseException], str], ...] = ((TimeoutError, "read timeout"),)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a supplier answered.

    `body` is None when it cannot be used: too large, or not what its encoding says.
    """

    status: int
    content_type: str = ""
    retry_after: float | None = None
    body: bytes | None = field(default=b"", repr=False)

    def json(self) -> Any:
        """The document with exact decimals; None when it is not JSON."""
        try:
            return json.loads(self.body or b"", parse_float=Decimal)
        except (ValueError, RecursionError):
            return None


class _Session(requests.Session):
    """A session that takes nothing from the environment and keeps nothing between calls.

    A .netrc would replace our credentials.
    """

    def __init__(self, pool_size: int, ca_file: str | None) -> None:
        super().__init__()
        self.trust_env = False
        self.verify = ca_file or True
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers.update(
            {"Accept-Encoding": "identity", "User-Agent": f"countersign/{_our_version()}"}
        )
        self.mount("https://", GatedAdapter(pool_size))
        self.mount("http://", GatedAdapter(pool_size))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Treats a redirect as an answer.

        Even when told not to follow one, requests would read the whole of its body.
        """


class Http:
    """Calls to one supplier with one set of credentials; threads share its kept connections.

    `ca_file` names the certificates to trust instead of the usual ones.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        connect_timeout: float,
        read_timeout: float,
        pool_size: int = 10,
        ca_file: str | None = None,
    ) -> None:
        self._session = _Session(pool_size, ca_file)
        self._session.headers.update(headers)
        self._timeouts = (connect_timeout, read_timeout)

    def call(
        self,
        method: str,
        url: str,
        gate: Gate,
        document: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        body_max: int = BODY_MAX,
    ) -> HttpReply | Unavailable | Unknown:
        """Sends once, and waits no longer than both timeouts together, however slow the reply is.

        `document` is JSON; `body_max` is how many bytes of a reply are read. Only the look-up of
        the host's name takes as long as the system's resolver does; a call that becomes late that
        way is not sent.
        """
        started = time.monotonic()
        connect, read = self._timeouts
        token = CURRENT.set(CallLimits(gate, started + connect, started + connect + read, read))
        try:
            return self._exchange(method, url, document, headers or {}, body_max)
        except (
            TooLate,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,
        ) as error:
            return _no_reply(gate, error)
        finally:
            CURRENT.reset(token)

    def _exchange(
        self, method: str, url: str, document: bytes | None, more: Mapping[str, str], body_max: int
    ) -> HttpReply:
        headers = (
            {"Content-Type": "application/json", **more} if document is not None else dict(more)
        )
        with self._session.request(
            method,
            url,
            data=document,
            headers=headers,
            timeout=self._timeouts,
            allow_redirects=False,
            stream=True,
        ) as response:
            return HttpReply(
                status=response.status_code,
                content_type=response.headers.get("Content-Type", ""),
                retry_after=retry_after(response.headers.get("Retry-After"), datetime.now(UTC)),
                body=_body(response, body_max),
            )

    def close(self) -> None:
        self._session.close()


def _body(response: requests.Response, most: int) -> bytes | None:
    try:
        body = response.raw.read(most + 1, decode_content=True)
    except urllib3.exceptions.DecodeError:
        return None
    if len(body) <= most:
        return body
    return None


def _no_reply(gate: Gate, error: BaseException) -> Unavailable | Unknown:
    if gate.sent_at is None:
        late = any(isinstance(cause, TooLate) for cause in causes(error))
        return Unavailable(_word_for(error, _BEFORE_SENDING, "not sendable"), late=late)
    return Unknown(_word_for(error, _AFTER_SENDING, "connection lost"), outage=True)


def _word_for(
    error: BaseException, words: tuple[tuple[type[BaseException], str], ...], otherwise: str
) -> str:
    """The word for a failure, the innermost first: requests' exceptions are OSErrors too."""
    innermost_first = list(causes(error))[::-1]
    return next(
        (word for cause in innermost_first for kind, word in words if isinstance(cause, kind)),
        otherwise,
    )


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds from `now` to a number or HTTP date; 0 for a past one, None if unreadable."""
    text = (header or "").strip()
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text):
        seconds = float(text)
        if isfinite(seconds):
            return max(0.0, seconds)
        return None
    try:
        moment = parsedate_to_datetime(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def segment(order_id: str) -> str:
    """An order id as one segment of a path, whatever characters it has."""
    if order_id in (".", ".."):
        # Both would climb the path, percent-encoded once or not; encoded twice they are an order
        # that nobody knows.
        return order_id.replace(".", "%252E")
    return quote(order_id, safe="")


@cache
def _our_version() -> str:
    try:
        return version("countersign")
    except PackageNotFoundError:
        return "0"
