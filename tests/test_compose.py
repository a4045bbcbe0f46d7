"""The containers run what the Procfile runs, on a Redis that forgets nothing.

Checked without an engine.
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker-compose.yml"
NOT_OURS = {
    "redis": "the broker and the ledger: a server, no part of the Procfile",
    "sandbox": "stand-in suppliers for trying things out, behind a profile",
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(COMPOSE)["services"])


@pytest.fixture(scope="module")
def procfile() -> dict[str, list[str]]:
    lines = (
        line.partition(":") for line in (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    )
    return {name: shlex.split(command) for name, _, command in lines}


def test_the_file_follows_the_compose_specification(tmp_path: Path) -> None:
    """The schema comes with the checker, so this needs no network; a file that breaks it is
    refused.
    """
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    good = subprocess.run([*command, str(COMPOSE)], capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stdout + good.stderr
    broken = tmp_path / "docker-compose.yml"
    broken.write_text("services: {worker: {stop_grace_perod: 80s}}", encoding="utf-8")
    assert subprocess.run([*command, str(broken)], capture_output=True, check=False).returncode == 1


def test_every_service_runs_a_line_of_the_procfile(
    services: dict[str, Any], procfile: dict[str, list[str]]
) -> None:
    """Word for word, and every line has its service."""
    ours = {name: service["command"] for name, service in services.items() if name not in NOT_OURS}
    assert ours == procfile


def test_the_image_by_itself_is_a_worker(procfile: dict[str, list[str]]) -> None:
    """`docker run` without a command does what the Procfile's worker does; the last stage is the
    application's.
    """
    last_stage = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("FROM ")[-1]
    assert last_stage.startswith("base AS app")
    command = next(line for line in last_stage.splitlines() if line.startswith("CMD "))
    assert json.loads(command.removeprefix("CMD ")) == procfile["worker"]
    assert "USER countersign" in last_stage
    assert "STOPSIGNAL SIGTERM" in last_stage


def test_redis_forgets_and_evicts_nothing(services: dict[str, Any]) -> None:
    """Append-only on a volume of its own, and the others wait until it is well."""
    words = services["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert (options["--appendonly"], options["--maxmemory-policy"]) == ("yes", "noeviction")
    assert options["--dir"] in services["redis"]["volumes"][0].split(":")
    assert services["redis"]["healthcheck"]["test"]
    for name in ("worker", "flower"):
        assert services[name]["depends_on"]["redis"]["condition"] == "service_healthy"


def test_a_worker_may_be_multiplied_and_may_finish_its_calls(services: dict[str, Any]) -> None:
    """No fixed name or port that a second one would collide with, and time to end the call in
    hand.
    """
    worker = services["worker"]
    assert not {"container_name", "ports", "hostname"} & set(worker)
    assert int(worker["stop_grace_period"].removesuffix("s")) >= 75


def test_flower_has_a_password_and_no_supplier_key(services: dict[str, Any]) -> None:
    """Compose refuses to start without the password; Flower is given nothing else that is
    secret.
    """
    environment = services["flower"]["environment"]
    assert environment["FLOWER_BASIC_AUTH"].startswith("${FLOWER_BASIC_AUTH:?")
    assert set(environment) == {"REDIS_URL", "FLOWER_BASIC_AUTH"}
    assert "env_file" not in services["flower"]
    assert all(port.startswith("127.0.0.1:") for port in services["flower"]["ports"])


def test_every_image_is_pinned(services: dict[str, Any]) -> None:
    """A version down to the patch: the same file must mean the same thing next year."""
    bases = [
        line.split()[1]
        for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if "FROM " in line
    ]
    foreign = [service["image"] for service in services.values() if "build" not in service]
    pinned = [image for image in [*bases, *foreign] if image != "base"]
    assert pinned
    assert all(image.partition(":")[2].count(".") == 2 for image in pinned)


def test_what_the_image_copies_exists() -> None:
    """A room that moved would only be missed when an image is built."""
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY "):
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), line
