"""`python -m services.<name>.keys rotate-dek TENANT`: where a service keeps secrets, a tenant's data key is turned.

It runs with the service's own environment, beside it: in a cluster, in its pod. What it begins, every process of the
service goes on with (`resealing`); begun again, it watches.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from libs.common.context import Context, utc_now
from libs.common.crypto import versions
from libs.common.crypto.keyring import KeyRing
from libs.common.crypto.resealing import SealedColumn, left
from libs.common.crypto.rings import KeyringSettings
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.errors import NotFound, Refusal, Unavailable
from libs.common.ids import tenant_named

_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0
_ACTOR = "service:cli"


@dataclass(frozen=True, slots=True)
class Turning:
    """The turning of one tenant's data key in one service; `opened` opens a transaction of the tenant."""

    service: str
    opened: Callable[[], AbstractAsyncContextManager[Transaction]]
    columns: Sequence[SealedColumn]

    async def begin(self, ring: KeyRing) -> bool:
        """Give the tenant a new data key, or go on with one that is being taken up; false where it has no secrets.

        Raises:
            Unavailable: the service has not taken the ring's active key up.
        """
        async with self.opened() as tx:
            return await versions.begin_turning(tx, ring)

    async def finish(self) -> int:
        """Print how many secrets the service has still to seal anew, until it is done; returns the key's version.

        Raises:
            Unavailable: for a minute nothing moved.
        """
        waited, before = 0.0, -1
        while True:
            async with self.opened() as tx:
                known, remaining = await versions.all_versions(tx), await left(tx, self.columns)
            if len(known) == 1:
                return known[0].version
            if remaining != before:
                waited, before = 0.0, remaining
                print(f"{self.service}: {remaining} secrets to go", file=sys.stderr)  # noqa: T201 - a command's progress
            if waited >= _PATIENCE_SECONDS:
                raise Unavailable(f"{self.service} seals nothing anew: does it run? Begin again then.")
            await asyncio.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS


async def rotate(service: str, settings: KeyringSettings, columns: Sequence[SealedColumn], tenant: UUID) -> int:
    """Turn a tenant's data key with a service's own settings; returns its new version.

    Raises:
        NotFound: the service keeps no secret of the tenant.
        Unavailable: as `Turning`.
        SettingsError: the ring cannot be used.
    """
    ring = await asyncio.to_thread(settings.ring, service)
    url = settings.database_url.get_secret_value()
    async with Database.open(url, service=service, role="keys", size=1) as database:

        @asynccontextmanager
        async def opened() -> AsyncIterator[Transaction]:
            async with database.transaction(Context(tenant, _ACTOR, utc_now())) as tx:
                yield tx

        turning = Turning(service, opened, columns)
        if not await turning.begin(ring):
            raise NotFound(f"no secret of tenant {tenant} is kept here")
        return await turning.finish()


def main(
    service: str,
    settings: Callable[[], KeyringSettings],
    columns: Sequence[SealedColumn],
    arguments: Sequence[str] | None = None,
) -> None:
    """Read the command line and run; a refusal ends the process with a sentence."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{service}.keys")
    commands = parser.add_subparsers(required=True, metavar="<command>")
    command = commands.add_parser("rotate-dek", help="give a tenant a new data key, and wait until all is under it")
    command.add_argument("tenant", type=tenant_named, help="the tenant's id, or `system`")
    chosen = parser.parse_args(arguments)
    try:
        version = asyncio.run(rotate(service, settings(), columns, chosen.tenant))
    except Refusal as refused:
        raise SystemExit(f"{service}: {refused.detail}") from None
    print(f"{service}: the data key is at version {version}")  # noqa: T201 - a command line
