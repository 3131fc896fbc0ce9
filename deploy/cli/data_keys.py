"""`regent keys rotate-dek | replace-signing-key`: what lies below the rings."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from uuid import UUID

from deploy.cli.output import show, show_table
from deploy.cli.rings import Keeping, RingFile
from libs.common.crypto import versions
from libs.common.crypto.resealing import SealedColumn, left
from libs.common.errors import NotFound, Unavailable
from libs.common.ids import SYSTEM_TENANT
from services.audit import signing
from services.auth.sealed import SEALED as AUTH
from services.catalog.sealed import SEALED as CATALOG

_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0
_COLUMNS: dict[str, Sequence[SealedColumn]] = {"auth": AUTH, "catalog": CATALOG}


async def rotate(chosen: argparse.Namespace, keeping: Sequence[Keeping]) -> None:
    """Give a tenant new data keys, then watch the services seal its secrets anew; begun again, it goes on.

    Raises:
        NotFound: no service keeps a secret of the tenant.
        Unavailable: for a minute nothing moved.
    """
    told = []
    for each in keeping:
        if each.service == "audit":
            told += await _reseal(each, chosen.tenant)
        elif await _begun(each, chosen.tenant):
            told.append({"service": each.service, "version": await _until_turned(each, chosen.tenant)})
    if not told:
        raise NotFound(f"No service keeps a secret of tenant {chosen.tenant}.")
    show_table(chosen, told)


async def _begun(each: Keeping, tenant: UUID) -> bool:
    ring = await asyncio.to_thread(RingFile.of(each.service).ring)
    async with each.transaction("server", tenant) as tx:
        return await versions.begin_turning(tx, ring)


async def _until_turned(each: Keeping, tenant: UUID) -> int:
    waited, before = 0.0, -1
    while True:
        async with each.transaction("server", tenant) as tx:
            known, remaining = await versions.all_versions(tx), await left(tx, _COLUMNS[each.service])
        if len(known) == 1:
            return known[0].version
        if remaining != before:
            waited, before = 0.0, remaining
            print(f"{each.service}: {remaining} secrets to go", file=sys.stderr)
        if waited >= _PATIENCE_SECONDS:
            raise Unavailable(f"{each.service} seals nothing anew: does it run? Begin again then.")
        await asyncio.sleep(_POLL_SECONDS)
        waited += _POLL_SECONDS


async def _reseal(each: Keeping, tenant: UUID) -> list[dict[str, object]]:
    """Seal audit's signing keys anew at once: there are few, and they are the system tenant's."""
    if tenant != SYSTEM_TENANT:
        return []
    ring = await asyncio.to_thread(RingFile.of(each.service).ring)
    async with each.transaction() as tx:
        return [{"service": each.service, "signing_keys": await signing.reseal(tx, ring)}]


async def replace_signing_key(chosen: argparse.Namespace, audit: Keeping) -> None:
    """Give audit another key to sign checkpoints with; the one before stays known, so that what it signed is checked."""
    ring = await asyncio.to_thread(RingFile.of(audit.service).ring)
    async with audit.transaction() as tx:
        await signing.rotate(tx, ring)
    show(chosen, {"audit": "signs with a new key; the one before is retired"})
