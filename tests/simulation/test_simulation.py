"""The simulation in a short form; `make simulate RUNS=…` is the long one."""

import logging
from collections.abc import Iterator

import pytest

from tests.simulation import pairs
from tests.simulation.generate import plan
from tests.simulation.mutants import ROOT
from tests.simulation.mutations import MUTANTS
from tests.simulation.run import Runner
from tests.simulation.scenes import scenes
from tests.simulation.shrink import shrink

SEEDS = range(1, 41)


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    logging.disable(logging.CRITICAL)
    with Runner() as running:
        yield running
    logging.disable(logging.NOTSET)


def test_seeded_runs_break_no_rule(runner: Runner) -> None:
    """Three orders, two workers and two faults in each, and the suppliers' books agree with the
    ledger.
    """
    for seed in SEEDS:
        result = runner.run(plan(seed))
        assert result.violations == [], f"seed {seed}: {result.violations}"
        assert result.orders >= 3
        assert result.faults.total() >= 2


def test_the_scenes_break_no_rule(runner: Runner) -> None:
    """The holes that drafts of the design had stay closed."""
    assert {
        name: found for name, one in scenes().items() if (found := runner.run(one).violations)
    } == {}


def test_a_seed_repeats_a_run_exactly(runner: Runner) -> None:
    """The history of a run is a function of its seed."""
    first, second = (runner.run(plan(7), tell=True) for _ in range(2))
    assert first.history == second.history
    assert first.history


def test_a_broken_rule_is_seen_and_its_history_shrinks(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supplier that takes longer than the settle time is a fault that no worker can survive: the
    books say so.
    """
    one = scenes()["a hint before it is settled"]
    monkeypatch.setattr("tests.simulation.watch.SETTLE", {"relograde": 4000.0, "logitrail": 4000.0})
    late = scenes()["other hosts"]
    assert runner.run(one).violations == []
    violations = runner.run(late).violations
    assert violations[0][0] == "repeat"
    assert len(shrink(runner, late, "repeat").parts()) < len(late.parts())


def test_every_boundary_is_paired_with_every_answer() -> None:
    """Each pair is run twice: killed and frozen."""
    planned = [case for case, _ in pairs.plans()]
    assert sorted(planned) == sorted([*pairs.cases(), *pairs.cases()])


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_still_applies(mutant: object) -> None:
    """Code that a mutant changes may change itself; then its mutant must follow."""
    for file, old, _ in mutant.changes:  # type: ignore[attr-defined]
        assert (ROOT / file).read_text(encoding="utf-8").count(old) == 1, f"{file}: {old}"
