"""Many runs, shared between processes, and what they came to."""

import logging
import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation import pairs
from tests.simulation.generate import plan
from tests.simulation.plan import Plan
from tests.simulation.run import Result, Runner
from tests.simulation.scenes import scenes
from tests.simulation.shrink import explain


@dataclass(frozen=True, slots=True)
class Options:
    """How much to run: seeds from `seed` on, in `jobs` processes, with or without the pairs and the
    scenes.
    """

    runs: int
    seed: int = 1
    jobs: int = 1
    planned: bool = True


@dataclass
class Tally:
    """What a share of the runs came to."""

    runs: int = 0
    orders: int = 0
    thin: int = 0
    """Runs in which fewer than two faults struck."""
    days: float = 0.0
    covered: set[pairs.Case] = field(default_factory=set)
    wanted: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, result: Result) -> None:
        self.runs += 1
        self.orders += result.orders
        self.days += result.days
        self.faults += result.faults
        self.ends += result.ends
        self.thin += result.plan.seed > 0 and sum(result.faults.values()) < 2

    def join(self, other: "Tally") -> None:
        for name in ("runs", "orders", "thin", "days", "wanted", "faults", "ends"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.covered |= other.covered
        self.failures += other.failures


def share(first: int, step: int, options: Options) -> Tally:
    """Every `step`-th run and pair from `first` on; ends at the first violation."""
    logging.disable(logging.CRITICAL)
    _stay_on_one_core(first)
    tally = Tally()
    with Runner() as runner:
        if options.planned:
            _pairs(runner, tally, first, step)
            _scenes(runner, tally, first, step)
        for seed in range(options.seed + first, options.seed + options.runs, step):
            if tally.failures:
                break
            result = runner.run(plan(seed))
            tally.add(result)
            _note_failure(runner, tally, result.plan, result)
    return tally


def _stay_on_one_core(number: int) -> None:
    """A run and its server take turns: on one core, neither waits for the other's to wake up."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def _pairs(runner: Runner, tally: Tally, first: int, step: int) -> None:
    struck: Counter[pairs.Case] = Counter()
    for number, (case, one) in enumerate(pairs.plans()):
        if number // 2 % step != first or tally.failures:
            continue
        result = runner.run(one)
        tally.add(result)
        gave = "ok" if case[1] == "created" else case[1]
        struck[case] += bool(result.faults[one.faults[0].kind] and gave in result.given[1])
        _note_failure(runner, tally, one, result)
    tally.wanted = len(struck)
    tally.covered = {case for case, times in struck.items() if times == 2}


def _scenes(runner: Runner, tally: Tally, first: int, step: int) -> None:
    for one in list(scenes().values())[first::step]:
        if tally.failures:
            return
        result = runner.run(one)
        tally.add(result)
        _note_failure(runner, tally, one, result)


def _note_failure(runner: Runner, tally: Tally, one: Plan, result: Result) -> None:
    if result.violations:
        rule, text = result.violations[0]
        tally.failures.append(
            f"VIOLATION {rule}: {text} (seed {one.seed})\n{explain(runner, one, rule)}"
        )


def run(options: Options) -> Tally:
    """All shares, each in a process with a server of its own."""
    if options.jobs == 1:
        return share(0, 1, options)
    whole = Tally()
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        tries = [pool.submit(share, first, options.jobs, options) for first in range(options.jobs)]
        for one in tries:
            whole.join(one.result())
    return whole


def report(tally: Tally, seconds: float) -> str:
    """The line that CI prints, and what it rests on."""
    faults = ", ".join(f"{kind} {count}" for kind, count in tally.faults.most_common())
    ends = ", ".join(f"{end} {count}" for end, count in tally.ends.most_common())
    return (
        f"simulation: runs {tally.runs}, orders judged {tally.orders}, pairs "
        f"{len(tally.covered)}/{tally.wanted}, "
        f"faults injected {tally.faults.total()}, violations {len(tally.failures)}\n"
        f"  {seconds:.0f} s for {tally.days:.0f} days of virtual time; runs with fewer than "
        f"two faults: {tally.thin}\n"
        f"  faults by kind: {faults}\n  ends: {ends}"
    )
