"""The ledger: the truth about every order, in Redis, changed by atomic scripts only."""

from worker.ledger.ledger import Ledger
from worker.ledger.replies import Opened, Permit, ScriptReply

__all__ = ["Ledger", "Opened", "Permit", "ScriptReply"]
