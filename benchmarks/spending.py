"""How well a scarce budget is spent, on virtual time: the figures that tests record, of the very
runs that they judge.

Nothing in them is left to the machine, so one run says it all.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.rig import ROOT
from benchmarks.rows import Row

RUNS = 1
TESTS = ("tests/test_overload.py", "tests/test_page_budget.py", "tests/test_forecast.py")
GOALS: dict[str, tuple[str, float | None, float | None]] = {
    "5,000 that can just be served, first come first served: lost": ("%", None, 20),
    "5,000 that can just be served: lost": ("orders", 0, None),
    "twice as many as can be served: lost beyond the optimum": ("%", 1, None),
    "share of all calls that are confirms, list newest first": ("%", None, 85),
    "share of all calls that are confirms, list oldest first": ("%", None, 85),
    "forecast misses that came otherwise": ("orders", 0, None),
}
"""By the name under which a test records it: unit, at most, at least."""


def recorded() -> dict[str, float]:
    """What the tests recorded, of several the largest; a goal that is missed is a row all the
    same.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = (
            "-q",
            "-m",
            "not hypothesis",
            "-o",
            "junit_family=xunit1",
            f"--junitxml={report}",
        )
        line = [sys.executable, "-m", "pytest", *options, *TESTS]
        subprocess.run(line, cwd=ROOT, stdout=sys.stderr, check=False)
        figures: dict[str, float] = {}
        for one in ElementTree.parse(report).iter("property"):
            name, value = one.attrib["name"], float(one.attrib["value"])
            figures[name] = max(value, figures.get(name, value))
    return figures


def measure() -> list[Row]:
    """KeyError when a test did not come to its figure."""
    found = recorded()
    return [
        Row(name=name, value=found[name], unit=unit, at_most=at_most, at_least=at_least)
        for name, (unit, at_most, at_least) in GOALS.items()
    ]
