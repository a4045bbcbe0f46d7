"""What our log says, and what it leaves to Celery."""

import logging
from collections.abc import Iterator

import pytest

from worker.process import logs


@pytest.fixture
def untouched() -> Iterator[None]:
    """The root logger as it was, and Celery's two."""
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = kept
    for name in logs.TWO_LINES_A_MESSAGE:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    ("level", "speaks"), [(logging.DEBUG, True), (logging.INFO, False), (logging.ERROR, False)]
)
def test_celery_says_nothing_of_each_message_unless_asked(untouched, level, speaks):
    """One line a step is ours; two more for every message would cost more than they tell."""
    logs.configure(level)
    for name in logs.TWO_LINES_A_MESSAGE:
        assert logging.getLogger(name).isEnabledFor(logging.INFO) is speaks
        assert logging.getLogger(name).isEnabledFor(logging.ERROR)
