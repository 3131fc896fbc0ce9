"""Who is behind a decision."""

from libs.common.database.transaction import Transaction


def makers(tx: Transaction) -> list[str]:
    """Return who is behind what is done: the person, and what they use."""
    return list(dict.fromkeys((tx.context.person, tx.context.actor)))
