"""Tells the web app, at least once: a Celery task by name, a signed POST, or both.

Nothing leaves before its report is safe on disk: every write is synced, or two seconds have passed,
in which the server syncs by itself (an outcome that a restart forgot is gone before it could
leave). WAITAOF is not asked: under `everysec`, Valkey 9.1 answered before its fdatasync
(docs/durability.md).
"""

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from standardwebhooks import Webhook

from worker import boundaries
from worker.ledger.outbox import Delivery, Outbox
from worker.suppliers.http import Gate, Http, HttpReply

log = logging.getLogger("countersign.outcomes")
BATCH = 100
IDLE_WAIT = 0.25
"""Seconds between two rounds when nothing is due."""
PRESSED_WAIT = 0.02
"""Seconds between two rounds when more is due: many together cost less than one by one."""
HOLD = 30.0
"""Seconds for which a delivery in hand is reserved; longer than a POST can take."""
SYNC_AGE = 2.0
POST_TIMEOUT = (5.0, 15.0)
POSTS_AT_ONCE = 8
LOOK = 1.0
"""Seconds between two looks at the backlog."""
BACKLOG = 100
"""Above so many waiting messages nothing is repeated: copies would only feed an overload."""


class Poster:
    """POSTs an outcome with the Standard Webhooks headers; True on a 2xx.

    Raises `ValueError` on a bad secret.
    """

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self._webhook = Webhook(secret)
        self._http = Http({}, *POST_TIMEOUT, pool_size=POSTS_AT_ONCE)

    def __call__(self, body: dict[str, Any]) -> bool:
        text, now = json.dumps(body, separators=(",", ":")), datetime.now(UTC)
        headers = {
            "webhook-id": body["id"],
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(body["id"], now, text),
        }
        gate = Gate(opened_at=time.monotonic(), send_within=sum(POST_TIMEOUT))
        reply = self._http.call("POST", self.url, gate, text.encode(), headers)
        return isinstance(reply, HttpReply) and 200 <= reply.status < 300

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()


class Teller:
    """Delivers what is due: `publish` sends Celery tasks, all or none, and `post` sends a POST.

    Each is None where it is not configured. `backlog` counts the waiting messages, outcomes or
    receipts.
    """

    def __init__(
        self,
        outbox: Outbox,
        publish: Callable[[list[dict[str, Any]]], None] | None,
        post: Callable[[dict[str, Any]], bool] | None,
        backlog: Callable[[], int] = lambda: 0,
    ) -> None:
        self.outbox = outbox
        self.publish = publish
        self.post = post
        self.backlog = backlog
        self.pressed = False
        """True when the last round took as many as it may: more are waiting."""
        self._is_behind = False
        self._look_at = 0.0
        self._pool = ThreadPoolExecutor(POSTS_AT_ONCE, thread_name_prefix="post")
        self._posts: set[Future[None]] = set()

    def round(self) -> int:
        """Takes what is due on every channel, sends it, and returns how many were taken.

        A POST that hangs delays no other.
        """
        min_age = 0.0 if self.outbox.scripts.server.synced else SYNC_AGE
        self.pressed = False
        taken = [
            delivery
            for channel in self.outbox.channels
            for delivery in self._take(channel, min_age)
        ]
        if not taken:
            return 0
        boundaries.reach(boundaries.OUTCOME_TAKEN)
        for (channel, _), group in groupby(
            taken, lambda delivery: (delivery.channel, delivery.room)
        ):
            if channel == "task":
                self._guarded(self._send_tasks, *group)
            else:
                self._posts |= {
                    self._pool.submit(self._guarded, self._send_post, delivery)
                    for delivery in group
                }
        return len(taken)

    def turn(self) -> float:
        """One round; returns the seconds to wait. It waits less while more outcomes are due."""
        self.round()
        if self.pressed:
            return PRESSED_WAIT
        return IDLE_WAIT

    def wait(self) -> None:
        """Waits until every POST in hand is done."""
        wait(self._posts)

    def _take(self, channel: str, min_age: float) -> list[Delivery]:
        self._posts = {post for post in self._posts if not post.done()}
        tasks = channel == "task"
        limit = BATCH
        if not tasks:
            limit = POSTS_AT_ONCE - len(self._posts)
        if limit <= 0:
            return []
        taken = self.outbox.take(channel, limit, HOLD, min_age, first_only=tasks and self._behind())
        self.pressed |= len(taken) >= limit
        return taken

    def _behind(self) -> bool:
        """True when too many messages wait; checked once a second."""
        if time.monotonic() >= self._look_at:
            self._is_behind, self._look_at = self.backlog() > BACKLOG, time.monotonic() + LOOK
        return self._is_behind

    def _send_tasks(self, *deliveries: Delivery) -> None:
        if self.publish:
            self.publish([delivery.body for delivery in deliveries])
            boundaries.reach(boundaries.OUTCOME_SENT)
            for delivery, became in zip(deliveries, self.outbox.later(*deliveries), strict=True):
                if became == "undeliverable":
                    _not_taken(delivery, became)

    def _send_post(self, delivery: Delivery) -> None:
        if self.post and self.post(delivery.body):
            boundaries.reach(boundaries.OUTCOME_SENT)
            self.outbox.delivered(delivery.room, delivery.order_id, delivery.sequence, "post")
        else:
            _not_taken(delivery, *self.outbox.later(delivery))

    def _guarded(self, send: Callable[..., None], *deliveries: Delivery) -> None:
        try:
            send(*deliveries)
        except Exception as error:
            # They stay reserved and are tried again; the next ones must not wait for them.
            for delivery in deliveries:
                fields = {"id": delivery.body["id"], "error": type(error).__name__}
                log.warning("outcome_not_sent", extra={"fields": fields})


def _not_taken(delivery: Delivery, became: str) -> None:
    fields = {"id": delivery.body["id"], "tries": delivery.tries, "result": became}
    log.log(
        logging.ERROR if became == "undeliverable" else logging.WARNING,
        "outcome",
        extra={"fields": fields},
    )
