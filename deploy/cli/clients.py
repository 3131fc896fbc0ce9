"""`regent client create`: an OAuth2 client for a customer's system; its secret is printed once."""

import argparse
from typing import Any

from deploy.cli.arguments import role_names
from deploy.cli.local import auth_database
from deploy.cli.output import show
from libs.common.context import utc_now
from libs.common.ids import tenant_named
from services.auth import operator


def add_to(groups: Any) -> None:
    """Add the group's parser."""
    commands = groups.add_parser("client", help="OAuth2 clients").add_subparsers(required=True, metavar="<command>")
    create = commands.add_parser("create", help="add a client to a tenant and print its secret")
    create.add_argument("--tenant", type=tenant_named, required=True, help="the tenant's id, or `system`")
    create.add_argument("--name", default="client", help="what the client is called")
    create.add_argument("--roles", type=role_names, default=["integrator"], help="role names, separated by commas")
    create.set_defaults(run=_create)


async def _create(chosen: argparse.Namespace) -> None:
    async with auth_database() as database:
        client, secret = await operator.create_client(database, utc_now(), chosen.tenant, chosen.name, chosen.roles)
    show(chosen, {"client_id": client, "client_secret": secret})
