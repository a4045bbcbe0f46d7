"""Tells the web app, at least once: a Celery task by name, a signed POST, or both.

Nothing leaves before what it reports is surely on disk: every write is synced, or WAITAOF says so, or two seconds have
passed, in which the server syncs by itself (what a restart forgot is not there any more to be told).
"""

import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import redis
import requests
from standardwebhooks import Webhook

from worker import boundaries
from worker.ledger.outbox import Delivery, Outbox

log = logging.getLogger("countersign.outcomes")
BATCH = 100
HOLD = 30.0
"""Seconds that a delivery in hand is kept from other workers; longer than a POST can take."""
SYNC_AGE = 2.0
SYNC_WAIT_MS = 2000
POST_TIMEOUT = (5.0, 15.0)
POSTS_AT_ONCE = 8


class Poster:
    """POSTs an outcome with the Standard Webhooks headers; True on a 2xx."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self._webhook = Webhook(secret)
        self._session = requests.Session()
        self._session.trust_env = False

    def __call__(self, body: dict[str, Any]) -> bool:
        text, now = json.dumps(body, separators=(",", ":")), datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": body["id"],
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(body["id"], now, text),
        }
        try:
            with self._session.post(
                self.url, data=text.encode(), headers=headers, timeout=POST_TIMEOUT, allow_redirects=False, stream=True
            ) as response:
                return 200 <= response.status_code < 300
        except requests.RequestException:
            return False


class Teller:
    """Delivers what is due. `publish` sends the Celery task, `post` the POST; each is None when not configured."""

    def __init__(
        self,
        outbox: Outbox,
        connection: Any,
        publish: Callable[[dict[str, Any]], None] | None,
        post: Callable[[dict[str, Any]], bool] | None,
    ) -> None:
        self.outbox = outbox
        self.connection = connection
        self.publish = publish
        self.post = post
        self._pool = ThreadPoolExecutor(POSTS_AT_ONCE, thread_name_prefix="post")
        self._waitaof = True

    def round(self) -> int:
        """Takes what is due on every channel and delivers it; returns how many were taken."""
        synced = self.outbox.scripts.server.synced
        min_age = 0.0 if synced or self._waitaof else SYNC_AGE
        taken = [
            delivery for channel in self.outbox.channels for delivery in self.outbox.take(channel, BATCH, HOLD, min_age)
        ]
        if taken:
            boundaries.reach(boundaries.OUTCOME_TAKEN)
        if taken and (synced or min_age or self._on_disk()):
            list(self._pool.map(self._deliver, taken))
        return len(taken)

    def _on_disk(self) -> bool:
        """True when all that this connection has seen is synced. A server without WAITAOF is given time instead."""
        try:
            local, _ = self.connection.execute_command("WAITAOF", 1, 0, SYNC_WAIT_MS)
        except redis.ResponseError:
            self._waitaof = False
            return False
        return bool(local)

    def _deliver(self, delivery: Delivery) -> None:
        try:
            if delivery.channel == "task" and self.publish:
                self.publish(delivery.body)
                boundaries.reach(boundaries.OUTCOME_SENT)
                self.outbox.later(delivery)
            elif delivery.channel == "post" and self.post and self.post(delivery.body):
                boundaries.reach(boundaries.OUTCOME_SENT)
                self.outbox.delivered(delivery.room, delivery.order_id, delivery.sequence, "post")
            else:
                self._report(delivery, self.outbox.later(delivery))
        except Exception as error:
            # It stays reserved and is tried again; the next one must not wait for it.
            log.warning(
                "outcome_not_sent", extra={"fields": {"id": delivery.body["id"], "error": type(error).__name__}}
            )

    def _report(self, delivery: Delivery, result: str) -> None:
        fields = {"id": delivery.body["id"], "tries": delivery.tries, "result": result}
        log.log(logging.ERROR if result == "undeliverable" else logging.WARNING, "outcome", extra={"fields": fields})
