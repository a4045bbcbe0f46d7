"""One order, one name: the form in which an identity is kept and compared.

Logitrail's ids are hexadecimal, and the supplier takes them in any letter case: they are kept in
lower case. Relograde's trx is kept as it came.
"""

ANY_CASE = ("logitrail",)
"""Suppliers whose ids are the same in any letter case."""


def canonical(supplier: str, order_id: str) -> str:
    """The one form of an order id."""
    return order_id.lower() if supplier in ANY_CASE else order_id


def spellings(supplier: str, order_id: str) -> list[str]:
    """The canonical form, and the others under which an older version may have kept the order."""
    if supplier not in ANY_CASE:
        return [order_id]
    return list(dict.fromkeys((order_id.lower(), order_id, order_id.upper())))
