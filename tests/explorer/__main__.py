"""`python -m tests.explorer`: every interleaving of each small world, within bounds.

Prints what each world held. Ends with 1, and prints the way there, when a rule is broken.
"""

import argparse
import logging
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.explorer.faults import FAULTS, sources
from tests.explorer.search import Found, Search
from tests.explorer.worlds import WORLDS


def explore(name: str, seconds: float) -> Found:
    """One world, in a process of its own."""
    logging.disable(logging.CRITICAL)
    setup = next(one for one in WORLDS if one.name == name)
    return Search(setup, seconds).run()


def hunt(number: int, seconds: float) -> Found:
    """The first world in which one planted fault shows, each for so many seconds at most."""
    logging.disable(logging.CRITICAL)
    found = Found("none")
    for setup in WORLDS:
        found = Search(setup, seconds, sources=sources(FAULTS[number])).run()
        if found.violation:
            break
    return found


def hunt_all(seconds: float, jobs: int) -> int:
    """Prints where each fault shows; 1 when one does not."""
    missed = 0
    with ProcessPoolExecutor(jobs) as pool:
        every = range(len(FAULTS))
        for fault, found in zip(
            FAULTS, pool.map(hunt, every, [seconds] * len(FAULTS)), strict=True
        ):
            missed += not found.violation
            how = f"{found.world}: {found.violation}" if found.violation else "MISSED"
            print(
                f"{fault.name:55} {found.states:7} states {found.seconds:5.1f} s  {how}", flush=True
            )
    return int(missed > 0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.explorer", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="for all worlds together")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="worlds whose name holds this")
    parser.add_argument("--faults", action="store_true", help="plant each fault and find it")
    options = parser.parse_args()
    if options.faults:
        return hunt_all(options.seconds / len(WORLDS), options.jobs)
    names = [one.name for one in WORLDS if options.only in one.name]
    share = options.seconds / max(len(names), 1)
    broken = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        for found in pool.map(explore, names, [share] * len(names)):
            print(found, flush=True)
            for word in found.path:
                print(f"    {word}")
            broken += bool(found.violation)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
