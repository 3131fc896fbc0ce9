"""The way to the mail server."""

import asyncio
import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from libs.common.settings import SettingsError

Tls = Literal["none", "starttls", "tls"]
_PORTS: dict[Tls, int] = {"none": 25, "starttls": 587, "tls": 465}
_COMMAND_SECONDS, _WHOLE_SECONDS = 15, 60
_FIRST_PERMANENT = 500
_ENHANCED = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")


class RefusedError(Exception):
    """The mail server will never take this mail; says why in a code, not in the server's words."""


class DeferredError(Exception):
    """The mail server did not take this mail now."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail goes, and how the connection is protected."""

    host: str
    port: int
    tls: Tls
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    authority: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, url: str) -> "MailServer":
        """Read `smtp://user:password@host:port?tls=starttls&ca=/file.pem` or `smtps://host`.

        Raises:
            SettingsError: says what is wrong, without the URL.
        """
        try:
            parts = urlsplit(url)
            options = {
                name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()
            }
            port, host = parts.port, parts.hostname or ""
        except ValueError:
            raise _wrong("cannot be read") from None
        if (
            parts.scheme not in ("smtp", "smtps")
            or not host
            or not options.keys() <= {"tls", "ca"}
            or parts.path.strip("/")
        ):
            raise _wrong("has the form smtp://user:password@host:port or smtps://host")
        tls = _tls(parts.scheme, options.get("tls"), host)
        if parts.username and (tls == "none" or parts.password is None):
            raise _wrong("sends a user's password over TLS only, and both or none of them")
        return cls(
            host,
            port or _PORTS[tls],
            tls,
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.username and parts.password else None,
            None if tls == "none" else _authority(options.get("ca")),
        )

    async def send(self, message: EmailMessage) -> None:
        """Hand a mail over.

        Raises:
            RefusedError: it will never be taken.
            DeferredError: it was not taken now.
        """
        client = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self.username,
            password=self.password,
            timeout=_COMMAND_SECONDS,
            use_tls=self.tls == "tls",
            start_tls=self.tls == "starttls",
            tls_context=self.authority,
        )
        try:
            async with asyncio.timeout(_WHOLE_SECONDS), client:
                await client.send_message(message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _answered([(each.code, each.message) for each in error.recipients]) from error
        except aiosmtplib.SMTPDataError as error:
            raise _answered([(error.code, error.message)]) from error
        except aiosmtplib.SMTPResponseException as error:  # greeting, login, sender: not this mail's fault
            raise DeferredError(f"{type(error).__name__} {error.code}") from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise DeferredError(type(error).__name__) from error


def _answered(answers: list[tuple[int, str]]) -> RefusedError | DeferredError:
    code, text = answers[0] if answers else (0, "")
    enhanced = _ENHANCED.search(text)
    reason = f"the mail server answered {code}{f' {enhanced[0]}' if enhanced else ''}"
    return RefusedError(reason) if code >= _FIRST_PERMANENT else DeferredError(reason)


def _tls(scheme: str, wanted: str | None, host: str) -> Tls:
    if scheme == "smtps":
        if wanted not in (None, "tls"):
            raise _wrong("is smtps and has another tls=")
        return "tls"
    if wanted == "none":
        if not _is_loopback(host):
            raise _wrong("has tls=none, which is for loopback addresses only")
        return "none"
    if wanted not in (None, "starttls", "tls"):
        raise _wrong("has a tls= that is none of none, starttls, tls")
    return "tls" if wanted == "tls" else "starttls"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name can lead anywhere


def _authority(file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError):
        raise _wrong("names a ca= file that cannot be read") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _wrong(what: str) -> SettingsError:
    return SettingsError(f"configuration: REGENT_SMTP_URL {what}")
