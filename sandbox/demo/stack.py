"""The processes of the demo: Redis, the sandbox, and honcho with the Procfile's processes."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import redis
import requests

from sandbox.demo import environment
from sandbox.doors import free_port
from sandbox.embedded_redis import EmbeddedRedis, NoServerError

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
MARK = "countersign-demo"


class DemoError(Exception):
    """The demo cannot go on; the message is one line."""


class Stack:
    """Everything that runs during a demo; a context manager that leaves nothing behind."""

    def __init__(self, folder: Path, seed: int, workers: int = 2) -> None:
        self.folder = folder
        self.seed = seed
        self.workers = workers
        self.port = free_port(HOST)
        self.redis = EmbeddedRedis(folder / "redis")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment: dict[str, str] = {}
        self._lock: IO[str] | None = None

    @property
    def admin(self) -> str:
        """The sandbox's admin routes."""
        return f"http://{HOST}:{self.port}/_sandbox"

    @property
    def flower(self) -> str:
        """Flower's address."""
        return f"http://{HOST}:{self.environment['FLOWER_PORT']}"

    def __enter__(self) -> "Stack":
        try:
            self._take_folder()
            self._start_redis()
            self._start_sandbox()
            self._start_procfile()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends all processes, the last one first; a second Ctrl-C must not interrupt that."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for process in reversed(self.processes.values()):
            _end(process)
        self.processes.clear()
        self.redis.stop()
        if self._lock is not None:
            self._lock.close()

    def check(self) -> None:
        """Raises DemoError when a process has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise DemoError(
                    f"{name} ended with {process.returncode}; see {self.folder / name}.log"
                )

    def command(self, *words: str) -> Any:
        """Runs `celery -A worker WORDS --json` and returns its JSON."""
        line = [sys.executable, "-m", "celery", "-A", "worker", *words, "--json"]
        done = subprocess.run(
            line, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise DemoError(
                f"celery {' '.join(words)}: {(done.stderr or done.stdout).strip()[-300:]}"
            )
        return json.loads(done.stdout)

    def _take_folder(self) -> None:
        """Locks the folder: two demos would write into the data of one server."""
        self.folder.mkdir(exist_ok=True)
        self._lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"a demo is running already in {self.folder}") from None

    def _start_redis(self) -> None:
        """Starts Redis and empties the last demo's database; one with other data is refused."""
        try:
            self.redis.start()
        except NoServerError as problem:
            raise DemoError(str(problem)) from None
        with redis.Redis.from_url(self.redis.url, socket_timeout=30) as client:
            if client.dbsize() and not client.exists(MARK):
                raise DemoError(
                    "the database that REDIS_URL names is not empty: the demo needs one of its own"
                )
            client.flushdb()
            client.set(MARK, "made by make demo, and emptied by the next one")

    def _start_sandbox(self) -> None:
        limit = f"relograde.rate_limit={environment.CALLS_PER_MINUTE}"
        holds = [f"{supplier}.hold_seconds=0.2" for supplier in ("relograde", "logitrail")]
        switches = [word for switch in (limit, *holds) for word in ("--set", switch)]
        options = ["--port", str(self.port), "--seed", str(self.seed), *switches]
        self._run("sandbox", [sys.executable, "-m", "sandbox", *options], dict(os.environ))
        self._wait_for("the sandbox", f"{self.admin}/settings")

    def _start_procfile(self) -> None:
        """The same lines that a deployment runs, with two workers."""
        own = environment.own(self.redis.url, f"http://{HOST}:{self.port}")
        self.environment = environment.whole(own)
        file = self.folder / "env"
        lines = (f"{name}={value}\n" for name, value in own.items())
        file.write_text("".join(lines), encoding="utf-8")
        formation = f"worker={self.workers},flower=1"
        line = ["-m", "honcho", "-e", str(file), "start", "--no-colour", "-c", formation]
        self._run("honcho", [sys.executable, *line], self.environment)
        self._wait_for("Flower", self.flower)

    def _run(self, name: str, line: list[str], env: dict[str, str]) -> None:
        """Starts a process in a session of its own: Ctrl-C reaches only us, who end it in order."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                line,
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_for(self, what: str, url: str, seconds: float = 40.0) -> None:
        self.wait_until(lambda: _answers(url), f"{what} does not answer", seconds)

    def wait_until(self, true: Callable[[], bool], problem: str, seconds: float) -> None:
        """Polls until `true()`; DemoError after `seconds` seconds, or when a process has ended."""
        until = time.monotonic() + seconds
        while not true():
            self.check()
            if time.monotonic() > until:
                raise DemoError(problem)
            time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process within 15 seconds: honcho gives its own children five."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
