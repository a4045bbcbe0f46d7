"""`python -m sandbox.demo`: sends paid orders of every kind, watches them end, and compares two
sets of books.

Exit 0 only when the sandbox's books and the ledger agree about every order.
"""

import argparse
import random
import signal
import sys
import threading
import time
from typing import Any

import requests
from rich.live import Live

from sandbox.demo import screen
from sandbox.demo.environment import OUTCOME_QUEUE
from sandbox.demo.kinds import chosen, wanted
from sandbox.demo.shop import Sale, Shop
from sandbox.demo.stack import ROOT, DemoError, Stack
from sandbox.demo.verdict import Judged, judge, within_budget

SEND_SECONDS = 6.0
LIMIT_SECONDS = 75.0
"""From the start of the demo, which has 90; what has not ended then is judged as it stands."""
TWICE = 0.1
"""The part of the orders that is sent twice at once, as a nervous web app would."""
SHOWN_WRONG = 8


class Feed(threading.Thread):
    """Asks for the ledger's counts over and over: the command takes longer than a frame may."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(name="stats", daemon=True)
        self.stack = stack
        self.stats: dict[str, Any] = {}
        self.going = True

    def run(self) -> None:
        while self.going:
            try:
                self.stats = self.stack.command("orders", "stats")
            except DemoError:
                time.sleep(
                    1
                )  # shown by the counts that stand still; a process that ended is noticed elsewhere
            time.sleep(1)


def make_sales(stack: Stack, orders: int, dice: random.Random) -> list[Sale]:
    """The orders as the shop made them at the suppliers, paid and not confirmed."""
    kinds = chosen(orders, dice)
    reply = requests.post(
        f"{stack.admin}/orders", json=[wanted(kind, dice) for kind in kinds], timeout=30
    )
    if not reply.ok:
        raise DemoError(f"the sandbox refused the orders: {reply.text[:300]}")
    pairs = zip(kinds, reply.json(), strict=True)
    return [
        Sale(kind, made, reference=f"demo-{number}") for number, (kind, made) in enumerate(pairs, 1)
    ]


def run_orders(stack: Stack, shop: Shop, dice: random.Random, ends: float) -> None:
    """Sends them all, repeats what was not heard of, and returns when all have ended or the time is
    up.
    """
    feed, began = Feed(stack), time.monotonic()
    feed.start()
    sales = list(shop.sales.values())
    try:
        with Live(console=screen.console, auto_refresh=False, transient=True) as live:
            while (now := time.monotonic()) < ends and not all(sale.ended for sale in sales):
                spent = now - began
                _send_due(shop, sales, spent, dice)
                shop.repeat()
                stack.check()
                live.update(
                    screen.progress(shop, feed.stats, spent, stack.flower),
                    refresh=screen.console.is_terminal,
                )
                time.sleep(0.1)
    finally:
        feed.going = False
    spent = time.monotonic() - began
    screen.console.print(
        f"{sum(sale.ended for sale in sales)} of {len(sales)} ended after {spent:.0f} s"
    )


def _send_due(shop: Shop, sales: list[Sale], spent: float, dice: random.Random) -> None:
    due = int(len(sales) * min(1.0, (spent + 0.1) / SEND_SECONDS))
    for sale in sales[:due]:
        if not sale.sends:
            for _ in range(1 + (dice.random() < TWICE)):
                shop.send(sale)


def compare(stack: Stack, shop: Shop) -> bool:
    """Both sets of books, order by order; prints the tables and returns whether they agree."""
    books = requests.get(f"{stack.admin}/books", timeout=30).json()
    theirs = {(book["supplier"], book["order_id"]): book for book in books["orders"]}
    ours = {
        (row["supplier"], row["order_id"]): row
        for row in stack.command("orders", "list", "--limit", "100000")
    }
    judged = [judge(sale, theirs[key], ours.get(key)) for key, sale in shop.sales.items()]
    screen.show_kinds(judged)
    for one in [one for one in judged if not one.right][:SHOWN_WRONG]:
        screen.show_wrong(one, _timeline(stack, one), theirs[one.sale.key])
    return screen.show_verdict(judged, within_budget(books))


def _timeline(stack: Stack, one: Judged) -> list[dict[str, Any]]:
    if one.lost:
        return []
    timeline: list[dict[str, Any]] = stack.command("orders", "show", *one.sale.key)["timeline"]
    return timeline


def tracking(stack: Stack, supplier: str, order_id: str) -> Any:
    """The webhook that the supplier sends to the web app, which passes it on."""
    return requests.post(f"{stack.admin}/orders/{supplier}/{order_id}/webhook", timeout=10).json()


def demonstrate(stack: Stack, orders: int, seed: int, ends: float) -> bool:
    """The whole of it, once everything runs."""
    dice = random.Random(seed)
    shop = Shop(
        stack.redis.url,
        OUTCOME_QUEUE,
        lambda supplier, order_id: tracking(stack, supplier, order_id),
    )
    try:
        shop.open(make_sales(stack, orders, dice))
        run_orders(stack, shop, dice, ends)
        return compare(stack, shop)
    finally:
        shop.close()


def keep(stack: Stack) -> None:
    """Leaves all of it up until Ctrl-C."""
    say = screen.console.print
    say(
        f"\nEverything stays up. Flower: {stack.flower}   the sandbox's books: {stack.admin}/books",
        soft_wrap=True,
    )
    say(
        "In another terminal:  set -a; . .demo/env; .venv/bin/celery -A worker dead-letters list",
        soft_wrap=True,
    )
    say("Ctrl-C ends it.")
    while True:
        stack.check()
        time.sleep(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.demo", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave everything up until Ctrl-C")
    return parser.parse_args()


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    options, began, agreed = _options(), time.monotonic(), False
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    screen.show_settings(options.orders, options.seed)
    try:
        with Stack(ROOT / ".demo", options.seed) as stack:
            screen.console.print(f"Redis, sandbox, 2 workers and Flower are up: {stack.flower}")
            agreed = demonstrate(stack, options.orders, options.seed, began + LIMIT_SECONDS)
            screen.console.print(f"done in {time.monotonic() - began:.0f} s", style="dim")
            if options.keep:
                keep(stack)
    except DemoError as problem:
        screen.console.print(f"[red]demo: {problem}[/red]", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        screen.console.print("stopped", style="dim")
        return 0 if agreed else 130
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
