"""The mailbox of this machine: what Regent mails where no mail server is configured, kept as files to be read."""

import asyncio
import os
import sys
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from functools import partial
from pathlib import Path

from deploy.local.files import private_directory
from deploy.local.processes import Program

_ROOT = Path(__file__).parents[2]
_FIRST_LINE = 200


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that was kept; `number` is how the command line names it."""

    number: int
    to: str
    subject: str
    date: str
    text: str


def folder(data: Path) -> Path:
    """Return where mails are kept."""
    return private_directory(data / "mailbox")


def url(port: int) -> str:
    """Return the mailbox as a mail server's URL."""
    return f"smtp://127.0.0.1:{port}?tls=none"


def program(data: Path, port: int) -> Program:
    """Return the mail server that keeps what it is given."""
    return Program(
        name="mailbox",
        command=(sys.executable, "-m", "deploy.local.mailbox_server", str(port), str(folder(data))),
        environment={"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        ready=partial(_listens, port),
        directory=_ROOT,
    )


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def keep(directory: Path, content: bytes) -> int:
    """Keep a mail; returns its number."""
    number = max(_numbers(directory), default=0)
    while True:
        number += 1
        try:
            handle = os.open(directory / f"{number:06}.eml", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        return number


def listing(directory: Path) -> list[Mail]:
    """Return all kept mails, oldest first."""
    return [read(directory, number) for number in sorted(_numbers(directory))]


def read(directory: Path, number: int) -> Mail:
    """Return a kept mail.

    Raises:
        FileNotFoundError: there is no mail of that number.
    """
    content = (directory / f"{number:06}.eml").read_bytes()
    message = BytesParser(_class=EmailMessage, policy=policy.default).parsebytes(content)
    body = message.get_body(("plain", "html"))
    text = body.get_content() if body is not None else ""
    return Mail(number, _line(message["To"]), _line(message["Subject"]), _line(message["Date"]), text)


def _line(value: object) -> str:
    return "".join(character for character in str(value or "") if character.isprintable())[:_FIRST_LINE]


def _numbers(directory: Path) -> list[int]:
    return [int(path.stem) for path in directory.glob("*.eml") if path.stem.isdigit()]
