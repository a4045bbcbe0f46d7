"""What the README shows is run here as it stands: a plain client, a real worker, and a broker that
loses a message.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from fleet import ROOT, Fleet, wait_for

from sandbox.embedded_redis import EmbeddedRedis
from sandbox.server import Sandbox

EXAMPLE = ROOT / "examples" / "send_order.py"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def fleet(tmp_path: Path, sandbox: Sandbox) -> Iterator[Fleet]:
    """A worker to be started by the test, on a broker of its own."""
    suppliers = {
        "RELOGRADE_URL": sandbox.relograde_url,
        "RELOGRADE_API_KEY": "sandbox-key",
        "LOGITRAIL_URLS": ",".join(sandbox.logitrail_urls),
        "LOGITRAIL_MERCHANT_ID": "sandbox",
        "LOGITRAIL_SECRET": "sandbox-secret",
    }
    with EmbeddedRedis(tmp_path / "redis", own=True) as broker:
        running = Fleet(tmp_path, broker.url, suppliers)
        yield running
        running.stop()


@contextmanager
def example(fleet: Fleet, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """The example as a process that does not outlive its test."""
    line = [sys.executable, str(EXAMPLE), *words]
    with subprocess.Popen(
        line, env=fleet.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_is_short() -> None:
    """At most 40 lines, and nothing but celery beside the standard library."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    imported = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
    assert len(lines) <= 40
    assert imported <= {"celery", *sys.stdlib_module_names}


def test_it_repeats_until_the_order_is_accepted(fleet: Fleet, sandbox: Sandbox) -> None:
    """The first message is lost with the broker's queue; the order is accepted all the same, and
    confirmed once.
    """
    order = sandbox.create("relograde", "finished")
    with (
        redis.Redis.from_url(fleet.redis_url) as broker,
        example(fleet, "relograde", order["order_id"], "shop-1", order["created_at"]) as process,
    ):
        wait_for(lambda: broker.llen("orders"), "the first message")
        broker.delete("orders")
        fleet.start()
        assert process.communicate(timeout=60)[0].strip() == "order.accepted"
    book = wait_for(lambda: sandbox.order("relograde", order["order_id"])["effects"], "the confirm")
    assert book == 1


def test_it_hears_of_a_refusal(fleet: Fleet) -> None:
    """An order without its creation time is refused, and the sender is told instead of repeating
    for ever.
    """
    fleet.start()
    with example(fleet, "relograde", "RELO0TFQK8FXQXSPURM", "shop-2") as process:
        assert process.communicate(timeout=60)[0].strip() == "order.dead_lettered"
