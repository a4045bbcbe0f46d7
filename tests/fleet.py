"""Real workers as a deployment runs them: processes of the Procfile's worker line, with their log
kept aside.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import Celery

from sandbox.server import Sandbox
from worker.process.broker import address

ROOT = Path(__file__).parent.parent
QUICK = {
    "COUNTERSIGN_CONCURRENCY": "30",
    "RETRY_SECONDS": "0.3,0.6,1",
    "RELOGRADE_CALLS_PER_MINUTE": "0",
    "RELOGRADE_CONNECT_TIMEOUT": "1",
    "RELOGRADE_READ_TIMEOUT": "2",
    "RELOGRADE_SETTLE_SECONDS": "1",
    "RELOGRADE_RECHECK_SECONDS": "0.5,1",
    "LOGITRAIL_CONNECT_TIMEOUT": "1",
    "LOGITRAIL_READ_TIMEOUT": "2",
    "LOGITRAIL_SETTLE_SECONDS": "1",
    "OUTCOME_TASK": "shop.outcome",
    "OUTCOME_QUEUE": "shop",
}
"""Settings of the contract, shortened so that a test need not wait."""


def supplier_environment(sandbox: Sandbox) -> dict[str, str]:
    """The settings that lead a worker to a sandbox."""
    return {
        "RELOGRADE_URL": sandbox.relograde_url,
        "RELOGRADE_API_KEY": "sandbox-key",
        "LOGITRAIL_URLS": ",".join(sandbox.logitrail_urls),
        "LOGITRAIL_MERCHANT_ID": "sandbox",
        "LOGITRAIL_SECRET": "sandbox-secret",
    }


def worker_line() -> list[str]:
    """The Procfile's worker, run by this interpreter."""
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith("worker:"))
    words = shlex.split(line.partition(":")[2])
    return [sys.executable, "-m", *words]


class Fleet:
    """Starts, kills and stops workers that all have one environment."""

    def __init__(self, folder: Path, redis_url: str, environment: dict[str, str]) -> None:
        self.folder = folder
        self.redis_url = redis_url
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RELOGRADE_", "LOGITRAIL_", "OUTCOME_", "COUNTERSIGN_"))
        }
        self.environment = {**clean, **QUICK, **environment, "REDIS_URL": redis_url}
        self.workers: list[subprocess.Popen[bytes]] = []
        broker_url, options = address(redis_url)
        self.app = Celery("shop", broker=broker_url, set_as_current=False)
        self.app.conf.broker_transport_options = options

    def start(self, number: int = 1, tree: Path = ROOT) -> None:
        """Starts workers of the version in `tree`, each with a log of its own."""
        for _ in range(number):
            with (self.folder / f"worker-{len(self.workers)}.log").open("wb") as log:
                line = [*worker_line(), "-n", f"w{len(self.workers)}@test"]
                self.workers.append(
                    subprocess.Popen(
                        line, cwd=tree, env=self.environment, stdout=log, stderr=subprocess.STDOUT
                    )
                )

    def kill(self, number: int = -1, with_signal: int = signal.SIGKILL) -> int:
        """Ends one worker and returns its exit code."""
        worker = self.workers[number]
        worker.send_signal(with_signal)
        return worker.wait(60)

    def stop(self) -> None:
        """Ends all of them."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait(30)
        self.app.close()

    def send(self, name: str, **arguments: Any) -> None:
        """What a web app does: a plain Celery client, by name."""
        self.app.send_task(name, kwargs=arguments, queue="orders")

    def confirm(self, order: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Sends `orders.confirm` for an order of the sandbox."""
        created = {"created_at": order["created_at"]} if order["supplier"] == "relograde" else {}
        arguments = {"reference": f"shop-{order['order_id']}", **created, **more}
        self.send(
            "orders.confirm", supplier=order["supplier"], order_id=order["order_id"], **arguments
        )
        return order

    def command(self, *words: str, check: bool = True) -> Any:
        """`celery -A worker … --json`, as the JSON it prints."""
        line = [sys.executable, "-m", "celery", "-A", "worker", *words, "--json"]
        done = subprocess.run(
            line, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{words}: {done.returncode}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def log(self) -> str:
        """All that the workers have logged."""
        return "".join(
            path.read_text(errors="replace") for path in sorted(self.folder.glob("worker-*.log"))
        )


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The first true value of `condition`; the limit is generous because the machine may be
    busy.
    """
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"never happened in {seconds} s: {what}")
