"""What the demo shows: its settings, live counts, a table per kind, the verdict."""

from collections import Counter
from typing import Any

from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sandbox.demo.environment import SHORTENED
from sandbox.demo.kinds import KINDS
from sandbox.demo.shop import Shop
from sandbox.demo.verdict import Judged

STATES = ("accepted", "submitted", "pending", "confirmed", "cancelled", "dead")
console = Console(highlight=False)
if not console.is_terminal:
    console.width = 116  # a log has no width of its own


def show_settings(orders: int, seed: int) -> None:
    """What is not as in production; all of it settings of the contract."""
    console.print(
        f"[bold]Countersign demo[/bold]: {orders} paid orders, seed {seed}, under these settings"
    )
    table = Table(box=None, show_header=False, padding=(0, 2))
    pairs = [f"{name}={value}" for name, value in SHORTENED.items()]
    for number in range(0, len(pairs), 2):
        table.add_row(*pairs[number : number + 2])
    console.print(table)


def progress(shop: Shop, stats: dict[str, Any], seconds: float, flower: str) -> Group:
    """One frame: how far the orders are, and where they stand in the ledger."""
    sales = shop.sales.values()
    ended = sum(sale.ended for sale in sales)
    bar = ProgressBar(total=len(shop.sales), completed=ended, width=60)
    line = f"{seconds:4.0f} s   sent {sum(sale.sends > 0 for sale in sales)}"
    line += (
        f"   accepted {sum(sale.accepted for sale in sales)}   ended {ended} of {len(shop.sales)}"
    )
    return Group(
        Text(line),
        bar,
        _counts(stats),
        Text(f"Flower {flower}   Ctrl-C stops everything", style="dim"),
    )


def _counts(stats: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    states = stats.get("states", {})
    for name in STATES:
        table.add_column(name, justify="right")
    table.add_column("lanes")
    table.add_row(*(str(states.get(name, "-")) for name in STATES), _lanes(stats.get("lanes", {})))
    return table


def _lanes(lanes: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {'held: ' + str(lane['cause']) if lane['held'] else 'open'}"
        for name, lane in lanes.items()
    )


def show_kinds(judged: list[Judged]) -> None:
    """One row a kind: sent, ended as, expected, agreed."""
    table = Table(title="What became of them", title_justify="left", header_style="bold")
    for heading in ("supplier", "kind", "sent", "ended as", "expected", "agree"):
        table.add_column(heading, justify="right" if heading == "sent" else "left")
    for kind in KINDS:
        rows = [one for one in judged if one.sale.kind is kind]
        ends = Counter(one.end for one in rows)
        said = ", ".join(end if len(ends) == 1 else f"{count} {end}" for end, count in ends.items())
        agree = "[green]yes[/green]" if all(one.right for one in rows) else "[red]NO[/red]"
        table.add_row(kind.supplier, kind.name, str(len(rows)), said, kind.end, agree)
    console.print(table)


def show_wrong(judged: Judged, timeline: list[dict[str, Any]], book: dict[str, Any]) -> None:
    """One order about which something is wrong, with both sides' view of it."""
    problems = (
        ["lost"] * judged.lost + ["repeated without asking"] * bool(judged.repeated) + judged.wrong
    )
    console.print(
        f"[red]{'/'.join(judged.sale.key)}[/red] ({judged.sale.kind.name}): {'; '.join(problems)}",
        soft_wrap=True,
    )
    for entry in timeline:
        more = " ".join(
            f"{name}={value}" for name, value in entry.items() if name not in ("at", "event")
        )
        console.print(
            f"    ledger  {entry['at']}  {entry['event']}  {more}", soft_wrap=True, markup=False
        )
    for call in book.get("calls", []):
        names = ("kind", "status", "effect", "clean")
        said = " ".join(f"{name}={call[name]}" for name in names)
        console.print(f"    books   {call['at']:.3f}  {said}", soft_wrap=True, markup=False)


def show_verdict(judged: list[Judged], within: bool) -> bool:
    """The last line; true when the two sides agree about every order."""
    lost = sum(one.lost for one in judged)
    repeated = sum(one.repeated for one in judged)
    wrong = sum(bool(one.wrong) for one in judged)
    agreed = within and not (lost or repeated or wrong)
    if not within:
        console.print(
            "[red]the supplier counted more calls in a minute than the budget allows[/red]"
        )
    line = (
        f"orders lost {lost} · confirms repeated without asking {repeated} · wrong ends "
        f"{wrong} · {len(judged)} orders"
    )
    console.print(f"[bold {'green' if agreed else 'red'}]{line}[/]", soft_wrap=True)
    return agreed
