"""The mailbox of this machine keeps what it is given and shows it (S41)."""

import asyncio
import json
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from deploy.cli.__main__ import main
from deploy.local import mailbox
from deploy.local.processes import free_port
from deploy.local.supervisor import Supervisor
from services.auth.mail.transport import MailServer


def mail(subject: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "regent@localhost", "ann@example.com", subject
    message.set_content("Open https://regent.test/account/verify#sv_token\n")
    return message


@pytest.fixture
async def said() -> list[tuple[str, str]]:
    """Return what programs say, as it comes."""
    return []


@pytest.fixture
async def server(tmp_path: Path, said: list[tuple[str, str]]) -> AsyncIterator[MailServer]:
    """Yield the running mailbox as a mail server."""
    port = free_port()
    async with Supervisor(lambda name, line: said.append((name, line))) as supervisor:
        await supervisor.start(mailbox.program(tmp_path, port))
        yield MailServer.parse(mailbox.url(port))


async def test_a_mail_is_kept_and_said(server: MailServer, tmp_path: Path, said: list[tuple[str, str]]) -> None:
    """Each mail is a file and a line; the files are the owner's only."""
    await server.send(mail("Confirm"))
    await server.send(mail("\u00dcber \U0001f4a9"))
    first, second = mailbox.listing(mailbox.folder(tmp_path))
    assert (first.number, first.to, first.subject) == (1, "ann@example.com", "Confirm")
    assert "account/verify#sv_token" in first.text
    assert second.subject == "\u00dcber \U0001f4a9"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "mailbox").glob("*.eml")} == {0o600}
    for _ in range(100):
        if ("mailbox", "to ann@example.com: Confirm (regent mail show 1)") in said:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(said)


async def test_the_command_line_shows_mails(
    server: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`regent mail list` and `show` read the mailbox; a number that is not there is an error."""
    await server.send(mail("Confirm"))
    monkeypatch.setenv("REGENT_DATA", str(tmp_path))
    assert await asyncio.to_thread(main, ["--json", "mail", "list"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["number"], listed["subject"]) == (1, "Confirm")
    assert await asyncio.to_thread(main, ["mail", "show", "1"]) == 0
    assert "account/verify#sv_token" in capsys.readouterr().out
    assert await asyncio.to_thread(main, ["mail", "show", "2"]) == 1
    assert "no mail 2" in capsys.readouterr().err


def test_mails_are_numbered_apart(tmp_path: Path) -> None:
    """Two that come at once do not overwrite each other."""
    directory = mailbox.folder(tmp_path)
    assert [mailbox.keep(directory, b"Subject: x\n\n") for _ in range(3)] == [1, 2, 3]


def test_a_broken_mail_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    """Whatever was taken can be listed; nothing in it reaches the terminal as a control code."""
    directory = mailbox.folder(tmp_path)
    mailbox.keep(directory, b"Subject: \x1b[31mred\r\nTo: nobody\r\n\r\nbody")
    (shown,) = mailbox.listing(directory)
    assert "\x1b" not in shown.subject
