"""Operate audit's signing key: `python -m services.audit.keys ensure | rotate | reseal`.

`ensure` makes the first key where nothing was ever read or signed, and otherwise checks that the present one opens; the
service does the same when it starts. `rotate` replaces the key, `reseal` encrypts all of them anew. The ring's keys are
turned by `regent keys`.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable

from libs.common.context import Context, utc_now
from libs.common.crypto.keyring import KeyRing, UnreadableSecretError
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.ids import SYSTEM_TENANT
from services.audit import signing
from services.audit.settings import AuditSettings

Action = Callable[[Transaction, KeyRing], Awaitable[str]]


async def ensure(tx: Transaction, ring: KeyRing) -> str:
    """Make the first key, or check that the one in use opens."""
    return "made the first signing key" if await signing.ensure(tx, ring) else "the signing key opens"


async def rotate(tx: Transaction, ring: KeyRing) -> str:
    """Replace the key."""
    await signing.rotate(tx, ring)
    return "made a new signing key; the one before is retired"


async def reseal(tx: Transaction, ring: KeyRing) -> str:
    """Seal the signing keys anew under the ring's active key."""
    return f"sealed {await signing.reseal(tx, ring)} signing keys anew"


_ACTIONS: dict[str, Action] = {"ensure": ensure, "rotate": rotate, "reseal": reseal}


async def run(settings: AuditSettings, action: Action) -> str:
    """Run one action as the signer, in one transaction of the system tenant."""
    ring = await asyncio.to_thread(settings.ring, "audit")
    url = settings.signer_database_url.get_secret_value()
    context = Context(SYSTEM_TENANT, "service:audit", utc_now())
    async with (
        Database.open(url, service="audit", role="signer", size=1) as database,
        database.transaction(context) as tx,
    ):
        return await action(tx, ring)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=sorted(_ACTIONS))
    chosen = parser.parse_args()
    try:
        done = asyncio.run(run(AuditSettings.load(), _ACTIONS[chosen.action]))
    except (signing.MissingKeyError, UnreadableSecretError) as refused:
        raise SystemExit(f"audit: {refused}") from None
    print(f"audit: {done}")  # noqa: T201 - a command line


if __name__ == "__main__":
    main()
