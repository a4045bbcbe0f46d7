"""The processes that a benchmark needs: a durable Redis of its own, suppliers, workers, and a web
app's hands.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
import requests
from celery import Celery

from benchmarks import processes
from sandbox.demo.environment import whole
from sandbox.doors import free_port
from sandbox.embedded_redis import EmbeddedRedis

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
DOORS, OUTCOMES, STAGED = "orders", "shop", "staged"
PATIENCE = 120.0
UNLIMITED = {
    "RELOGRADE_CALLS_PER_MINUTE": "0",
    "RETRY_SECONDS": "600",
    "OUTCOME_TASK": "shop.outcome",
    "OUTCOME_QUEUE": OUTCOMES,
}


class Supplier:
    """A stand-in process (see `benchmarks.supplier`)."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.url = f"http://{HOST}:{port}"
        self.process = process
        self._session = requests.Session()
        wait_for(self._answers, "the stand-in answers")

    def books(self) -> dict[str, Any]:
        found: dict[str, Any] = self._session.get(f"{self.url}/books", timeout=30).json()
        return found

    def _answers(self) -> bool:
        try:
            return bool(self.books())
        except requests.RequestException:
            return False


class Rig:
    """Everything that runs during one measurement; a context manager that leaves nothing behind."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.redis = self._stack.enter_context(EmbeddedRedis(self.folder / "redis", own=True))
        self.client = self._stack.enter_context(
            redis.Redis.from_url(self.redis.url, decode_responses=True)
        )
        self.shop = self._stack.enter_context(
            Celery("shop", broker=self.redis.url, set_as_current=False)
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def supplier(self, delay: float = 0.0) -> Supplier:
        """Answers every confirm after `delay` seconds."""
        port = free_port(HOST)
        line = [
            sys.executable,
            "-m",
            "benchmarks.supplier",
            "--port",
            str(port),
            "--delay",
            str(delay),
        ]
        return Supplier(port, self.run("supplier", line, dict(os.environ)))

    def worker(
        self,
        settings: dict[str, str],
        app: str = "worker",
        options: Iterable[str] = (),
        wait: bool = True,
    ) -> int:
        """Starts the Procfile's worker line with `settings`; returns its process id, by default
        when it is ready.
        """
        log = self.folder / f"worker-{len(list(self.folder.glob('worker-*')))}"
        words = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()[0].split()[4:]
        line = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            app,
            *words,
            "-n",
            f"{log.name}@bench",
            *options,
        ]
        worker = self.run(log.name, line, whole({"REDIS_URL": self.redis.url, **settings}))
        if wait:
            self.ready()
        return worker.pid

    def ready(self) -> None:
        """Returns when all workers are."""
        logs = list(self.folder.glob("worker-*.log"))
        wait_for(lambda: all(" ready." in log.read_text() for log in logs), "the workers are ready")

    def run(
        self, name: str, line: list[str], environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        """A process that ends with the rig; its output is kept in the folder."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=log, stderr=log)
        self._stack.callback(_end, process)
        return process

    def redis_cpu(self) -> float:
        """CPU seconds of the server so far."""
        return processes.cpu_seconds(int(self.client.info("server")["process_id"]))

    def send(self, name: str, queue: str = DOORS, **arguments: Any) -> None:
        """What a web app does: a plain Celery client, by name."""
        self.shop.send_task(name, kwargs=arguments, queue=queue)

    def confirm(self, order_id: str, queue: str = DOORS, supplier: str = "relograde") -> None:
        """Sends one `orders.confirm`."""
        more = {"created_at": datetime.now(UTC).isoformat()} if supplier == "relograde" else {}
        self.send(
            "orders.confirm",
            queue,
            supplier=supplier,
            order_id=order_id,
            reference=f"shop-{order_id}",
            **more,
        )

    def release(self) -> None:
        """Everything that was sent to the queue `staged` is on the doors' queue at one moment."""
        self.client.rename(STAGED, DOORS)

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """Takes what was told so far from the web app's queue, and throws nothing back."""
        while texts := self.client.rpop(OUTCOMES, 1000):
            for text in texts if isinstance(texts, list) else [texts]:
                yield json.loads(base64.b64decode(json.loads(text)["body"]))[1]["outcome"]

    def accepted_at(self, order_id: str) -> float:
        """When the ledger accepted a Relograde order, in seconds since the epoch; both clocks are
        this machine's.
        """
        return float(
            self.client.hget(f"countersign:{{relograde}}:order:{order_id}", "accepted_at") or "nan"
        )

    def idle(self) -> bool:
        """No message waits, and none is with a worker."""
        return not (
            self.client.llen(DOORS) or self.client.llen("relograde") or self.client.hlen("unacked")
        )


def at(supplier: Supplier, **more: str) -> dict[str, str]:
    """The settings that lead a worker to a stand-in."""
    given = {"RELOGRADE_URL": f"{supplier.url}/relograde", "RELOGRADE_API_KEY": "bench-key"}
    return {**UNLIMITED, **given, **more}


def wait_for(
    true: Callable[[], bool], what: str, seconds: float = PATIENCE, every: float = 0.05
) -> None:
    """Until it is so; RuntimeError when that never happens."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            raise RuntimeError(f"never happened: {what}")
        time.sleep(every)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
