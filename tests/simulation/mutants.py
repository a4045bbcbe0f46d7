"""`python -m tests.simulation.mutants`: plants each deliberate fault in a copy of the tree; the
simulation must see it.

Ends with 1 when a mutant survives, when its text is no longer in the code, or when the code as it
is does not pass.
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
            return {
                "rule": None,
                "text": f"does not apply: {missing}",
                "where": "",
                "tried": 0,
                "seconds": 0.0,
            }
        return {**_hunt(folder, runs), "seconds": time.monotonic() - began}


def _hunt(folder: Path, runs: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.simulation.hunt", "--runs", str(runs)]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    nothing = {"rule": None, "where": "", "tried": 0}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            out, errors = process.communicate(timeout=LONGEST)
            found: dict[str, Any] = json.loads(out)
        except subprocess.TimeoutExpired:
            # Asked, not killed: it has a server to stop.
            process.terminate()
            process.communicate()
            return {**nothing, "text": "took too long"}
        except ValueError:
            return {**nothing, "text": f"broke: {errors[-200:]}"}
    return found


def row(mutant: Mutant, found: dict[str, Any]) -> str:
    """One line of the table."""
    caught = found["rule"] or ("passes" if mutant is AS_IT_IS else "SURVIVED")
    where, text, tried = found["where"][:52], found["text"][:70], found["tried"]
    return (
        f"{mutant.name:52}  {caught:10}  {where:52}  {tried:5}  {found['seconds']:5.1f} s  {text}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=600, help="seeded runs for each, after the scenes"
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="those whose name holds this")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    print(f"{'mutant':52}  {'caught by':10}  {'where':52}  runs")
    caught, passes = 0, False
    with ThreadPoolExecutor(options.jobs) as pool:
        tries = [(mutant, pool.submit(try_one, mutant, options.runs)) for mutant in chosen]
        tries.append((AS_IT_IS, pool.submit(try_one, AS_IT_IS, 20)))
        for mutant, future in tries:
            found = future.result()
            print(row(mutant, found), flush=True)
            if mutant is AS_IT_IS:
                passes = found["rule"] is None and found["tried"] > 0
            else:
                caught += found["rule"] is not None
    print(
        f"mutants: {len(chosen)}, caught {caught}, the code as it is "
        f"{'passes' if passes else 'FAILS'}"
    )
    return 0 if passes and caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
