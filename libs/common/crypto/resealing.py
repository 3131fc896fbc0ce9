"""What is sealed under an earlier version of a tenant's data key is sealed anew; then the earlier versions go."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from libs.common.context import Context, utc_now
from libs.common.crypto import versions
from libs.common.crypto.keyring import KeyRing, Place, UnreadableSecretError, WrappedKey
from libs.common.crypto.vault import opened
from libs.common.database.pool import Database
from libs.common.database.transaction import Transaction
from libs.common.ids import SYSTEM_TENANT
from libs.common.telemetry.metrics import UNRESEALED

_LOG = structlog.get_logger(__name__)
_BATCH = 200
_TURNING = "SELECT tenant_id FROM data_key GROUP BY tenant_id HAVING count(*) > 1 ORDER BY 1"


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """Where a service keeps secrets: a column and its constant statements.

    `earlier` finds rows (row, sealed), `row` being the text that the secret is bound to, whose secret does not begin with
    $1, by row after $2, at most $3; `count` counts them; `replace` puts $3 in place of $2 in row $1. A table without
    tenants holds secrets of the system tenant only.
    """

    table: str
    column: str
    earlier: str
    count: str
    replace: str
    tenants: bool = True

    def of(self, tenant: UUID) -> bool:
        """Say whether a tenant may have secrets here."""
        return self.tenants or tenant == SYSTEM_TENANT


async def left(tx: Transaction, columns: Sequence[SealedColumn]) -> int:
    """Return how many secrets of the tenant wait to be sealed under the newest version."""
    keys = await versions.all_versions(tx)
    if len(keys) < 2:  # noqa: PLR2004 - one version has nothing before it
        return 0
    asked = [column for column in columns if column.of(tx.tenant_id)]
    return sum([await tx.connection.fetchval(column.count, keys[0].header) for column in asked])


class Resealer:
    """Goes on with every turning that was begun; several of them at once are harmless."""

    def __init__(self, database: Database, keeper: Database, columns: Sequence[SealedColumn]) -> None:
        self._database = database
        self._keeper = keeper
        self._columns = columns

    async def go_on(self, ring: KeyRing) -> None:
        """Do for each tenant what is to be done, a batch a transaction; stopped anywhere, it goes on where it was.

        Earlier versions go in a round of their own that found nothing left, so that whoever read a secret a moment ago
        has opened it.
        """
        async with self._keeper.connection() as connection:
            tenants = [row["tenant_id"] for row in await connection.fetch(_TURNING)]
        unreadable = 0
        for tenant in tenants:
            found = [await self._column(ring, tenant, column) for column in self._columns if column.of(tenant)]
            bad = sum(bad for _, bad in found)
            unreadable += bad
            if not bad and not any(moved for moved, _ in found):
                await self._end(tenant)
        UNRESEALED.labels(self._database.service).set(unreadable)

    async def _column(self, ring: KeyRing, tenant: UUID, column: SealedColumn) -> tuple[int, int]:
        """Seal a column's secrets anew; returns how many went over, and how many no held key opens."""
        moved = unreadable = 0
        after: str | None = ""
        while after is not None:
            async with self._acting(self._database, tenant) as tx:
                done, bad, after = await reseal(tx, ring, column, after)
            moved, unreadable = moved + done, unreadable + bad
            if done:
                _LOG.info("keyring.resealed", tenant=str(tenant), table=column.table, so_far=moved)
        return moved, unreadable

    async def _end(self, tenant: UUID) -> None:
        async with self._acting(self._keeper, tenant) as tx:
            keys = await versions.all_versions(tx)
            if len(keys) > 1:
                await versions.forget_earlier(tx, keys[0].version)
                _LOG.info("keyring.turned", tenant=str(tenant), version=keys[0].version)

    @asynccontextmanager
    async def _acting(self, database: Database, tenant: UUID) -> AsyncIterator[Transaction]:
        context = Context(tenant, f"service:{database.service}", utc_now())
        async with database.transaction(context) as tx:
            yield tx


async def reseal(tx: Transaction, ring: KeyRing, column: SealedColumn, after: str) -> tuple[int, int, str | None]:
    """Seal a batch anew, and say so in the same transaction; doing it again changes nothing.

    Returns how many went over, how many no held key opens, and where to go on.
    """
    keys = await versions.all_versions(tx)
    rows = await tx.connection.fetch(column.earlier, keys[0].header, after, _BATCH)
    fresh = [(row, sealed) for row in rows if (sealed := _resealed(tx, ring, keys, column, row)) is not None]
    moved = 0
    for row, sealed in fresh:
        status: str = await tx.connection.execute(column.replace, row["row"], row["sealed"], sealed)
        moved += int(status.rsplit(" ", 1)[-1])
    if moved:
        await versions.note_resealed(tx, keys[0].version, moved)
    return moved, len(rows) - len(fresh), rows[-1]["row"] if len(rows) == _BATCH else None


def _resealed(
    tx: Transaction, ring: KeyRing, keys: Sequence[WrappedKey], column: SealedColumn, row: Any
) -> bytes | None:
    place = Place(tx.tenant_id, column.table, column.column, row["row"])
    try:
        return ring.seal(keys[0], place, opened(ring, keys, place, row["sealed"]))
    except UnreadableSecretError as error:
        _LOG.error("keyring.secret_unreadable", table=column.table, row=row["row"], reason=str(error))
        return None
