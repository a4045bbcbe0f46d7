"""What the demo prints: its settings, live counts, a table of kinds, the verdict.

Every line fits 80 columns; what the demo reports about a fault is wrapped at words.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sandbox.demo.environment import SHORTENED
from sandbox.demo.kinds import KINDS, Kind
from sandbox.demo.shop import Shop
from sandbox.demo.verdict import Judged, Tally

STATES = ("accepted", "submitted", "pending", "confirmed", "cancelled", "dead")
SUPPLIERS = ("relograde", "logitrail")
LOG_COLUMNS = 100
"""Width where the output is a file or a pipe, which have none of their own."""
BAR_COLUMNS = 60

console = Console(highlight=False)
if not console.is_terminal:
    console.width = LOG_COLUMNS


def say(text: str, style: str = "") -> None:
    """Prints a line as it is, without markup."""
    console.print(text, style=style, markup=False)


def show_settings(orders: int, seed: int) -> None:
    """Prints the settings that differ from production; all belong to the contract."""
    say(f"Countersign demo: {orders} paid orders, seed {seed}, under these settings", "bold")
    console.print(settings_table())


def settings_table() -> Table:
    """The shortened settings, two in a row."""
    table = Table(box=None, show_header=False, padding=(0, 2))
    pairs = [f"{name}={value}" for name, value in SHORTENED.items()]
    for number in range(0, len(pairs), 2):
        table.add_row(*pairs[number : number + 2])
    return table


def progress(shop: Shop, stats: dict[str, Any], seconds: float, flower: str) -> Group:
    """One frame: how many orders have ended, and how many are in each state of the ledger."""
    sales = shop.sales.values()
    sent = sum(sale.sends > 0 for sale in sales)
    accepted = sum(sale.accepted for sale in sales)
    ended = sum(sale.ended for sale in sales)
    return Group(
        Text(
            f"{seconds:4.0f} s   sent {sent}   accepted {accepted}   ended {ended} of {len(sales)}"
        ),
        _bar(ended, len(sales)),
        _counts(stats.get("states", {})),
        *_lanes(stats.get("lanes", {})),
        Text(f"Flower {flower}   Ctrl-C stops everything", style="dim"),
    )


def _bar(ended: int, total: int) -> Table:
    """A progress bar on a line of its own: alone it does not end its line, a table's row does."""
    grid = Table.grid()
    grid.add_row(ProgressBar(total=total, completed=ended, width=BAR_COLUMNS))
    return grid


def _counts(states: dict[str, int]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in STATES:
        table.add_column(name, justify="right")
    table.add_row(*(str(states.get(name, "-")) for name in STATES))
    return table


def _lanes(lanes: dict[str, Any]) -> Iterable[Text]:
    for name, lane in lanes.items():
        condition = f"held: {lane['cause']}" if lane["held"] else "open"
        yield Text(f"  lane {name} {condition}")


def show_kinds(judged: list[Judged]) -> None:
    """Prints the table of each supplier's kinds."""
    for supplier in SUPPLIERS:
        console.print("", kinds_table(supplier, judged))
    say("")


def kinds_table(supplier: str, judged: list[Judged]) -> Table:
    """One row a kind: how many were sent, how they ended, and whether both books agree."""
    table = Table(
        title=f"What became of the orders at {supplier}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        header_style="bold",
    )
    table.add_column("kind", min_width=max(len(kind.name) for kind in KINDS))
    table.add_column("sent", justify="right")
    table.add_column("ended as", min_width=max(len(kind.end) for kind in KINDS))
    table.add_column("agree")
    for kind in KINDS:
        if kind.supplier == supplier:
            rows = [one for one in judged if one.sale.kind is kind]
            agree = all(one.right for one in rows)
            mark = Text("yes", "green") if agree else Text("NO", "red")
            table.add_row(kind.name, str(len(rows)), _ends(kind, rows), mark)
    return table


def _ends(kind: Kind, rows: list[Judged]) -> str:
    """`confirmed`, or with a wrong end `3 confirmed, 1 pending; expected confirmed`."""
    ends = Counter(one.end for one in rows)
    if list(ends) == [kind.end]:
        return kind.end
    counts = ", ".join(f"{count} {end}" for end, count in ends.items())
    return f"{counts}; expected {kind.end}"


def show_wrong(judged: Judged, timeline: list[dict[str, Any]], book: dict[str, Any]) -> None:
    """Prints one order that the books disagree about, as the ledger and the supplier saw it."""
    sale = judged.sale
    say(f"{'/'.join(sale.key)} ({sale.kind.name}): {'; '.join(judged.problems)}", "red")
    for entry in timeline:
        more = {name: value for name, value in entry.items() if name not in ("at", "event")}
        say(f"    ledger  {entry['at']}  {entry['event']}  {_fields(more)}")
    for call in book.get("calls", []):
        shown = {name: call[name] for name in ("kind", "status", "effect", "clean")}
        say(f"    books   {call['at']:.3f}  {_fields(shown)}")


def _fields(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def show_verdict(tally: Tally) -> None:
    """Prints the last line: what both sides' books come to."""
    if not tally.within_budget:
        say("the supplier counted more calls in a minute than the budget allows", "red")
    say(verdict_line(tally), "bold green" if tally.agreed else "bold red")


def verdict_line(tally: Tally) -> str:
    return (
        f"orders lost {tally.lost} · confirms repeated without asking {tally.repeated}"
        f" · wrong ends {tally.wrong} · {tally.orders} orders"
    )
