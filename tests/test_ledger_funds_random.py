"""Orders, money that comes and goes, looks that fail, steps inside steps: what holds in any order
of events.
"""

import random
from decimal import Decimal

import pytest
from conftest import START, Clock, an_order, make_ledger, recount, turn

from schemas.lane import Lane
from worker.ledger.lane_calls import KIND_ACCOUNT, LaneCalls
from worker.ledger.limits import LOOK_EVERY
from worker.ledger.reads.money import MoneyReads
from worker.rules import interventions
from worker.rules.answers import Confirmed, Created, Line, Pending, Rejected, Unknown
from worker.rules.money import payable
from worker.rules.words import CONFIRM

FINISHED = Confirmed(lines=(Line("1", "finished", True),))
POOR = Rejected("insufficient_balance")
TIMEOUT = Unknown("read timeout", outage=False)
CURRENCIES = ("EUR", "USD")
LANE = Lane("relograde", None)
EVENTS = 120


class Bank:
    """The supplier's side: what each order costs, what is there, and who was paid.

    It judges, and shares no code.
    """

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.money = dict.fromkeys(CURRENCIES, Decimal(0))
        self.paid: set[str] = set()

    def confirm(self, order_id: str, amount: str, currency: str) -> bool:
        assert order_id not in self.paid, "paid twice"
        if self.money[currency] < Decimal(amount):
            return False
        self.money[currency] -= Decimal(amount)
        self.paid.add(order_id)
        return True


class Run:
    """One seeded history on the real scripts; a minute of it takes no time."""

    def __init__(self, seed: int, client: object, policies: object) -> None:
        self.dice = random.Random(seed)
        self.clock = Clock()
        self.ledger = make_ledger(client, policies, self.clock, accounts=True, calls_per_minute=0)
        self.calls, self.views = LaneCalls(self.ledger.shelf), MoneyReads(self.ledger.shelf)
        self.bank = Bank(self.dice)
        self.requeues = seed % 2 == 0
        self.orders: dict[str, tuple[str, str]] = {}
        self.looks: list[tuple[float, dict[str, Decimal] | None]] = []
        self.depth = self.judged = 0

    def open(self) -> None:
        order_id = f"R{len(self.orders):03}"
        self.orders[order_id] = (
            f"{self.dice.randint(1, 4000) / 100:.2f}",
            self.dice.choice(CURRENCIES),
        )
        amount, currency = self.orders[order_id]
        deadline = START + 86400 + self.dice.uniform(0, 9000)
        order = an_order(
            order_id,
            amount=amount,
            currency=currency,
            accepted_at=self.clock(),
            deadline_at=deadline,
        )
        self.ledger.open(order)

    def top_up(self) -> None:
        self.bank.money[self.dice.choice(CURRENCIES)] += Decimal(self.dice.randint(0, 9000)) / 100

    def look(self) -> None:
        call = self.calls.permit(Lane("relograde"), KIND_ACCOUNT, LOOK_EVERY, wanted=self.requeues)
        if call.result != "permitted":
            return
        told = None if self.dice.random() < 0.15 else dict(self.bank.money)
        self.clock.advance(self.dice.choice((0.0, 0.2, 20.0)))
        self.looks.append((call.now, told))
        found = self.calls.settle_look(call, told or TIMEOUT, call.now)
        if self.requeues and found.funds:
            for order_id in payable(
                self.views.letters(LANE), self.views.waiting(LANE), found.funds
            ):
                self.ledger.change("relograde", order_id, interventions.requeue_on_funds)

    def step(self) -> None:
        self.look()  # as a worker does every second
        for order_id in self.ledger.dispatch(Lane("relograde"), self.dice.randint(1, 5))[0]:
            before = self.ledger.load("relograde", order_id).order
            if turn(self.ledger, order_id, self.answer) == "unpayable":
                self.judge_death(before)

    def answer(self, permit):
        """What the bank says of a call, after whatever else happens while it is under way."""
        order_id = permit.order.order_id
        amount, currency = self.orders[order_id]
        known_to_be_short = self.guarded(currency) and self.known(currency)
        if permit.call.kind != CONFIRM:
            return (
                (FINISHED if self.dice.random() < 0.7 else Pending())
                if order_id in self.bank.paid
                else Created()
            )
        self.meanwhile()
        if not self.bank.confirm(order_id, amount, currency):
            # After a look that failed others are tried, and may have taken what this one was
            # promised.
            assert not (known_to_be_short and self.known(currency)), (
                f"{order_id} was sent although {currency} was known to be short"
            )
            return POOR
        return self.dice.choice((FINISHED, FINISHED, Pending(), TIMEOUT))

    def meanwhile(self) -> None:
        if self.depth < 3 and self.dice.random() < 0.6:
            self.depth += 1
            self.dice.choice((self.step, self.look, self.open))()
            self.depth -= 1

    def guarded(self, currency: str) -> bool:
        return bool(
            self.ledger.scripts.client.hexists("test:{relograde}:funds:-", f"{currency}:short")
        )

    def known(self, currency: str) -> bool:
        """The latest look was answered, and no refusal has spoken against it since."""
        return (
            bool(self.looks and self.looks[-1][1])
            and not self.views.balances(LANE)[currency].doubted
        )

    def judge_death(self, order) -> None:
        """Without a call only by the supplier's word: after the order came, within a minute, and
        too little.
        """
        since = max(order.accepted_at, order.requeued_at or 0.0, self.clock() - LOOK_EVERY)
        words = [
            told[order.currency] for asked_at, told in self.looks if told and asked_at >= since
        ]
        assert words, f"{order.order_id} died of an old balance"
        assert words[-1] < Decimal(order.amount), f"{order.order_id} could have been paid"
        self.judged += 1

    def wait(self) -> None:
        self.clock.advance(self.dice.choice((0.5, 3.0, 20.0, 61.0)))

    def requeue(self) -> None:
        for want in self.views.letters(Lane("relograde"))[:2]:
            self.ledger.change("relograde", want.order_id, interventions.requeue)

    def everything_is_paid_in_the_end(self) -> None:
        for currency in CURRENCIES:
            self.bank.money[currency] += 100_000
        for _ in range(300):
            self.clock.advance(5)
            self.look()
            self.step()
            self.requeue()
            if self.bank.paid == set(self.orders):
                break
        assert self.bank.paid == set(self.orders)


HAPPENINGS = ("open",) * 5 + ("step",) * 6 + ("look",) * 3 + ("wait",) * 4 + ("top_up", "requeue")


@pytest.mark.parametrize("first", range(0, 16, 4))
def test_whatever_the_order_of_events(first, client, policies):
    """No death but by a fresh word, no confirm that was known to be in vain; with enough money all
    are paid at last.
    """
    judged = 0
    for seed in range(first, first + 4):
        client.flushdb()
        run = Run(seed, client, policies)
        for _ in range(EVENTS):
            getattr(run, run.dice.choice(HAPPENINGS))()
        recount(run.ledger)
        run.everything_is_paid_in_the_end()
        judged += run.judged
    assert judged, "nobody died without a call: the runs show nothing"
