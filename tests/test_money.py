"""Which dead letters a balance pays for."""

from decimal import Decimal
from itertools import count

from conftest import START

from worker.rules.money import Funds, Want, payable


def want(order_id, amount="30", currency="EUR", at=None):
    """Deadlines come in the order of the ids."""
    last_safe = START + ord(order_id[0])
    return Want(
        order_id=order_id,
        last_safe=last_safe,
        amount=Decimal(amount),
        currency=currency,
        letter_at=at,
    )


def letter(order_id, amount="30", currency="EUR", at=START):
    return want(order_id, amount, currency, at)


def chosen(letters, waiting=(), rose_at=START, **free):
    funds = {currency: Funds(Decimal(amount), rose_at) for currency, amount in free.items()}
    return payable(letters, waiting, funds)


def test_by_deadline_as_long_as_the_money_lasts():
    """And no further: the fourth would only be refused."""
    assert chosen([letter(name) for name in "ABCD"], EUR="90") == ["A", "B", "C"]


def test_one_that_is_too_dear_does_not_keep_the_others():
    """What is left may pay for a smaller one."""
    letters = [letter("A", "80"), letter("B", "30.5"), letter("C", "20")]
    assert chosen(letters, EUR="50.49") == ["B"]
    assert chosen(letters, EUR="50.50") == ["B", "C"]


def test_orders_that_wait_have_their_place_in_the_queue():
    """One with an earlier deadline is paid first; one with a later one comes after the letter."""
    assert chosen([letter("B"), letter("D")], [want("A"), want("C"), want("E")], EUR="90") == ["B"]
    assert chosen([letter("B")], [want("C")], EUR="30") == ["B"]
    assert chosen([letter("B")], [want("A")], EUR="30") == []
    assert chosen([letter("B")], [want("A", "31")], EUR="30") == ["B"], (
        "that one cannot be paid either way"
    )


def test_no_more_orders_are_read_than_can_matter():
    """A million may wait: not beyond the last letter, and not beyond the last cent."""
    endless = (want("A", "1") if number < 50 else 1 / 0 for number in count())
    assert chosen([letter("B")], endless, EUR="50") == []
    endless = (want("C", "1") if number < 1 else 1 / 0 for number in count())
    assert chosen([letter("B")], endless, EUR="50") == ["B"]


def test_currencies_are_apart():
    """And one of which nothing is known pays for nothing."""
    letters = [letter("A"), letter("B", currency="USD"), letter("C", currency="GBP")]
    assert chosen(letters, EUR="30", USD="29.99") == ["A"]
    assert chosen(letters, [want("A", currency="USD")], EUR="30") == ["A"]
    assert chosen(letters) == []


def test_nobody_has_two_chances_with_one_balance():
    """Refused since the balance rose: it costs more than its message says, and asking again only
    spends calls.
    """
    letters = [letter("A", at=START + 1), letter("B", at=START)]
    assert chosen(letters, EUR="30") == ["B"]
    assert chosen(letters, rose_at=START + 2, EUR="60") == ["A", "B"]
