"""Looks at the accounts, with a supplier over HTTP and its books, on the ledger's virtual clock."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from conftest import RETRY, START, Clock, an_order, make_ledger, recount

from sandbox.clock import iso
from sandbox.server import Sandbox
from schemas.lane import Lane
from worker.ledger.limits import LOOK_EVERY
from worker.ledger.reads.views import Views
from worker.ledger.script_runner import Scripts, Server
from worker.suppliers.relograde import Relograde
from worker.turns.balance_look import BalanceLook
from worker.turns.executor import Executor

KEYS = {None: "key-one", "a": "key-two"}
LANES = (Lane("relograde"), Lane("relograde", "a"))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(
        seed=1, relograde_keys=tuple(KEYS.values()), initial={"relograde": {"rate_limit": 0}}
    ) as running:
        yield running


class Desk:
    """A worker's parts on a clock that the test moves; the supplier has its own clock and its own
    books.
    """

    def __init__(
        self, client: Any, policies: Any, clock: Clock, sandbox: Sandbox, **limits: Any
    ) -> None:
        self.clock, self.sandbox = clock, sandbox
        self.ledger = make_ledger(client, policies, clock, accounts=True, synced=True, **limits)
        self.views = Views(self.ledger.shelf, LANES)
        self.clients = {
            ("relograde", account): Relograde(sandbox.relograde_url, "1.02", key, 5.0, 5.0)
            for account, key in KEYS.items()
        }
        self.executor = Executor(self.ledger, policies, self.clients, jitter=lambda: 0.0)

    def account(self, *, requeues: bool = False, account: str | None = None) -> BalanceLook:
        """One worker's looks at one lane."""
        lane = Lane("relograde", account)
        return BalanceLook(self.ledger, lane, self.clients[lane], requeues=requeues)

    def order(
        self, name: str, after: float = 0.0, account: str | None = None, **changed: Any
    ) -> str:
        """An order in both books; its deadline comes `after` seconds after that of others."""
        made = {"behaviour": "finished", "amount": "30", "account_key": KEYS[account], **changed}
        created = START - 3600 + after
        self.sandbox.create("relograde", order_id=name, created_at=iso(created), **made)
        told = {
            "amount": "30",
            "currency": "EUR",
            "created_at": created,
            "deadline_at": created + 86400,
        }
        self.ledger.open(an_order(name, account=account, accepted_at=self.clock(), **told))
        return name

    def work(self, account: str | None = None) -> list[str]:
        """Steps until nothing is due, one after the other; returns what was done."""
        done = []
        while rung := self.ledger.dispatch(Lane("relograde", account), 1)[0]:
            done += [f"{order_id} {self.executor.step('relograde', order_id)}" for order_id in rung]
        return done

    def confirms(self) -> list[str]:
        """The orders that the supplier got a confirm for, in the order of the calls."""
        confirms = [
            (call["at"], entry["order_id"])
            for entry in self.sandbox.books()["orders"]
            for call in entry["calls"]
            if call["kind"] == "confirm"
        ]
        return [order_id for _, order_id in sorted(confirms)]

    def asked(self, kind: str = "account", key: str = "key-1") -> int:
        """How many calls of a kind the supplier has counted for a key."""
        return int(self.sandbox.books()["kinds_per_key"].get(key, {}).get(kind, 0))

    def state(self, name: str) -> str:
        order = self.views.order("relograde", name)
        return f"{order.state} {order.reason or ''}".strip() if order else "gone"

    def minutes(self, number: int, *accounts: BalanceLook) -> None:
        """A worker's seconds go by, and one more, since a step that follows another at once is due
        a moment later.
        """
        for _ in range(number * 60 + 1):
            self.clock.advance(1)
            for account in accounts:
                account.turn()
            self.work()


@pytest.fixture
def desk(client: Any, policies: Any, clock: Clock, sandbox: Sandbox) -> Iterator[Desk]:
    made = Desk(client, policies, clock, sandbox)
    yield made
    for each in made.clients.values():
        each.close()


def broke(desk: Desk, balance: str, *names: str, wait: float = 1.0) -> None:
    """The balance runs out: the first order is refused, and the others come while that is known."""
    desk.sandbox.settings({"relograde": {"balance": {"EUR": balance}}})
    desk.order("first", after=-10)
    assert desk.work() == ["first dead"]
    for name in names:
        desk.order(name, after=float(names.index(name)))
    desk.clock.advance(wait)


def test_after_one_refusal_the_others_die_without_a_call(desk: Desk) -> None:
    """One look instead of three confirms; the supplier's books show nothing of them."""
    broke(desk, "29.99", "A", "B", "C")
    account = desk.account()
    account.turn()
    assert desk.asked() == 0, "nobody waits yet"
    assert desk.work() == ["A waits", "B waits", "C waits"]
    account.turn()
    assert desk.work() == ["A dead", "B dead", "C dead"]
    assert desk.confirms() == ["first"]
    assert desk.asked() == 1
    assert {desk.state(name) for name in ("first", *"ABC")} == {"dead insufficient_balance"}
    recount(desk.ledger)


