"""What the worker asks of a supplier's client. Answers come back, never exceptions."""

from decimal import Decimal
from typing import Any, Protocol

from worker.rules.answers import Answer
from worker.suppliers.connections import Gate


class Client(Protocol):
    """A supplier that confirms orders."""

    def confirm(
        self, order_id: str, gate: Gate, host: int = 0, details: dict[str, Any] | None = None
    ) -> Answer:
        """Confirms an order at the host with this number, once the gate has let it pass."""


class ReadingClient(Client, Protocol):
    """A supplier that also documents reads; its rules say so (`Rules.reads`)."""

    def find(self, order_id: str, gate: Gate) -> Answer:
        """Reads one order."""

    def find_page(self, page: int, gate: Gate) -> dict[str, Answer] | Answer:
        """Reads one page of the list: the answers by order id, or the answer that none came."""

    def accounts(self, gate: Gate) -> dict[str, Decimal] | Answer:
        """Reads the balances by currency, or the answer that none came."""
