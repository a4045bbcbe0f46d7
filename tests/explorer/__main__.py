"""`python -m tests.explorer`: every interleaving of each small world, within bounds.

Prints what each world held. Ends with 1, and prints the way there, when a rule is broken.
"""

import argparse
import logging
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.explorer.search import Found, Search
from tests.explorer.worlds import WORLDS


def explore(name: str, seconds: float) -> Found:
    """One world, in a process of its own."""
    logging.disable(logging.CRITICAL)
    setup = next(one for one in WORLDS if one.name == name)
    return Search(setup, seconds).run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.explorer", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="for all worlds together")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="worlds whose name holds this")
    options = parser.parse_args()
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
