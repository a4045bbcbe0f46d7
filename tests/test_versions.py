"""Two versions of the worker: the one before the rooms (e02d1be) and this one, as real processes.

A ledger that the old version wrote goes on under the new one, and both run side by side on one
Redis, as in a rolling deployment. The supplier's own books judge.
"""

import signal
import subprocess
import tarfile
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fleet import ROOT, Fleet, wait_for
from test_end_to_end import Ledger, ended, fleet, judge, ledger, sandbox

from sandbox.server import Sandbox

__all__ = ["fleet", "ledger", "sandbox"]
BEFORE_ROOMS = "e02d1be"


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old version's tree."""
    command = ["git", "archive", BEFORE_ROOMS, "worker", "tasks", "schemas", "Procfile"]
    archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip("no history: the old version cannot be had from git")
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


def states(ledger: Ledger, orders: list[dict[str, Any]]) -> set[str]:
    return {ledger.order(order["supplier"], order["order_id"]).get("state", "") for order in orders}


def in_hand(ledger: Ledger, orders: list[dict[str, Any]]) -> bool:
    return "submitted" in states(ledger, orders)


def repeat(fleet: Fleet, ledger: Ledger, orders: list[dict[str, Any]]) -> None:
    """Sends again what was not accepted, as a shop does: a killed worker may take a message
    along.
    """
    for order in orders:
        if not ledger.order(order["supplier"], order["order_id"]):
            fleet.confirm(order)


def test_the_new_version_goes_on_with_the_old_ones_ledger(
    sandbox: Sandbox, fleet: Fleet, ledger: Ledger, old: Path
) -> None:
    """Pending, unanswered, dead, held and refused: whatever the old worker left when it was
    killed.
    """
    fleet.start(1, old)
    ended(ledger, [fleet.confirm(sandbox.create("relograde", "finished"))])
    poor = fleet.confirm(sandbox.create("relograde", "insufficient_balance"))
    ended(ledger, [poor])
    pending = [fleet.confirm(sandbox.create("relograde", "pending")) for _ in range(3)]
    cut = [
        fleet.confirm(sandbox.create("relograde", "slow")),
        fleet.confirm(sandbox.create("relograde", "lost_answer")),
        fleet.confirm(sandbox.create("logitrail", "lost_answer")),
        fleet.confirm(sandbox.create("logitrail", "timeout_after")),
    ]
    fleet.confirm(poor, reference="somebody else's")
    wait_for(partial(in_hand, ledger, cut), "a call is in hand")
    wait_for(lambda: ledger.client.exists("countersign:{messages}:order:1"), "a letter")
    fleet.kill(0, signal.SIGKILL)
    fleet.command("lanes", "hold", "logitrail", "--note", "held across the versions")
    held = [fleet.confirm(sandbox.create("logitrail", "confirmed")) for _ in range(3)]
    fleet.start(1)
    wait_for(lambda: states(ledger, held) == {"accepted"}, "the held orders are accepted")
    fleet.command("lanes", "release", "logitrail")
    ends = ended(ledger, [*pending, *cut, *held])
    assert set(ends.values()) == {"confirmed"}
    letters = {letter["key"] for letter in fleet.command("dead-letters", "list")}
    assert letters == {f"relograde/{poor['order_id']}", "message/1"}
    sandbox.move("relograde", poor["order_id"], "finished")
    fleet.command("dead-letters", "requeue", f"relograde/{poor['order_id']}")
    assert ended(ledger, [poor])[poor["order_id"]] == "confirmed"
    judge(sandbox, ledger)


def test_both_versions_run_side_by_side(
    sandbox: Sandbox, fleet: Fleet, ledger: Ledger, old: Path
) -> None:
    """One of each, then each killed in the middle and started again; nothing lost or repeated."""
    kinds = {
        "relograde": ("finished", "pending", "lost_answer", "error_after", "slow", "cancelled"),
        "logitrail": ("confirmed", "lost_answer", "error_before", "timeout_after"),
    }
    fleet.start(1, old)
    fleet.start(1)
    orders = []
    for _ in range(3):
        for supplier, names in kinds.items():
            orders += [fleet.confirm(sandbox.create(supplier, name)) for name in names]
        wait_for(partial(in_hand, ledger, orders), "a call is in hand")
        victim = len(fleet.workers) - 2
        fleet.kill(victim, signal.SIGKILL)
        fleet.start(1, old if victim % 2 == 0 else ROOT)
    wait_for(lambda: not in_hand(ledger, orders), "no call is in hand")
    repeat(fleet, ledger, orders)
    ends = ended(ledger, orders, 90.0)
    wanted = {
        order["order_id"]: "cancelled" if order["behaviour"] == "cancelled" else "confirmed"
        for order in orders
    }
    assert ends == wanted
    judge(sandbox, ledger)
