"""`python -m tests.simulation.mutants`: plants each deliberate fault in a copy of the tree; the simulation must see it.

Ends with 1 when a mutant survives, when its text is no longer in the code, or when the code as it is does not pass.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.simulation.mutations import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
ROOMS = ("worker", "schemas", "sandbox", "tests/simulation")
LONGEST = 240.0
"""Seconds that one hunt may take: a mutant that makes the worker spin is not caught by that."""
AS_IT_IS = Mutant("(the code as it is)", ())


def copy_tree(folder: Path) -> None:
    """What a simulation needs, without anything that was compiled."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))


def plant(folder: Path, mutant: Mutant) -> str | None:
    """Makes the changes; says which text is not there exactly once."""
    for file, old, new in mutant.changes:
        path = folder / file
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            return f"{text.count(old)} times in {file}: {old.strip()}"
        path.write_text(text.replace(old, new), encoding="utf-8")
    return None


def try_one(mutant: Mutant, runs: int) -> dict[str, Any]:
    """Plants one mutant and hunts it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        copy_tree(folder)
        missing = plant(folder, mutant)
        if missing:
            return {"rule": None, "text": f"does not apply: {missing}", "where": "", "tried": 0, "seconds": 0.0}
        command = [sys.executable, "-m", "tests.simulation.hunt", "--runs", str(runs)]
        environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST)
            found: dict[str, Any] = json.loads(done.stdout)
        except subprocess.TimeoutExpired:
            found = {"rule": None, "text": "took too long", "where": "", "tried": 0}
        except ValueError:
            found = {"rule": None, "text": f"broke: {done.stderr[-200:]}", "where": "", "tried": 0}
    return {**found, "seconds": time.monotonic() - began}


def row(mutant: Mutant, found: dict[str, Any]) -> str:
    """One line of the table."""
    caught = found["rule"] or "SURVIVED"
    where, text, tried = found["where"][:52], found["text"][:70], found["tried"]
    return f"{mutant.name:52}  {caught:10}  {where:52}  {tried:5}  {found['seconds']:5.1f} s  {text}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--runs", type=int, default=600, help="seeded runs for each, after the scenes")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="those whose name holds this")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    print(f"{'mutant':52}  {'caught by':10}  {'where':52}  runs")
    bad = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        tries = [(mutant, pool.submit(try_one, mutant, options.runs)) for mutant in chosen]
        tries.append((AS_IT_IS, pool.submit(try_one, AS_IT_IS, 20)))
        for mutant, future in tries:
            found = future.result()
            print(row(mutant, found), flush=True)
            bad += (found["rule"] is None) != (mutant is AS_IT_IS)
    print(f"mutants: {len(chosen)}, caught {len(chosen) - bad if bad <= len(chosen) else 0}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
