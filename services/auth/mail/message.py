"""A mail as it goes over the wire."""

from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from uuid import UUID

from jinja2 import TemplateError

from libs.common.settings import SettingsError
from services.auth.mail.addresses import mailable
from services.auth.mail.outbox import Letter
from services.auth.mail.templates import Texts


class BadMessageError(Exception):
    """A mail that cannot be written, however often it is tried; says why, without its content."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who mails come from."""

    name: str
    address: str

    @classmethod
    def parse(cls, text: str) -> "Sender":
        """Read `Regent <regent@example.com>` or a plain address.

        Raises:
            SettingsError: it is neither.
        """
        found = getaddresses([text])
        name, address = found[0] if len(found) == 1 else ("", "")
        known = mailable(address) if text.isprintable() else None
        if known is None:
            raise SettingsError("configuration: REGENT_MAIL_FROM is no address such as `Regent <regent@example.com>`")
        return cls(name, known)

    @property
    def host(self) -> str:
        """The domain of the address."""
        return self.address.rpartition("@")[2]


def compose(texts: Texts, sender: Sender, mail_id: UUID, letter: Letter, now: datetime) -> EmailMessage:
    """Write a mail; its Message-ID is the same however often it is tried, so that receivers see one.

    Raises:
        BadMessageError: the recipient or the content does not make a mail.
    """
    recipient = mailable(letter.to)
    if recipient is None:
        raise BadMessageError("the address is not one that mail can be sent to")
    try:
        text = texts.render(letter.template, letter.values)
        message = EmailMessage(policy=SMTP)
        message["From"] = Address(sender.name, addr_spec=sender.address)
        message["To"] = Address(addr_spec=recipient)
        message["Subject"] = text.subject
        message["Date"] = format_datetime(now)
        message["Message-ID"] = f"<{mail_id}@{sender.host}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text.plain)
        message.add_alternative(text.html, subtype="html")
    except (TemplateError, KeyError, ValueError, IndexError) as error:
        raise BadMessageError(f"the template does not take its values: {type(error).__name__}") from error
    return message
