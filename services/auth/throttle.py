"""Guessing is slow: five failures per account and a hundred per address in fifteen minutes, then 429.

A try is counted before it is made and given back when it succeeds, so parallel guesses cannot overshoot. What is kept
is a keyed hash, so the table is no list of addresses.
"""

import hmac
from dataclasses import dataclass
from uuid import UUID, uuid4

from libs.common.database.transaction import Transaction
from services.auth import domain
from services.auth.store import attempts


@dataclass(frozen=True, slots=True)
class Try:
    """A counted try."""

    id: UUID
    account: bytes
    address: bytes


class Throttle:
    """Counts tries under a secret of its own."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper

    def mark(self, kind: str, value: str) -> bytes:
        """Return the keyed hash by which a value is known here."""
        return hmac.digest(self._pepper, f"{kind}:{value}".encode("utf-8", "surrogatepass"), "sha256")

    async def reserve(self, tx: Transaction, account: str) -> Try:
        """Count a try on an account from the transaction's address.

        Raises:
            TooManyRequests: too many failed before.
        """
        one = Try(uuid4(), self.mark("account", account), self._address(tx))
        await self._count(tx, one.account, one.id, domain.ACCOUNT_FAILURES)
        await self._count(tx, one.address, one.id, domain.ADDRESS_FAILURES)
        return one

    async def settle(self, tx: Transaction, one: Try) -> None:
        """Take a try back that succeeded; the account starts afresh."""
        await attempts.forget(tx, one.account)
        await attempts.give_back(tx, one.address, one.id)

    async def give_back(self, tx: Transaction, one: Try) -> None:
        """Take a try back that was never made."""
        await attempts.give_back(tx, one.account, one.id)
        await attempts.give_back(tx, one.address, one.id)

    async def note_failure(self, tx: Transaction) -> None:
        """Count a failure of the transaction's address where nothing can be guessed.

        Raises:
            TooManyRequests: too many failed before.
        """
        await self._count(tx, self._address(tx), uuid4(), domain.ADDRESS_FAILURES)

    async def _count(self, tx: Transaction, bucket: bytes, id: UUID, allowed: int) -> None:  # noqa: A002
        now = tx.context.now
        await attempts.lock_bucket(tx, bucket)
        domain.require_tries_left(await attempts.recent(tx, bucket, now - domain.WINDOW, allowed), allowed, now)
        await attempts.add(tx, bucket, id)

    def _address(self, tx: Transaction) -> bytes:
        return self.mark("address", domain.address_block(tx.context.address))
