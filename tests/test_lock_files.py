"""The lock files agree, and each holds all that its part of the repository imports."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REFUSE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ModuleNotFoundError("not in the lock file: " + name)
sys.meta_path.insert(0, Refuse())
"""


def locked(name: str) -> dict[str, str]:
    """Versions by canonical name."""
    text = (ROOT / name).read_text(encoding="utf-8")
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE)
    return {_canonical(package): version for package, version in pins}


def _canonical(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-demo.txt"])
def test_a_smaller_lock_file_has_no_version_of_its_own(name: str) -> None:
    """What the tests have passed with is what runs."""
    tested = locked("requirements-dev.txt")
    assert {package: tested.get(package) for package in locked(name)} == locked(name)


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("requirements.txt", "worker.celery, worker.commands.orders, tasks, kombu.transport.redis"),
        ("requirements-demo.txt", "sandbox.demo.__main__, sandbox.__main__, worker.celery"),
    ],
)
def test_a_lock_file_holds_all_that_is_imported(name: str, modules: str) -> None:
    """A package that only the tests bring would be missing in the container or in the demo."""
    here = locked(name)
    refused = {
        module
        for module, packages in packages_distributions().items()
        if not {_canonical(package) for package in packages} & {*here, "countersign"}
    }
    program = REFUSE.format(refused=refused) + f"import {modules}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
