"""`python -m tests.simulation.hunt --runs N`: runs until the first violation, and prints where it
was. For mutants.
"""

import argparse
import json
import logging
import signal
import sys
from collections.abc import Iterator

from tests.simulation import pairs
from tests.simulation.generate import plan
from tests.simulation.plan import Plan
from tests.simulation.run import Runner
from tests.simulation.scenes import scenes

EVERY = 37
"""Of the pairs, this one in so many."""


def prey(runs: int) -> Iterator[tuple[str, Plan]]:
    """What is run, in this order: the scenes, a few pairs, seeds from 1 on."""
    yield from scenes().items()
    for number, (case, one) in enumerate(pairs.plans()):
        if number % EVERY == 0:
            yield " ".join(case), one
    for seed in range(1, runs + 1):
        yield f"seed {seed}", plan(seed)


def hunt(runs: int) -> dict[str, object]:
    """The first violation, or none."""
    tried = 0
    with Runner() as runner:
        for tried, (name, one) in enumerate(prey(runs), 1):
            violations = runner.run(one).violations
            if violations:
                return {
                    "rule": violations[0][0],
                    "text": violations[0][1],
                    "where": name,
                    "tried": tried,
                }
    return {"rule": None, "text": "", "where": "", "tried": tried}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.hunt", description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    # The server of this hunt ends with it, however it ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.disable(logging.CRITICAL)
    print(json.dumps(hunt(parser.parse_args().runs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
