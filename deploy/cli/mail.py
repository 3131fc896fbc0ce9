"""`regent mail list | show | waiting | dead | retry`: this machine's mailbox, and the mail that waits or was given up."""

import argparse
from dataclasses import asdict
from typing import Any
from uuid import UUID

from deploy.cli.local import auth_database
from deploy.cli.output import show, show_table
from deploy.local import mailbox
from deploy.local.configuration import Configuration
from libs.common.context import utc_now
from libs.common.errors import NotFound
from services.auth import operator
from services.auth.store import mails

_MOST = 1000


def add_to(groups: Any) -> None:
    """Add the group's parser."""
    commands = groups.add_parser("mail", help="mail").add_subparsers(required=True, metavar="<command>")
    listing = commands.add_parser("list", help="list the mails in this machine's mailbox, oldest first")
    listing.set_defaults(run=_list)
    one = commands.add_parser("show", help="show one of them")
    one.add_argument("number", type=int, help="the mail's number in the list")
    one.set_defaults(run=_show)
    for state, text in (
        ("waiting", "list mail that is not sent yet"),
        ("dead", "list mail that was given up, and why"),
    ):
        commands.add_parser(state, help=text).set_defaults(run=_outbox, state=state)
    retry = commands.add_parser("retry", help="have a dead mail tried afresh")
    retry.add_argument("tenant", type=UUID, help="the tenant in the list of dead mail")
    retry.add_argument("id", type=UUID, help="the mail's id in that list")
    retry.set_defaults(run=_retry)


async def _list(chosen: argparse.Namespace) -> None:
    found = mailbox.listing(mailbox.folder(Configuration.load().data))
    shown = [{name: value for name, value in asdict(mail).items() if name != "text"} for mail in found]
    show_table(chosen, shown)


async def _show(chosen: argparse.Namespace) -> None:
    try:
        mail = mailbox.read(mailbox.folder(Configuration.load().data), chosen.number)
    except FileNotFoundError:
        raise NotFound(f"There is no mail {chosen.number}.") from None
    show(chosen, asdict(mail))


async def _outbox(chosen: argparse.Namespace) -> None:
    async with auth_database("mailer") as database, database.connection() as connection:
        show_table(chosen, await mails.listing(connection, chosen.state, _MOST))


async def _retry(chosen: argparse.Namespace) -> None:
    async with auth_database() as database:
        await operator.retry_mail(database, utc_now(), chosen.tenant, chosen.id)
    show(chosen, {"mail": chosen.id, "state": "waiting"})
