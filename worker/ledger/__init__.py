"""The ledger: the truth about every order, in Redis, changed by atomic scripts only."""

from worker.ledger.ledger import Ledger, Opened, Permit, Reply, Taken

__all__ = ["Ledger", "Opened", "Permit", "Reply", "Taken"]
