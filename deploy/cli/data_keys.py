"""`regent keys rotate-dek | replace-signing-key`: what lies below the rings."""

import argparse
import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from deploy.cli.output import show, show_table
from deploy.cli.rings import Keeping, RingFile
from libs.common.crypto.resealing import SealedColumn
from libs.common.crypto.turning import Turning
from libs.common.errors import NotFound
from libs.common.ids import SYSTEM_TENANT
from services.audit import signing
from services.auth.sealed import SEALED as AUTH
from services.catalog.sealed import SEALED as CATALOG

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
            continue
        turning = Turning(each.service, partial(each.transaction, "server", chosen.tenant), _COLUMNS[each.service])
        if await turning.begin(await asyncio.to_thread(RingFile.of(each.service).ring)):
            told.append({"service": each.service, "version": await turning.finish()})
    if not told:
        raise NotFound(f"No service keeps a secret of tenant {chosen.tenant}.")
    show_table(chosen, told)


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
