"""What a benchmark yields, and the one table that is made of it."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of one run. Without a goal it is there to explain the others."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """The same row of every run."""

    rows: tuple[Row, ...]

    @property
    def median(self) -> float:
        return statistics.median(row.value for row in self.rows)

    @property
    def goal(self) -> str:
        """As the table shows it; empty where there is none."""
        row = self.rows[0]
        bounds = (("≤", row.at_most), ("≥", row.at_least))
        return " ".join(f"{sign} {_short(bound)}" for sign, bound in bounds if bound is not None)

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the goal; None where there is none."""
        row = self.rows[0]
        if not self.goal:
            return None
        low, high = row.at_least, row.at_most
        return (low is None or self.median >= low) and (high is None or self.median <= high)


def figures(runs: Iterable[Iterable[Row]]) -> list[Figure]:
    """Gathers the rows of several runs by their names, in the order of their first appearance."""
    gathered: dict[str, list[Row]] = {}
    for run in runs:
        for row in run:
            gathered.setdefault(row.name, []).append(row)
    return [Figure(tuple(rows)) for rows in gathered.values()]


def table(found: Iterable[Figure]) -> str:
    """Markdown, aligned to be read as it is."""
    cells = [
        ("figure", "median", "unit", "goal", "met", "lowest to highest", "runs"),
        *map(_cells, found),
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    cells.insert(1, tuple("-" * width for width in widths))
    lines = (
        " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(f"| {line} |" for line in lines)


def _cells(figure: Figure) -> tuple[str, ...]:
    values = [row.value for row in figure.rows]
    spread = f"{_short(min(values))} to {_short(max(values))}" if len(values) > 1 else ""
    met = {True: "yes", False: "NO", None: ""}[figure.met]
    row = figure.rows[0]
    return row.name, _short(figure.median), row.unit, figure.goal, met, spread, str(len(values))


def _short(value: float) -> str:
    """Three digits that count, and all those of a large number."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
