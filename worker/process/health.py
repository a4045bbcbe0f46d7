"""Alive means progress: a worker sends itself messages and notes when they arrive.

A worker can lose its broker for good while its process lives and its log is quiet (a known failure
after a Redis restart). A message of its own that does not come back shows it: `celery -A worker
health` then reports it to a process manager, and the worker ends itself so that its supervisor
starts a new one. A broker that is away is not the worker's fault: the time counts from the first
message that could be sent.
"""

import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from worker.errors import causes

log = logging.getLogger("countersign.health")
EVERY = 10.0
"""Seconds between two messages to oneself."""
LOOK = 1.0
"""Seconds between two judgements."""
STALE = 40.0
"""Seconds without progress after which a worker counts as hung; a minute with `EVERY`."""
STOPPING = 25.0
"""Seconds that a stop may take beyond the longest call, before and after it."""
HUNG = 70
"""Exit code of a worker that ended itself (EX_SOFTWARE)."""


def folder() -> Path:
    """Where the workers of this machine note their progress, one file each; private to the user."""
    return Path(tempfile.gettempdir()) / f"countersign-{os.getuid()}"


def queue_name(pid: int) -> str:
    """The queue on which a worker receives its own messages."""
    return f"health.{socket.gethostname()}.{pid}"


class Progress:
    """The file of one worker: its change time is the worker's latest progress.

    The file's name ends in the process id. The file of a stopping worker contains the seconds that
    the stop may take from then on.
    """

    def __init__(self, prefix: str, pid: int, where: Path | None = None) -> None:
        self.path = (where or folder()) / f"{prefix}.{pid}"
        self._stopping = False

    def begin(self) -> None:
        """This worker is ready; the file of a killed process of the same number does not count."""
        self.forget()
        self.note()

    def note(self) -> None:
        """This worker has just taken a message.

        A stopping worker takes no more: a message that was in hand proves nothing.
        """
        if not self._stopping:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            self.path.touch()

    def stop(self, patience: float) -> None:
        """Marks the worker as stopping: it reports healthy for `patience` more seconds.

        Later calls change nothing.
        """
        if not self._stopping:
            self._stopping = True
            self.path.write_text(str(patience))

    def age(self) -> float:
        """Seconds since the last progress; endless when there has been none."""
        try:
            return max(time.time() - self.path.stat().st_mtime, 0.0)
        except FileNotFoundError:
            return float("inf")

    def stopping(self) -> bool:
        """True when the worker was told to stop and finishes its calls."""
        return bool(self._patience())

    def well(self) -> bool:
        """True while the worker makes progress, or has not been stopping for too long."""
        return self.age() <= (self._patience() or STALE)

    def _patience(self) -> float:
        try:
            return float(self.path.read_text() or 0)
        except FileNotFoundError:
            return 0.0

    def forget(self) -> None:
        """This worker has ended."""
        self.path.unlink(missing_ok=True)


def workers_here(prefix: str, where: Path | None = None) -> Iterator[tuple[int, Progress]]:
    """The running workers of this machine, by their files; removes the files of dead ones."""
    for path in sorted((where or folder()).glob(f"{prefix}.*")):
        pid = int(path.suffix[1:]) if path.suffix[1:].isdigit() else 0
        progress = Progress(prefix, pid, where)
        if pid and _runs(pid):
            yield pid, progress
        else:
            progress.forget()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def away(error: BaseException) -> bool:
    """True when nobody could reach the broker: it refuses, has no address or is still loading."""
    kinds = (ConnectionRefusedError, socket.gaierror, redis.BusyLoadingError)
    return any(isinstance(cause, kinds) for cause in causes(error))


class Watch:
    """Sends messages and judges their arrival, in two threads: a hung broker holds its sender.

    `send` returns False when the broker is away. After any other failure the message should have
    been received.
    """

    def __init__(
        self,
        progress: Progress,
        send: Callable[[], bool],
        end: Callable[[int], None] = os._exit,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.progress = progress
        self.send = send
        self.end = end
        self.monotonic = monotonic
        self._waiting_since: float | None = None

    def beat(self) -> float:
        """One message; returns the seconds to wait."""
        if self._waiting_since is None:
            self._waiting_since = self.monotonic()
        if not self.send():
            self._waiting_since = None
        return EVERY

    def judge(self) -> float:
        """Ends the process when no message arrived for too long; returns the seconds to wait."""
        waiting_since = self._waiting_since
        if waiting_since is None:
            return LOOK
        waited = self.monotonic() - waiting_since
        if self.progress.age() < waited:
            self._waiting_since = None
        elif waited > STALE:
            log.critical(
                "worker_hung",
                extra={"fields": {"seconds_without_progress": round(self.progress.age())}},
            )
            self.end(HUNG)
        return LOOK
