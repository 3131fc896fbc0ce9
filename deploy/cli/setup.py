"""`regent setup-link`: the one-time link that makes the first tenant."""

import argparse
from typing import Any

from deploy.cli.local import auth_database, public_url
from deploy.cli.output import show
from libs.common.context import utc_now
from services.auth import operator


def add_to(groups: Any) -> None:
    """Add the command's parser."""
    command = groups.add_parser("setup-link", help="make a one-time link that makes a tenant with its owner")
    command.set_defaults(run=_create)


async def _create(chosen: argparse.Namespace) -> None:
    async with auth_database() as database:
        link = await operator.create_setup_link(database, utc_now(), public_url())
    show(chosen, {"link": link, "valid_for": f"{operator.SETUP_LIFE.total_seconds() / 3600:.0f} hours, once"})
