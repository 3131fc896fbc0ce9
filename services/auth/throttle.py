"""Guessing is slow: five failures per account and a hundred per address in fifteen minutes, then 429.

A try is counted before it is made and given back when it succeeds, so parallel guesses cannot overshoot. Who goes on
failing waits longer each time. A browser that the owner logged in from before counts in a bucket of its own, so that
strangers cannot shut the owner out there. What is kept is a keyed hash, so the table is no list of addresses.
"""

import hmac
from dataclasses import dataclass
from uuid import UUID, uuid4

from libs.common.database.transaction import Transaction
from services.auth import domain
from services.auth.store import attempts


@dataclass(frozen=True, slots=True)
class Try:
    """A counted try; `failures` is how many the account had in the window before."""

    id: UUID
    account: bytes
    address: bytes
    failures: int


class Throttle:
    """Counts tries under a secret of its own."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper

    def mark(self, kind: str, value: str) -> bytes:
        """Return the keyed hash by which a value is known here."""
        return hmac.digest(self._pepper, f"{kind}:{value}".encode("utf-8", "surrogatepass"), "sha256")

    async def reserve(self, tx: Transaction, account: str, *, device: str | None = None) -> Try:
        """Count a try on an account from the transaction's address; `device` names a browser that the owner used.

        Raises:
            domain.Throttled: too many failed before; `domain.Busy` where as many are being made right now.
        """
        id_, address = uuid4(), self._address(tx)
        bucket = self.mark("device", f"{device}:{account}") if device else self.mark("account", account)
        failures = await self._count(tx, bucket, id_, domain.ACCOUNT_FAILURES, failed=False)
        await self._count(tx, address, id_, domain.ADDRESS_FAILURES, failed=False)
        return Try(id_, bucket, address, failures)

    async def fail(self, tx: Transaction, one: Try) -> None:
        """Note that a try failed."""
        await attempts.note_failed(tx, [one.account, one.address], one.id)

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

        Apart from people's tries: an integration that is set up wrongly shuts nobody out who shares its address.

        Raises:
            TooManyRequests: too many failed before.
        """
        bucket = self.mark("client-address", domain.address_block(tx.context.address))
        await self._count(tx, bucket, uuid4(), domain.ADDRESS_FAILURES, failed=True)

    async def _count(self, tx: Transaction, bucket: bytes, id: UUID, allowed: int, *, failed: bool) -> int:  # noqa: A002
        now = tx.context.now
        await attempts.lock_bucket(tx, bucket)
        tries = await attempts.recent(tx, bucket, now - domain.MEMORY, domain.remembered(allowed))
        failures = [one["at"] for one in tries if one["failed"] or one["at"] < now - domain.LONGEST_TRY]
        try:
            recent = domain.require_tries_left(failures, allowed, now, being_made=len(tries) - len(failures))
        except domain.Throttled as refused:
            refused.bucket = bucket
            raise
        await attempts.add(tx, bucket, id, failed=failed)
        return recent

    def _address(self, tx: Transaction) -> bytes:
        return self.mark("address", domain.address_block(tx.context.address))
