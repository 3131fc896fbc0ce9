"""Mail as a part of the running service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from libs.common.app import Runtime
from libs.common.database.pool import Database
from services.auth.mail.message import Sender
from services.auth.mail.outbox import Outbox
from services.auth.mail.sender import MailSender
from services.auth.mail.transport import MailServer
from services.auth.settings import Settings


@asynccontextmanager
async def mailing(runtime: Runtime, outbox: Outbox) -> AsyncIterator[None]:
    """Offer the outbox to the routes and send what it holds."""
    settings: Settings = runtime.settings
    server = MailServer.parse(settings.smtp_url.get_secret_value())
    sender = Sender.parse(settings.mail_from)
    url = settings.mailer_database_url.get_secret_value()
    async with Database.open(url, service="auth", role="mailer", size=2) as mailer:
        worker = MailSender(
            runtime.database, mailer, outbox, server, sender, retry=timedelta(seconds=settings.mail_retry_seconds)
        )
        runtime.extras["mail"] = outbox
        runtime.database.after_commit.append(worker.wake)
        runtime.spawn("mail", worker.run())
        runtime.spawn("mail-tidy", worker.tidy())
        yield


def require_mail_settings(settings: Settings) -> None:
    """Check what mail needs before anything is opened.

    Raises:
        SettingsError: says what is wrong.
    """
    MailServer.parse(settings.smtp_url.get_secret_value())
    Sender.parse(settings.mail_from)
