"""`regent dlq list | show | replay`: messages that could not be handled, and another try."""

import argparse
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from deploy.cli.local import bus
from deploy.cli.output import show, show_table
from libs.common.bus.topology import DEAD_LETTERS
from libs.common.errors import NotFound

_PREVIEW = 100


def add_to(groups: Any) -> None:
    """Add the group's parser."""
    commands = groups.add_parser("dlq", help="dead letters").add_subparsers(required=True, metavar="<command>")
    listing = commands.add_parser("list", help="list dead letters, oldest first")
    listing.add_argument("--service", help="of one service only")
    listing.set_defaults(run=_list)
    for verb, run, text in (("show", _show, "show one whole"), ("replay", _replay, "have its service handle it again")):
        one = commands.add_parser(verb, help=text)
        one.add_argument("number", type=int, help="the letter's number in the list")
        one.set_defaults(run=run)


async def _list(chosen: argparse.Namespace) -> None:
    subject = f"dlq.{chosen.service or '*'}.>"
    async with _client() as client:
        rows = [
            {
                "number": number,
                "service": letter["service"],
                "subject": letter["subject"],
                "reason": letter["reason"][:_PREVIEW],
            }
            async for number, letter in _letters(client, subject)
        ]
    show_table(chosen, rows)


async def _show(chosen: argparse.Namespace) -> None:
    async with _client() as client:
        letter = await _letter(client, chosen.number)
    body = base64.b64decode(letter.pop("body"))
    show(chosen, {**letter, "message": body.decode("utf-8", "replace")})


async def _replay(chosen: argparse.Namespace) -> None:
    """Hand the letter to its service's own queue; a letter whose message fails again comes back."""
    async with _client() as client:
        letter = await _letter(client, chosen.number)
        await client.jetstream().publish(f"work.{letter['service']}.replay", orjson.dumps(letter))
    show(chosen, {"replayed": chosen.number, "service": letter["service"], "subject": letter["subject"]})


@asynccontextmanager
async def _client() -> AsyncIterator[Client]:
    async with bus() as client:
        yield client


async def _letters(client: Client, subject: str) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    number = 0
    while True:
        try:
            message = await client.jetstream().get_msg(DEAD_LETTERS, seq=number + 1, subject=subject, next=True)
        except NotFoundError:
            return
        number = message.seq or 0
        yield number, orjson.loads(message.data or b"{}")


async def _letter(client: Client, number: int) -> dict[str, Any]:
    try:
        message = await client.jetstream().get_msg(DEAD_LETTERS, seq=number)
    except NotFoundError:
        raise NotFound(f"There is no dead letter {number}.") from None
    content: dict[str, Any] = orjson.loads(message.data or b"{}")
    return content
