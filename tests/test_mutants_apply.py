"""The faults of `make mutants` are planted by text: each text must stand in the code once."""

from pathlib import Path

import pytest

from tests.simulation.mutations import MUTANTS, Mutant

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_text_stands_in_the_code_once(mutant: Mutant) -> None:
    """Else the mutation run, which takes minutes, would only say so at its end."""
    counts = {
        f"{file}: {old}": (ROOT / file).read_text(encoding="utf-8").count(old)
        for file, old, _ in mutant.changes
    }
    assert {text: count for text, count in counts.items() if count != 1} == {}
