"""Progress is what counts as alive: noted in a file, judged on a clock that the test moves."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from fleet import Fleet, wait_for
from redis.backoff import NoBackoff
from redis.retry import Retry

from sandbox.embedded_redis import EmbeddedRedis
from worker.process.health import EVERY, HUNG, LOOK, STALE, Progress, Watch, away, workers_here

ROOT = Path(__file__).parents[1]


class World:
    """A broker that may be away or hang, a consumer that may be deaf, a clock.

    Both threads' turns are made here.
    """

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
    """The broker takes its messages and none arrives: it ends with its own exit code, within a
    minute.
    """
    world.run(60)
    world.hears = False
    deaf_since = world.now
    world.run(10 * STALE)
    assert world.ended == [HUNG]
    assert world.now - deaf_since <= 60


@pytest.mark.parametrize("hangs", [EVERY, 30.0, 100.0, 3600.0])
def test_a_worker_whose_broker_hangs_ends_itself(world: World, hangs: float) -> None:
    """However long a message takes to fail: it ends within a minute, and its supervisor starts a
    new one.
    """
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
    """As the Redis client says it: a refused connection, a name without an address, a server that
    never answers.
    """
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
    done = subprocess.run(
        line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
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


@pytest.mark.parametrize(("age", "well"), [(STALE + 1, True), (74.0, True), (76.0, False)])
def test_a_stopping_worker_is_well_for_as_long_as_its_calls_may_take(
    tmp_path: Path, age: float, well: bool
) -> None:
    """Then it hangs: neither a message that was still in hand nor a second signal makes it look
    well for longer.
    """
    worker = Progress("test", os.getpid(), tmp_path)
    worker.note()
    worker.stop(75.0)
    told = time.time() - age
    os.utime(worker.path, (told, told))
    worker.note()
    worker.stop(75.0)
    [(_, seen)] = workers_here("test", tmp_path)
    assert (seen.stopping(), seen.well()) == (True, well)


def test_a_new_worker_is_not_taken_for_a_killed_one_of_its_number(tmp_path: Path) -> None:
    """In a container they often have the same: the new one does not stop because the old one
    did.
    """
    for _ in range(2):
        worker = Progress("test", os.getpid(), tmp_path)
        worker.begin()
        assert not worker.stopping()
        worker.stop(75.0)


def test_a_worker_is_well_until_its_last_call_is_finished(
    server: EmbeddedRedis, tmp_path: Path
) -> None:
    """SIGTERM with a call in hand: a probe must not end it in the middle.

    When the process ends it is forgotten.
    """
    with socket.create_server(("127.0.0.1", 0)) as supplier:
        environment = {
            "LOGITRAIL_URLS": f"http://127.0.0.1:{supplier.getsockname()[1]}",
            "LOGITRAIL_MERCHANT_ID": "1",
            "LOGITRAIL_SECRET": "s",
            "LOGITRAIL_READ_TIMEOUT": "50",
            "TMPDIR": str(tmp_path),
        }
        fleet = Fleet(tmp_path, server.url.rsplit("/", 1)[0] + "/7", environment)
        try:
            fleet.start()
            fleet.send(
                "orders.confirm",
                supplier="logitrail",
                order_id="5f3e9a1b2c4d5e6f7a8b9c0d",
                reference="1",
            )
            supplier.settimeout(60)
            call, _ = supplier.accept()
            with call:
                assert call.recv(10)
                fleet.workers[0].send_signal(signal.SIGTERM)
                wait_for(lambda: listeners(fleet.redis_url) == 0, "it listens no more")
                [row] = fleet.command("health")
                assert (row["pid"], row["stopping"], row["well"]) == (
                    fleet.workers[0].pid,
                    True,
                    True,
                )
                assert fleet.workers[0].poll() is None
            assert fleet.workers[0].wait(60) == 0
            assert not list(tmp_path.glob("countersign-*/*"))
        finally:
            fleet.stop()


def listeners(url: str) -> int:
    """How many connections wait for messages at this moment."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return sum("b" in connection["flags"] for connection in client.client_list())


def test_without_a_worker_the_command_says_so(tmp_path: Path) -> None:
    """One that is not ready yet has noted nothing: not healthy, and the line tells a person why."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:1/0"}
    line = [sys.executable, "-m", "celery", "-A", "worker", "health"]
    done = subprocess.run(
        line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        1,
        "countersign: no worker of this machine is ready\n",
    )
