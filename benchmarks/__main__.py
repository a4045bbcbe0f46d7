"""`python -m benchmarks [NAME…] [--runs N]`: runs benchmarks one after the other and prints one
table.
"""

import argparse
import importlib
import sys

from benchmarks.rows import Figure, figures, table

NAMES = (
    "throughput",
    "pools",
    "idle_latency",
    "isolation",
    "in_flight",
    "budget",
    "spending",
    "scale",
    "durability",
)


def run(name: str, runs: int | None) -> list[Figure]:
    """All runs of one benchmark."""
    module = importlib.import_module(f"benchmarks.{name}")
    wanted = module.RUNS if runs is None else runs
    measured = []
    for number in range(1, wanted + 1):
        print(f"{name}: run {number} of {wanted}", file=sys.stderr, flush=True)
        measured.append(module.measure())
    return figures(measured)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one or more of: {', '.join(NAMES)}; default: all"
    )
    parser.add_argument(
        "--runs",
        type=int,
        help="default: as many as each benchmark wants, five or more where it can",
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    found = [figure for name in options.names or NAMES for figure in run(name, options.runs)]
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
