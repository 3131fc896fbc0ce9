"""`regent user create | reset-factors`."""

import argparse
import asyncio
from typing import Any

from deploy.cli.arguments import role_names
from deploy.cli.local import auth_database, public_url
from deploy.cli.output import add_password, read_password, show
from deploy.cli.rings import StillRing, ring_of
from libs.common.context import utc_now
from libs.common.crypto.vault import Vault
from libs.common.ids import tenant_named
from services.auth import operator


def add_to(groups: Any) -> None:
    """Add the group's parser."""
    commands = groups.add_parser("user", help="people").add_subparsers(required=True, metavar="<command>")
    create = commands.add_parser("create", help="add a user to a tenant")
    create.add_argument("--tenant", type=tenant_named, required=True, help="the tenant's id, or `system`")
    create.add_argument("--email", required=True, help="the user's address")
    create.add_argument("--name", required=True, help="the user's name")
    create.add_argument("--roles", type=role_names, default=["viewer"], help="role names, separated by commas")
    add_password(create)
    create.set_defaults(run=_create)
    reset = commands.add_parser(
        "reset-factors", help="remove somebody's lost second factors; a mail leads them to another password"
    )
    reset.add_argument("--email", required=True, help="their address")
    reset.set_defaults(run=_reset_factors)


async def _reset_factors(chosen: argparse.Namespace) -> None:
    ring = await asyncio.to_thread(ring_of, "auth")
    async with auth_database() as database:
        user = await operator.reset_factors(database, utc_now(), Vault(StillRing(ring)), public_url(), chosen.email)
    show(chosen, {"user_id": user, "second_factors": "removed", "mail": "on its way"})


async def _create(chosen: argparse.Namespace) -> None:
    person = operator.NewPerson(chosen.email, chosen.name, read_password(chosen))
    async with auth_database() as database:
        user = await operator.create_user(database, utc_now(), chosen.tenant, person, chosen.roles)
    show(chosen, {"user_id": user, "tenant_id": chosen.tenant, "roles": ",".join(chosen.roles)})
