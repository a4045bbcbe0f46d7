"""`python -m sandbox.demo`: paid orders of every kind, judged by two sets of books.

Exit 0 only when the sandbox's books and the ledger agree about every order.
"""

import argparse
import random
import signal
import sys
import threading
import time
from functools import partial
from typing import Any

import requests
from rich.live import Live

from sandbox.demo import screen
from sandbox.demo.environment import OUTCOME_QUEUE
from sandbox.demo.kinds import chosen, wanted
from sandbox.demo.shop import Sale, Shop
from sandbox.demo.stack import ROOT, DemoError, Stack
from sandbox.demo.verdict import Judged, judge, tally

SEND_SECONDS = 6.0
LIMIT_SECONDS = 75.0
"""From the start of the demo; orders that have not ended by then are judged as they are."""
TWICE = 0.1
"""The part of the orders that the shop sends twice at once, as a web app may."""
SHOWN_WRONG = 8


class Feed(threading.Thread):
    """Keeps asking for the ledger's counts: the command takes longer than a frame may."""

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
                # The counts then stand still; `Stack.check` notices a process that has ended.
                time.sleep(1)
            time.sleep(1)


def make_sales(stack: Stack, orders: int, dice: random.Random) -> list[Sale]:
    """Makes the orders at the suppliers: paid, and not confirmed."""
    kinds = chosen(orders, dice)
    wishes = [wanted(kind, dice) for kind in kinds]
    reply = requests.post(f"{stack.admin}/orders", json=wishes, timeout=30)
    if not reply.ok:
        raise DemoError(f"the sandbox refused the orders: {reply.text[:300]}")
    numbered = enumerate(zip(kinds, reply.json(), strict=True), 1)
    return [Sale(kind, made, reference=f"demo-{number}") for number, (kind, made) in numbered]


def run_orders(stack: Stack, shop: Shop, dice: random.Random, ends: float) -> None:
    """Sends the orders and shows their progress until all have ended or the time is up."""
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
                frame = screen.progress(shop, feed.stats, spent, stack.flower)
                live.update(frame, refresh=screen.console.is_terminal)
                time.sleep(0.1)
    finally:
        feed.going = False
    ended, spent = sum(sale.ended for sale in sales), time.monotonic() - began
    screen.say(f"{ended} of {len(sales)} ended after {spent:.0f} s")


def _send_due(shop: Shop, sales: list[Sale], spent: float, dice: random.Random) -> None:
    due = int(len(sales) * min(1.0, (spent + 0.1) / SEND_SECONDS))
    for sale in sales[:due]:
        if not sale.sends:
            for _ in range(1 + (dice.random() < TWICE)):
                shop.send(sale)


def compare(stack: Stack, shop: Shop) -> bool:
    """Prints what both sets of books say; returns whether they agree."""
    books = requests.get(f"{stack.admin}/books", timeout=30).json()
    theirs = _by_order(books["orders"])
    ours = _by_order(stack.command("orders", "list", "--limit", "100000"))
    judged = [judge(sale, theirs[key], ours.get(key)) for key, sale in shop.sales.items()]
    screen.show_kinds(judged)
    wrong = [one for one in judged if not one.right]
    for one in wrong[:SHOWN_WRONG]:
        screen.show_wrong(one, _timeline(stack, one), theirs[one.sale.key])
    verdict = tally(judged, books)
    screen.show_verdict(verdict)
    return verdict.agreed


def _by_order(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["supplier"], row["order_id"]): row for row in rows}


def _timeline(stack: Stack, one: Judged) -> list[dict[str, Any]]:
    if one.lost:
        return []
    timeline: list[dict[str, Any]] = stack.command("orders", "show", *one.sale.key)["timeline"]
    return timeline


def tracking(stack: Stack, supplier: str, order_id: str) -> Any:
    """The webhook that the supplier would send to the web app."""
    return requests.post(f"{stack.admin}/orders/{supplier}/{order_id}/webhook", timeout=10).json()


def demonstrate(stack: Stack, orders: int, seed: int, ends: float) -> bool:
    """Sends, watches and judges the orders; `stack` runs already."""
    dice = random.Random(seed)
    shop = Shop(stack.redis.url, OUTCOME_QUEUE, partial(tracking, stack))
    try:
        shop.open(make_sales(stack, orders, dice))
        run_orders(stack, shop, dice, ends)
        return compare(stack, shop)
    finally:
        shop.close()


def keep(stack: Stack) -> None:
    """Keeps everything running until Ctrl-C."""
    for line in (
        "",
        "Everything stays up until Ctrl-C.",
        f"  Flower               {stack.flower}",
        f"  the sandbox's books  {stack.admin}/books",
        "In another terminal, for example:",
        "  set -a; . .demo/env; .venv/bin/celery -A worker dead-letters list",
    ):
        screen.say(line)
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
            screen.say(f"Redis, sandbox, 2 workers and Flower are up: {stack.flower}")
            agreed = demonstrate(stack, options.orders, options.seed, began + LIMIT_SECONDS)
            screen.say(f"done in {time.monotonic() - began:.0f} s", "dim")
            if options.keep:
                keep(stack)
    except DemoError as problem:
        screen.say(f"demo: {problem}", "red")
        return 1
    except KeyboardInterrupt:
        screen.say("stopped", "dim")
        return 0 if agreed else 130
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