def test_what_the_balance_covers_is_confirmed_in_deadline_order(desk: Desk) -> None:
    """And no confirm is spent on the one that it does not cover."""
    broke(desk, "29", "D", "C", "B", "A")
    desk.sandbox.top_up(EUR="71")
    assert all(word.endswith("waits") for word in desk.work())
    account = desk.account()
    account.turn()
    done = desk.work()
    assert done == ["D confirmed", "C confirmed", "B confirmed", "A waits"]
    desk.minutes(1, account)
    assert desk.state("A") == "dead insufficient_balance"
    assert desk.confirms() == ["first", "D", "C", "B"]


def test_a_failed_look_leaves_every_order_as_it_was(desk: Desk) -> None:
    """503 on the accounts: who waited is tried, and the supplier's own answer decides."""
    broke(desk, "29", "A")
    desk.work()
    desk.sandbox.settings({"relograde": {"outage": "503"}})
    desk.account().turn()
    assert desk.state("A") == "accepted"
    desk.sandbox.settings({"relograde": {"outage": None}})
    desk.sandbox.top_up(EUR="1")
    assert desk.work() == ["A confirmed"]


def test_without_the_switch_letters_stay(desk: Desk) -> None:
    """Whatever comes in: they leave by a person (8), and nobody spends a call to look."""
    broke(desk, "29", "A")
    account = desk.account()
    desk.work()
    account.turn()
    desk.work()
    desk.sandbox.top_up(EUR="1000")
    before = desk.asked()
    desk.minutes(3, account)
    assert desk.asked() == before
    assert desk.state("A") == desk.state("first") == "dead insufficient_balance"


def test_with_the_switch_letters_come_back_in_deadline_order(desk: Desk) -> None:
    """As many as the balance pays for; each is asked about before it is confirmed."""
    account = desk.account(requeues=True)
    broke(desk, "29", "D", "C", "B", "A")
    desk.work()
    account.turn()
    desk.work()
    desk.sandbox.top_up(EUR="71")
    desk.minutes(1, account)
    assert desk.confirms() == ["first", "first", "D", "C"]
    assert [desk.state(name) for name in ("first", "D", "C")] == ["confirmed"] * 3
    assert desk.state("B") == desk.state("A") == "dead insufficient_balance"
    kinds = [call["kind"] for call in desk.sandbox.order("relograde", "D")["calls"]]
    assert kinds == ["find", "confirm"]
    desk.sandbox.top_up(EUR="25")
    desk.minutes(1, account)
    assert desk.confirms()[4:] == ["B"]


def put_back_two_of_three(desk: Desk) -> BalanceLook:
    """All three have died for want of money; then there is enough for two, which a look puts
    back.
    """
    account = desk.account(requeues=True)
    broke(desk, "29", "A", "B")
    desk.work()
    account.turn()
    desk.work()
    desk.sandbox.top_up(EUR="31")
    desk.clock.advance(LOOK_EVERY)
    account.turn()
    return account


def test_money_is_not_given_twice(desk: Desk) -> None:
    """What was put back and is not confirmed yet has its claim on the balance when the next look
    comes.
    """
    account = put_back_two_of_three(desk)
    for _ in range(2):
        desk.clock.advance(LOOK_EVERY)
        account.turn()
    assert [desk.state(name) for name in ("first", *"AB")] == [
        "accepted",
        "accepted",
        "dead insufficient_balance",
    ]


class Struck(Scripts):
    """Between a look that is settled and whatever follows, another worker confirms an order."""

    confirm: Callable[[], str]

    def run(self, name: str, room: str, **arguments: Any) -> dict[str, Any]:
        answer = super().run(name, room, **arguments)
        if name == "lane_call_settle":
            assert self.confirm() == "confirmed"
        return answer


def test_money_that_is_spent_beside_a_look_is_given_to_nobody(desk: Desk) -> None:
    """Two of three are put back; another worker confirms one of them when the next look has just
    been settled.
    """
    put_back_two_of_three(desk)
    assert desk.executor.step("relograde", "first") == "read_created"
    desk.clock.advance(LOOK_EVERY)
    client = desk.ledger.scripts.client
    struck = Struck(
        client, "test", clock=desk.clock, run_id=lambda: "run-1", server=Server(synced=True)
    )
    struck.confirm = lambda: desk.executor.step("relograde", "first")
    desk.ledger.shelf = replace(desk.ledger.shelf, scripts=struck)
    desk.account(requeues=True).turn()
    states = [desk.state(name) for name in ("first", *"AB")]
    assert states == ["confirmed", "accepted", "dead insufficient_balance"]


def test_looks_for_letters_are_a_minute_apart_and_end_with_them(desk: Desk) -> None:
    """As long as one of them has its deadline ahead; two workers look no more often than one."""
    workers = [desk.account(requeues=True), desk.account(requeues=True)]
    broke(desk, "29")
    desk.minutes(5, *workers)
    assert 5 <= desk.asked() <= 6
    desk.clock.now = START - 3600 - 10 + 86400 - 60
    desk.minutes(1, *workers)
    before = desk.asked()
    desk.minutes(3, *workers)
    assert desk.asked() == before
    assert desk.state("first") == "dead insufficient_balance"


