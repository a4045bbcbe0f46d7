"""The settings of the demo's workers: times shortened, budget raised.

Nothing from this machine's own environment reaches them, so no key of a real supplier does.
"""

import os
import socket
import sys
from pathlib import Path

from sandbox.doors import free_port

HOST = "127.0.0.1"
FLOWER_PORT = 5555
FOREIGN = (
    "CELERY_",
    "COUNTERSIGN_",
    "DEADLINE_WARNING_",
    "FLOWER_",
    "LEDGER_URL",
    "LOGITRAIL_",
    "OUTCOME_",
    "PORT",
    "PROCFILE",
    "RELOGRADE_",
    "RETENTION_",
    "RETRY_SECONDS",
    "VOUCHER_",
)
OUTCOME_QUEUE = "demo-outcomes"
CALLS_PER_MINUTE = 900
SHORTENED = {
    "COUNTERSIGN_CONCURRENCY": "40",
    "RETRY_SECONDS": "1,2,3",
    "RELOGRADE_CALLS_PER_MINUTE": str(CALLS_PER_MINUTE),
    "RELOGRADE_CONNECT_TIMEOUT": "2",
    "RELOGRADE_READ_TIMEOUT": "4",
    "RELOGRADE_SETTLE_SECONDS": "3",
    "RELOGRADE_RECHECK_SECONDS": "1,2,3",
    "RELOGRADE_DEADLINE_MARGIN_SECONDS": "5",
    "LOGITRAIL_CONNECT_TIMEOUT": "2",
    "LOGITRAIL_READ_TIMEOUT": "4",
    "LOGITRAIL_SETTLE_SECONDS": "3",
    "LOGITRAIL_GIVE_UP_SECONDS": "35",
    "OUTCOME_TASK": "shop.outcome",
    "OUTCOME_QUEUE": OUTCOME_QUEUE,
}
"""Settings of the contract that the demo changes, and prints first."""


def own(redis_url: str, sandbox_url: str) -> dict[str, str]:
    """The settings that the demo writes to `.demo/env`."""
    hosts = ",".join(f"{sandbox_url}/logitrail-{number}/2015-01-01" for number in (1, 2))
    return {
        **SHORTENED,
        "REDIS_URL": redis_url,
        "RELOGRADE_URL": f"{sandbox_url}/relograde",
        "RELOGRADE_API_KEY": "sandbox-key",
        "LOGITRAIL_URLS": hosts,
        "LOGITRAIL_MERCHANT_ID": "sandbox",
        "LOGITRAIL_SECRET": "sandbox-secret",
        "FLOWER_PORT": str(_usual_or_free(FLOWER_PORT)),
    }


def whole(settings: dict[str, str]) -> dict[str, str]:
    """The environment of a process; the Procfile's `celery` is the one beside this Python."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**clean, **settings, "PATH": path}


def _usual_or_free(port: int) -> int:
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)):
            return port
    return free_port(HOST)
