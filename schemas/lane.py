"""A lane: everything that is sent to one supplier account."""

from typing import NamedTuple

NO_ACCOUNT = "-"


class Lane(NamedTuple):
    """The lane of a supplier's account; None is the account without a name."""

    supplier: str
    account: str | None = None

    @property
    def key(self) -> str:
        """Its part of a Redis key."""
        return self.account or NO_ACCOUNT

    @property
    def name(self) -> str:
        """As commands, metrics and JSON say it: `relograde`, `relograde/a`."""
        return f"{self.supplier}/{self.account}" if self.account else self.supplier
