"""What a Redis URL means, and a fail-over by Sentinels with calls in hand, over real servers and
real workers.
"""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from fleet import Fleet, supplier_environment, wait_for
from kombu import Connection

from sandbox.doors import free_port
from sandbox.embedded_redis import HOST, EmbeddedRedis, find_server
from sandbox.server import Sandbox
from worker.commands.doctor import FOLLOW_CLOSELY
from worker.process.broker import SentinelTransport, Transport, address
from worker.servers import Group, connect, group

MASTER = "orders"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis+sentinel://one/shop", Group((("one", 26379),), "shop")),
        ("redis+sentinel://one:1,two:2/shop/3", Group((("one", 1), ("two", 2)), "shop", 3)),
        ("redis+sentinel://me:p%40ss@one:1/shop", Group((("one", 1),), "shop", 0, "me:p%40ss")),
        ("redis://one:1/0", None),
    ],
)
def test_a_group_is_read_from_its_url(url, found):
    """One form for broker and ledger."""
    assert group(url) == found


@pytest.mark.parametrize(
    "rest", ["one:1", "one:1/", "/shop", "one:port/shop", "one:99999/shop", ":1/shop", "one/shop/x"]
)
def test_a_malformed_group_is_refused(rest):
    """At the start, not at the first order."""
    with pytest.raises(ValueError, match=r"needs|invalid literal"):
        group(f"redis+sentinel://{rest}")


@pytest.mark.parametrize("transport", [Transport, SentinelTransport])
def test_a_channel_whose_connection_was_given_up_says_so(transport):
    """Celery reconnects on a connection error; the stock channel's AttributeError would end the
    worker.
    """
    with Connection(transport=transport, transport_options={"master_name": MASTER}) as connection:
        channel = connection.transport.Channel.__new__(connection.transport.Channel)
        channel.connection = connection.transport
        channel.connection.client = None
        with pytest.raises(connection.transport.connection_errors, match="given up"):
            channel._get_pool()
        channel.connection = None
        with pytest.raises(connection.transport.connection_errors, match="given up"):
            channel._get_pool()
        connection.transport.client = connection


def test_the_broker_is_told_of_every_sentinel():
    """In kombu's own form; the password stays encoded in the URL and is decoded for the ledger."""
    url = "redis+sentinel://me:p%40ss@one:1,two:2/shop/3"
    both = "sentinel://me:p%40ss@one:1/3;sentinel://me:p%40ss@two:2/3"
    assert address(url) == (both, {"master_name": "shop"})
    assert address("redis://one") == ("redis://one", {})
    found = group(url)
    assert found
    assert found.login == {"username": "me", "password": "p@ss"}


# --- a fail-over ----------------------------------------------------------------------------------


class Pair:
    """A master, its replica, and three Sentinels that promote the replica a second after the master
    is gone.
    """

    def __init__(self, folder: Path) -> None:
        self.servers = [EmbeddedRedis(folder / name, own=True) for name in ("first", "second")]
        self.ports = [free_port(HOST) for _ in range(3)]
        self.folder = folder
        self.sentinels: list[subprocess.Popen[bytes]] = []
        self.url = (
            "redis+sentinel://" + ",".join(f"{HOST}:{port}" for port in self.ports) + f"/{MASTER}"
        )

    def __enter__(self) -> "Pair":
        first, second = self.servers
        first.start()
        second.start()
        with redis.Redis.from_url(second.url) as replica:
            replica.replicaof(HOST, first.port)
            wait_for(
                lambda: replica.info("replication")["master_link_status"] == "up",
                "the replica follows",
            )
        for port in self.ports:
            file = self.folder / f"sentinel-{port}.conf"
            file.write_text(
                f"bind {HOST}\nport {port}\ndir {self.folder}\n"
                f"sentinel monitor {MASTER} {HOST} {first.port} 2\n"
                f"sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout "
                f"{MASTER} 5000\n"
            )
            with file.with_suffix(".log").open("wb") as log:
                line = [str(find_server()), str(file), "--sentinel"]
                self.sentinels.append(subprocess.Popen(line, stdout=log, stderr=subprocess.STDOUT))
        wait_for(self._agreed, "the Sentinels know each other and the replica")
        return self

    def _agreed(self) -> bool:
        try:
            for port in self.ports:
                with redis.Redis(port=port, host=HOST, decode_responses=True) as sentinel:
                    seen = sentinel.sentinel_master(MASTER)
                    if seen["num-other-sentinels"] < 2 or seen["num-slaves"] < 1:
                        return False
        except redis.RedisError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        for process in self.sentinels:
            process.kill()
            process.wait(30)
        for server in self.servers:
            server.kill()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with Pair(tmp_path / "servers") as running:
        yield running


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    quiet = {"rate_limit": 0, "defaults": {"hold": 1.5, "finish_after": 0.5}}
    with Sandbox(seed=1, doors=True, initial={"relograde": quiet, "logitrail": quiet}) as running:
        yield running


def test_a_fail_over_with_calls_in_hand_loses_and_repeats_nothing(pair, sandbox, tmp_path):
    """The new master is a restart that may have forgotten: what was sent is asked about, and ends
    with one effect.
    """
    fleet, ledger = Fleet(tmp_path, pair.url, supplier_environment(sandbox)), connect(pair.url)
    try:
        assert FOLLOW_CLOSELY in [row["remedy"] for row in fleet.command("doctor", check=False)]
        fleet.start(2)
        kinds = (("relograde", "slow"), ("relograde", "finished"), ("logitrail", "confirmed"))
        orders = [
            fleet.confirm(sandbox.create(*kind))
            for kind in (*kinds, ("logitrail", "timeout_after")) * 3
        ]
        slow = [order for order in orders if order["behaviour"] == "slow"]
        wait_for(
            lambda: all(sandbox.order("relograde", o["order_id"])["calls"] for o in slow),
            "confirms are in hand",
        )
        assert ledger.wait(1, 5000) == 1, "the replica has it all"
        assert ledger.info("server")["tcp_port"] == pair.servers[0].port
        pair.servers[0].kill()
        records = [
            f"countersign:{{{order['supplier']}}}:order:{order['order_id']}" for order in orders
        ]

        def all_confirmed() -> bool:
            try:
                return {ledger.hget(name, "state") for name in records} == {"confirmed"}
            except redis.RedisError:
                return False

        wait_for(all_confirmed, "every order has its end", 90)
        assert ledger.info("server")["tcp_port"] == pair.servers[1].port
        for room in ("relograde", "logitrail"):
            assert ledger.hget(f"countersign:{{{room}}}:server", "generation") == "1"
        for entry in sandbox.books()["orders"]:
            assert entry["effects"] == 1
            assert not entry["repeated_without_asking"]
        assert [fleet.kill(number, signal.SIGTERM) for number in range(2)] == [0, 0], fleet.log()
    finally:
        ledger.close()
        fleet.stop()