def test_a_new_letter_is_looked_after_at_once(desk: Desk) -> None:
    """Not at the next count, and by its own lane's money alone."""
    mine, other = desk.account(requeues=True), desk.account(requeues=True, account="a")
    mine.turn()
    other.turn()
    broke(desk, "29")
    other.turn()
    assert (desk.asked(), desk.asked(key="key-2")) == (0, 0)
    mine.turn()
    assert (desk.asked(), desk.asked(key="key-2")) == (1, 0)


def test_a_letter_gets_one_chance_with_a_balance(desk: Desk) -> None:
    """It costs 80 and its message said 30: refused again, it waits until the balance has risen."""
    account = desk.account(requeues=True)
    desk.sandbox.settings({"relograde": {"balance": {"EUR": "50"}}})
    desk.order("dear", amount="80")
    assert desk.work() == ["dear dead"]
    desk.minutes(5, account)
    assert desk.confirms() == ["dear", "dear"]
    desk.sandbox.top_up(EUR="30")
    desk.minutes(2, account)
    assert desk.state("dear") == "confirmed"


def test_a_letter_without_an_amount_stays(desk: Desk) -> None:
    """Nobody knows what it would take."""
    account = desk.account(requeues=True)
    desk.sandbox.settings({"relograde": {"balance": {"EUR": "29"}}})
    at = iso(START - 3600)
    desk.sandbox.create(
        "relograde", "finished", order_id="R", amount="30", account_key=KEYS[None], created_at=at
    )
    desk.ledger.open(an_order("R"))
    assert desk.work() == ["R dead"]
    desk.sandbox.top_up(EUR="1000")
    desk.minutes(2, account)
    assert desk.state("R") == "dead insufficient_balance"


def test_a_process_that_dies_after_its_look_loses_nothing(desk: Desk) -> None:
    """The next one puts back what the balance pays for, although it has not risen again."""
    broke(desk, "29", "A")
    desk.work()
    desk.account().turn()
    desk.work()
    desk.sandbox.top_up(EUR="100")
    desk.clock.advance(LOOK_EVERY)
    desk.order("B")
    desk.work()
    desk.account().turn()  # it looked, and did not come to the letters
    desk.work()
    assert desk.state("A") == "dead insufficient_balance"
    desk.minutes(2, desk.account(requeues=True))
    assert desk.state("A") == desk.state("first") == "confirmed"


# --- the probe of a key ---------------------------------------------------------------------------


def test_the_accounts_test_a_wrong_key(desk: Desk) -> None:
    """No order is spent on it while it is wrong; the other lane does not notice; then all go by
    their deadlines.
    """
    desk.sandbox.settings({"relograde": {"invalid_keys": ["key-1"]}})
    for number, name in enumerate("CBA"):
        desk.order(name, after=-float(number))
    desk.order("other", account="a")
    account = desk.account()
    assert desk.work() == ["A blocked"]
    assert desk.work("a") == ["other confirmed"]
    seen = []
    for second in range(int(RETRY[0] + RETRY[1])):
        before = desk.asked()
        desk.clock.advance(1)
        account.turn()
        assert desk.work() == []
        if desk.asked() > before:
            seen.append(second + 1.0)
    assert seen == [RETRY[0], RETRY[0] + RETRY[1]]
    assert desk.confirms() == ["A", "other"]
    desk.sandbox.settings({"relograde": {"invalid_keys": []}})
    desk.clock.advance(RETRY[2])
    account.turn()
    assert desk.work() == ["B confirmed", "A confirmed", "C confirmed"], "an order's turn"
    assert desk.asked() == 2


def test_a_key_that_is_right_again_lets_all_go_by_their_deadlines(desk: Desk) -> None:
    """The first probe that gets through; no attempt of an order was spent on it."""
    desk.sandbox.settings({"relograde": {"address_allowed": False}})
    for number, name in enumerate("CBA"):
        desk.order(name, after=-float(number))
    account = desk.account()
    assert desk.work() == ["A blocked"]
    desk.sandbox.settings({"relograde": {"address_allowed": True}})
    desk.clock.advance(RETRY[0])
    account.turn()
    assert desk.work() == ["A confirmed", "B confirmed", "C confirmed"]
    assert [desk.views.order("relograde", name).attempts for name in "BC"] == [1, 1]


def test_a_company_that_is_not_verified_is_tested_by_orders(desk: Desk) -> None:
    """The accounts would not say so."""
    desk.sandbox.settings({"relograde": {"company_verified": False}})
    desk.order("A")
    account = desk.account()
    assert desk.work() == ["A blocked"]
    desk.clock.advance(RETRY[0])
    account.turn()
    assert desk.asked() == 0
    assert desk.work() == ["A blocked"]
