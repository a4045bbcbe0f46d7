"""Progress is what counts as alive: noted in a file, judged on a clock that the test moves."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.health import EVERY, HUNG, LOOK, STALE, Progress, Watch, away, workers_here

ROOT = Path(__file__).parents[1]


class World:
    """A broker that may be away or hang, a consumer that may be deaf, a clock. Both threads' turns are made here."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.now = self.heard_at = 1000.0
        self.reachable = True
        self.hears = True
        self.hangs = 0.0
        """Seconds that a message takes to fail, or to be refused."""
        self.ended: list[int] = []
        self.watch = Watch(progress, self.send, self.ended.append, lambda: self.now)

    def send(self) -> bool:
        self.live(self.hangs)
        return self.reachable

    def live(self, seconds: float) -> None:
        """Time passes, and the judge looks; a message that is heard notes progress."""
        ends = self.now + seconds
        while self.now < ends and not self.ended:
            self.now += LOOK
            if self.reachable and self.hears and not self.hangs:
                self.heard_at = self.now
            self.progress.note()
            heard = time.time() - (self.now - self.heard_at)
            os.utime(self.progress.path, (heard, heard))
            self.watch.judge()

    def run(self, seconds: float) -> None:
        """Messages, until `seconds` have passed or the worker has ended itself."""
        ends = self.now + seconds
        while self.now < ends and not self.ended:
            self.live(self.watch.beat())


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
    deaf_since = world.now
    world.run(10 * STALE)
    assert world.ended == [HUNG]
    assert world.now - deaf_since <= 60


@pytest.mark.parametrize("hangs", [EVERY, 30.0, 100.0, 3600.0])
def test_a_worker_whose_broker_hangs_ends_itself(world: World, hangs: float) -> None:
    """However long a message takes to fail: it ends within a minute, and its supervisor starts a new one."""
    world.run(60)
    world.hangs = hangs
    hung_since = world.now
    world.run(10 * STALE)
    assert world.ended == [HUNG]
    assert world.now - hung_since <= 60


def test_a_broker_that_hangs_for_less_ends_nothing(world: World) -> None:
    """It comes back before it counts as lost."""
    for _ in range(10):
        world.run(60)
        world.hangs = 30.0
        world.run(30)
        world.hangs = 0.0
    assert world.ended == []


@pytest.mark.parametrize("refused_after", [0.0, 30.0])
def test_a_broker_that_is_away_is_not_the_workers_fault(world: World, refused_after: float) -> None:
    """Nothing can be sent for an hour: it waits; when the broker is back it has its time again."""
    world.run(60)
    world.reachable, world.hangs = False, refused_after
    world.run(3600)
    assert world.ended == []
    world.reachable, world.hangs = True, 0.0
    world.run(60)
    assert world.ended == []


def test_a_broker_is_away_when_it_refuses_and_not_when_it_hangs() -> None:
    """As the Redis client says it: a refused connection, a name without an address, a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert not away(failure("127.0.0.1", port))
    assert away(failure("127.0.0.1", port))
    assert away(failure("name.invalid", port))


def failure(host: str, port: int) -> redis.RedisError:
    with redis.Redis(host, port, socket_timeout=0.1, retry=Retry(NoBackoff(), 0)) as client:
        with pytest.raises(redis.RedisError) as error:
            client.ping()
        return error.value


@pytest.mark.parametrize(("age", "code"), [(STALE - 20, 0), (STALE + 1, 1)])
def test_the_command_looks_at_progress_alone(tmp_path: Path, age: float, code: int) -> None:
    """It answers although neither broker nor ledger can be reached."""
    progress = Progress("countersign", os.getpid(), tmp_path / f"countersign-{os.getuid()}")
    progress.note()
    noted = time.time() - age
    os.utime(progress.path, (noted, noted))
    environment = {**os.environ, "TMPDIR": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:1/0"}
    line = [sys.executable, "-m", "celery", "-A", "worker", "health", "--json"]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert [row["well"] for row in json.loads(done.stdout)] == [code == 0]


def test_files_of_dead_workers_are_forgotten(tmp_path: Path) -> None:
    """A worker that was killed cannot remove its file; the next look does."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getpid()):
        Progress("test", pid, tmp_path).note()
    assert [pid for pid, _ in workers_here("test", tmp_path)] == [os.getpid()]
    assert not Progress("test", gone.pid, tmp_path).path.exists()
