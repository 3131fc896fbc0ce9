"""`regent tenant create | list | suspend | resume`."""

import argparse
from typing import Any
from uuid import UUID

from deploy.cli.local import auth_database
from deploy.cli.output import add_password, read_password, show, show_table
from libs.common.context import utc_now
from services.auth import operator


def add_to(groups: Any) -> None:
    """Add the group's parser."""
    commands = groups.add_parser("tenant", help="tenants").add_subparsers(required=True, metavar="<command>")
    create = commands.add_parser("create", help="make a tenant with its owner")
    create.add_argument("--name", required=True, help="the tenant's name")
    create.add_argument("--email", required=True, help="the owner's address")
    create.add_argument("--owner-name", default="Owner", help="the owner's name")
    add_password(create)
    create.set_defaults(run=_create)
    commands.add_parser("list", help="list all tenants").set_defaults(run=_list)
    for verb, suspended in (("suspend", True), ("resume", False)):
        change = commands.add_parser(verb, help=f"{verb} a tenant")
        change.add_argument("tenant", type=UUID)
        change.set_defaults(run=_set_status, suspended=suspended)


async def _create(chosen: argparse.Namespace) -> None:
    owner = operator.NewPerson(chosen.email, chosen.owner_name, read_password(chosen))
    async with auth_database() as database:
        tenant, user = await operator.create_tenant(database, utc_now(), chosen.name, owner)
    show(chosen, {"tenant_id": tenant, "user_id": user})


async def _list(chosen: argparse.Namespace) -> None:
    async with auth_database("keeper") as keeper:
        show_table(chosen, list(await operator.list_tenants(keeper)))


async def _set_status(chosen: argparse.Namespace) -> None:
    async with auth_database() as database:
        await operator.set_tenant_status(database, utc_now(), chosen.tenant, suspended=chosen.suspended)
    show(chosen, {"tenant_id": chosen.tenant, "status": "suspended" if chosen.suspended else "active"})
