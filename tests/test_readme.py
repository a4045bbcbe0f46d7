"""The README cannot drift from the code it describes."""

import re
from pathlib import Path

from worker.settings import table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_settings_table_is_the_generated_one() -> None:
    """The table between the markers is what `python -m worker.settings` prints."""
    shown = re.search(
        r"<!-- settings: python -m worker.settings -->\n(.*?)\n<!-- /settings -->",
        README,
        re.DOTALL,
    )
    assert shown is not None
    assert shown[1] == table()


def test_links_lead_somewhere() -> None:
    """Every relative link names a file of the repository."""
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
