"""Whether a login was as strong as its tenant asks for."""

from collections.abc import Sequence

from libs.common.database.transaction import Transaction
from services.auth import authentication
from services.auth.store import accounts

TOO_WEAK = "your organisation now asks for a second factor at every login: log in again and set one up"


async def lacking(tx: Transaction, amr: Sequence[str]) -> bool:
    """Say whether the tenant asks for a second factor, by now, that a login by these methods did not show."""
    if authentication.is_strong(amr):
        return False
    tenant = await accounts.find_tenant(tx)
    begins = tenant["second_factor_from"]
    return bool(tenant["second_factor"] == "required" and (begins is None or begins <= tx.context.now))
