"""`python -m tests.simulation --runs N --seed S --jobs J`: seeded runs, and every (boundary,
answer) pair.
"""

import argparse
import sys
import time

from tests.simulation.campaign import Options, report, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="seeded runs")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="the first seed; with --runs 1 --seeds-only it repeats one run",
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--seeds-only", action="store_true", help="without the pairs and the scenes"
    )
    given = parser.parse_args()
    began = time.monotonic()
    tally = run(Options(given.runs, given.seed, given.jobs, planned=not given.seeds_only))
    for failure in tally.failures:
        print(failure)
    print(report(tally, time.monotonic() - began))
    return 0 if len(tally.covered) == tally.wanted and not tally.failures else 1


if __name__ == "__main__":
    sys.exit(main())
