"""A real SMTP server for tests: keeps what it is given, and can refuse."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from deploy.local.processes import free_port

_LINK = re.compile(r"https://\S+#\S+")


@dataclass(frozen=True, slots=True)
class Received:
    """A mail as it came in."""

    to: str
    message: EmailMessage
    tls: bool

    @property
    def plain(self) -> str:
        """The text part."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """The HTML part."""
        return self._part("html")

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def link(self) -> str:
        """The one link with a token in it."""
        (found,) = set(_LINK.findall(self.plain))
        return found

    @property
    def token(self) -> str:
        return self.link.partition("#")[2]

    def _part(self, kind: str) -> str:
        body = self.message.get_body((kind,))
        assert body is not None
        text: str = body.get_content()
        return text


@dataclass(slots=True)
class Mailbox:
    """What came in, and how the next mails are answered."""

    port: int
    mails: list[Received] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    """Recipient → answers to RCPT, used up one by one; the last one stays."""
    after_data: list[str] = field(default_factory=list)
    tries: list[str] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}?tls=none"

    def to(self, address: str) -> list[Received]:
        """Return the mails to an address."""
        return [mail for mail in self.mails if mail.to == address]

    async def wait(self, address: str, count: int = 1, seconds: float = 60) -> list[Received]:
        """Return the mails to an address once there are so many."""
        for _ in range(int(seconds / 0.02)):
            if len(found := self.to(address)) >= count:
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"{len(self.to(address))} of {count} mails came to {address}")

    async def newest(self, address: str, subject: str, seconds: float = 60) -> Received:
        """Return the newest mail to an address with a subject, once there is one."""
        for _ in range(int(seconds / 0.02)):
            if found := [mail for mail in self.to(address) if mail.subject == subject]:
                return found[-1]
            await asyncio.sleep(0.02)
        raise AssertionError(f"no {subject!r} came to {address}, but {[mail.subject for mail in self.to(address)]}")

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Answer a recipient as told."""
        self.tries.append(address)
        planned = self.answers.get(address, [])
        answer = planned.pop(0) if len(planned) > 1 else (planned or ["250 ok"])[0]
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a mail."""
        parser = BytesParser(_class=EmailMessage, policy=policy.default)
        message = parser.parsebytes(envelope.original_content or b"")
        self.mails += [Received(address, message, session.ssl is not None) for address in envelope.rcpt_tos]
        return self.after_data.pop(0) if self.after_data else "250 kept"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        """Let one user in."""
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == b"s3cret/word", handled=False)


@asynccontextmanager
async def mail_server(tls: ssl.SSLContext | None = None, *, implicit: bool = False) -> AsyncIterator[Mailbox]:
    """Serve on loopback; with a context STARTTLS and a login are demanded, or TLS from the start."""
    box = Mailbox(free_port())
    loop = asyncio.get_running_loop()

    def connected() -> SMTP:
        if tls is None or implicit:
            return SMTP(box, hostname="test", loop=loop)
        return SMTP(
            box,
            hostname="test",
            loop=loop,
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            authenticator=box.authenticate,
        )

    server = await loop.create_server(connected, "127.0.0.1", box.port, ssl=tls if implicit else None)
    async with server:
        yield box
