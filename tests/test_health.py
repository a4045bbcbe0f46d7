"""Progress is what counts as alive: noted in a file, judged on a clock that the test moves."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worker.health import EVERY, HUNG, STALE, Progress, Watch, workers_here


class World:
    """A broker that may be away, a consumer that may be deaf, a clock."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.now = 1000.0
        self.reachable = True
        self.hears = True
        self.ended: list[int] = []
        self.watch = Watch(progress, self.send, self.ended.append, lambda: self.now)

    def send(self) -> bool:
        return self.reachable

    def run(self, seconds: float) -> None:
        """Turns until `seconds` have passed; a message that is heard notes progress at once."""
        ends = self.now + seconds
        while self.now < ends and not self.ended:
            self.watch.turn()
            self.now += EVERY
            real = time.time() - (0 if self.reachable and self.hears else seconds + 10 * STALE)
            if self.reachable and self.hears:
                self.progress.note()
            elif self.progress.path.exists():
                os.utime(self.progress.path, (real, real))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Progress("test", os.getpid(), tmp_path))


def test_a_worker_that_hears_itself_goes_on(world: World) -> None:
    """Progress every few seconds: never ended."""
    world.run(10 * STALE)
    assert world.ended == []


def test_a_worker_that_hears_nothing_ends_itself(world: World) -> None:
    """The broker takes its messages and none arrives: it ends with its own exit code, within a minute."""
    world.run(60)
    world.hears = False
    started = world.now
    world.run(10 * STALE)
    assert world.ended == [HUNG]
    assert world.now - started <= 60 + EVERY


def test_a_broker_that_is_away_is_not_the_workers_fault(world: World) -> None:
    """Nothing can be sent for an hour: it waits; when the broker is back it has its time again."""
    world.run(60)
    world.reachable = False
    world.run(3600)
    assert world.ended == []
    world.reachable = True
    world.run(60)
    assert world.ended == []


def test_files_of_dead_workers_are_forgotten(tmp_path: Path) -> None:
    """A worker that was killed cannot remove its file; the next look does."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getpid()):
        Progress("test", pid, tmp_path).note()
    assert [pid for pid, _ in workers_here("test", tmp_path)] == [os.getpid()]
    assert not Progress("test", gone.pid, tmp_path).path.exists()
