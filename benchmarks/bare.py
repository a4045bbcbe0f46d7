"""What Countersign is compared with: a Celery app whose only task makes the same HTTP call, and
nothing else.

Same options, same pool, same HTTP client and connections. What is ours of the rest is left out: our
transport, consumer, log format and threads.
"""

import os
import time
from typing import Any

from celery import Celery, signals
from kombu.transport import TRANSPORT_ALIASES

from worker import celery as ours
from worker.suppliers.http import Gate, Http, HttpReply

signals.worker_ready.disconnect(ours.start_loops)
signals.setup_logging.disconnect(ours.configure_logs)
TRANSPORT_ALIASES["redis"] = "kombu.transport.redis:Transport"
OURS_ALONE = ("worker_consumer", "worker_hijack_root_logger", "include")

app = Celery("bare")
app.conf.update(
    {name: value for name, value in ours.app.conf.changes.items() if name not in OURS_ALONE}
)
_http = Http(
    {"Authorization": "Bearer bench-key"}, 5.0, 45.0, ours.settings.countersign_concurrency
)
_root = f"{os.environ['RELOGRADE_URL']}/api/1.02/order/confirm"


@app.task(name="bare.confirm")
def confirm(order_id: str, **ignored: Any) -> None:
    """The call, and its answer as JSON."""
    reply = _http.call("PATCH", f"{_root}/{order_id}", Gate(time.monotonic(), 5.0))
    if not isinstance(reply, HttpReply) or reply.json()["orderStatus"] != "finished":
        raise RuntimeError("not finished")
