"""What a running auth service holds beside the common runtime."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from fastapi import Request

from libs.common.context import Context
from libs.common.crypto.vault import Vault
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.ids import SYSTEM_TENANT
from services.auth.challenges import Challenges
from services.auth.mail.outbox import Outbox
from services.auth.passkeys import Passkeys
from services.auth.passwords import Passwords
from services.auth.settings import Settings
from services.auth.signing import Signers
from services.auth.store import accounts, keys
from services.auth.throttle import Throttle

_COUNTING = 2
_PEPPER = {"table": "own_secret", "column": "sealed", "row": "pepper"}


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long what is issued lives."""

    access_seconds: int
    login: timedelta


@dataclass(frozen=True, slots=True)
class Authority:
    """Passwords, throttle and signing keys of one process."""

    passwords: Passwords
    throttle: Throttle
    challenges: Challenges
    passkeys: Passkeys
    vault: Vault
    counting: asyncio.Semaphore
    """Tries of one address are counted one after the other: those that wait must not take every connection."""
    signers: Signers
    lifetimes: Lifetimes
    outbox: Outbox

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, database: Database, vault: Vault) -> AsyncIterator["Authority"]:
        """Open what needs the key ring; the system tenant comes to be here at the first start."""
        async with database.transaction(Context(SYSTEM_TENANT, "service:auth")) as tx:
            await accounts.ensure_tenant(tx, "system")
            pepper = await pepper_of(tx, vault)
        passwords = Passwords(settings.password_workers)
        throttle = Throttle(pepper)
        lifetimes = Lifetimes(settings.access_token_seconds, timedelta(days=settings.refresh_token_days))
        try:
            signers = Signers(vault, settings.public_url)
            yield cls(
                passwords,
                throttle,
                Challenges(pepper),
                Passkeys(pepper, settings.public_url),
                vault,
                asyncio.Semaphore(_COUNTING),
                signers,
                lifetimes,
                Outbox(vault, throttle, settings.public_url),
            )
        finally:
            passwords.close()


async def pepper_of(tx: Transaction, vault: Vault) -> bytes:
    """Return the secret under which addresses and codes are known, made at its first use; the tenant is the system's."""
    sealed = await keys.find_own_secret(tx, "pepper")
    if sealed is None:
        made = await vault.seal(tx, **_PEPPER, secret=secrets.token_bytes(32))
        await keys.add_own_secret(tx, "pepper", made)
        sealed = await keys.find_own_secret(tx, "pepper") or made  # another process may have been first
    return await vault.open(tx, **_PEPPER, sealed=sealed)


def authority(request: Request) -> Authority:
    """Return what the request's service holds."""
    found: Authority = request.app.state.runtime.extras["auth"]
    return found
