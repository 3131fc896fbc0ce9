"""A process that dies between the mail server's answer and its own note: one mail more at most, and never one less (S2)."""

from datetime import timedelta
from typing import Any

import pytest

from libs.common.context import Context, utc_now
from libs.common.ids import SYSTEM_TENANT
from services.auth.mail.outbox import Letter
from services.auth.mail.sender import Claim, MailSender
from tests.auth.mailbox import Mailbox
from tests.auth.test_mail_outbox import VALUES, second_sender, settled, somebody
from tests.auth.world import World


class Died(BaseException):
    """Stands for the end of the process: nothing of it catches this."""


async def test_a_sender_that_dies_after_sending_sends_once_more(
    world: World, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one sends it again under the same Message-ID, notes it, and nobody sends it a third time."""
    to, settle = somebody(), MailSender._settle
    async with second_sender(world, mailbox) as other:

        async def dies(self: MailSender, claim: Claim, *given: Any) -> None:
            if self is other:
                raise Died
            await settle(self, claim, *given)

        async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test")) as tx:
            id_ = await world.runtime.extras["mail"].queue(tx, Letter("reset", to, VALUES))
            soon = utc_now() + timedelta(minutes=3)  # so that the service's own sender leaves it alone
            await tx.connection.execute("UPDATE mail SET due_at = $2 WHERE id = $1", id_, soon)
        monkeypatch.setattr(MailSender, "_settle", dies)
        first = await other.claim(utc_now() + timedelta(minutes=4))
        assert first is not None
        with pytest.raises(Died):
            await other.process(first)
        monkeypatch.undo()
        assert len(mailbox.to(to)) == 1
        assert await other.claim(utc_now() + timedelta(minutes=5)) is None  # whoever died still holds it
        second = await other.claim(utc_now() + timedelta(minutes=8))
        assert second is not None
        await other.process(second)
        assert await other.claim(utc_now() + timedelta(hours=2)) is None
    assert (await settled(world, id_))["state"] == "sent"
    assert [mail.message["Message-ID"] for mail in mailbox.to(to)] == [f"<{id_}@regent.test>"] * 2
