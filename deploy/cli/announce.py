"""`regent announce`: owners say all their versions again, so that others' copies are filled anew."""

import argparse
from typing import Any
from uuid import UUID

from deploy.cli.local import auth_database, database_of
from deploy.cli.output import show_table
from libs.common.context import Context, utc_now
from libs.common.definitions.commands import announce
from services.auth import operator

OWNERS = ("catalog", "scheduler", "validator")


def add_to(groups: Any) -> None:
    """Add the command's parser."""
    command = groups.add_parser("announce", help="publish all versions again, to fill other services' copies")
    command.add_argument("--tenant", type=UUID, help="one tenant only")
    command.set_defaults(run=_announce)


async def _announce(chosen: argparse.Namespace) -> None:
    async with auth_database("keeper") as keeper:
        tenants = (
            [chosen.tenant]
            if chosen.tenant
            else [UUID(str(row["tenant_id"])) for row in await operator.list_tenants(keeper)]
        )
    told = []
    for owner in OWNERS:
        async with database_of(owner) as database:
            for tenant in tenants:
                async with database.transaction(Context(tenant, "service:operator", utc_now())) as tx:
                    told.append({"service": owner, "tenant_id": tenant, "versions": await announce(tx)})
    show_table(chosen, told)
