"""What lies behind an exception."""

from collections.abc import Iterator


def causes(error: BaseException) -> Iterator[BaseException]:
    """The exception itself, then what it was raised from or while handling, outermost first."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
