"""The embedded server keeps what it was told, stays on loopback, and never falls back to memory in
silence.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from sandbox.embedded_redis import EmbeddedRedis, NoServerError, find_server


@pytest.fixture(autouse=True)
def _no_server_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "data", appendfsync="always") as running:
        yield running


def client(server: EmbeddedRedis) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_it_keeps_everything_through_kill_9_and_restart(server: EmbeddedRedis) -> None:
    """What was written before a kill -9 is there after the restart, at the same address."""
    with client(server) as before:
        before.set("order", "paid")
        before.zadd("due", {"order": 5})
    server.kill()
    server.start()
    with client(server) as after:
        assert (after.get("order"), after.zscore("due", "order")) == ("paid", 5)
        after.set("order", "confirmed")
    server.restart()
    with client(server) as last:
        assert last.get("order") == "confirmed"


def test_it_is_set_up_for_a_ledger(server: EmbeddedRedis) -> None:
    """Append-only, nothing evicted, no other machine let in."""
    with client(server) as connection:
        config = connection.config_get("*")
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    assert {name: config[name] for name in wanted} == wanted
    assert (config["bind"], config["protected-mode"]) == ("127.0.0.1", "yes")


def test_a_named_server_is_used_as_it_is(
    server: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REDIS_URL comes first, and the server behind it is neither started nor stopped."""
    monkeypatch.setenv("REDIS_URL", server.url)
    with EmbeddedRedis(tmp_path / "other") as named:
        assert named.url == server.url
        named.kill()
    with client(server) as connection:
        assert connection.ping()
    assert not (tmp_path / "other").exists()


def test_a_named_server_that_does_not_answer_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that is wrong, say, stops the start: another server would hide the mistake."""
    with EmbeddedRedis(tmp_path / "data") as locked:
        with client(locked) as connection:
            connection.config_set("requirepass", "long-and-secret")
        monkeypatch.setenv("REDIS_URL", locked.url)
        with pytest.raises(NoServerError, match="REDIS_URL names does not answer"):
            EmbeddedRedis(tmp_path / "other").start()


def test_it_refuses_when_there_is_no_server_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says what to install, and no folder pretending that data were kept."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoServerError) as refusal:
        EmbeddedRedis(tmp_path / "data", bundled=False).start()
    assert "REDIS_URL" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_server_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, the PATH decides; `redis-server` comes before `valkey-server`."""
    for name in ("valkey-server", "redis-server"):
        (tmp_path / name).symlink_to(find_server())
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_server(bundled=False).name == name
    with EmbeddedRedis(tmp_path / "data", bundled=False) as found, client(found) as connection:
        assert connection.ping()


def test_a_stranger_on_the_port_is_not_taken_for_it(server: EmbeddedRedis, tmp_path: Path) -> None:
    """The port is another server's: the start fails instead of writing into somebody else's
    data.
    """
    with pytest.raises(NoServerError, match=r"ended at its start"):
        EmbeddedRedis(tmp_path / "second", server.port).start()


def test_in_the_foreground_it_ends_with_its_signal(tmp_path: Path) -> None:
    """`python -m sandbox.embedded_redis` says its URL, serves, and takes its server with it."""
    command = [sys.executable, "-m", "sandbox.embedded_redis", "--folder", str(tmp_path / "data")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip().removeprefix("REDIS_URL=")
        with redis.Redis.from_url(url) as connection:
            assert connection.ping()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            with pytest.raises(redis.ConnectionError):
                redis.Redis.from_url(url).ping()
