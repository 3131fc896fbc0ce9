"""Mail leaves once, whatever happens on the way; one bad mail holds up no other (S2, S41)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.ids import SYSTEM_TENANT
from services.auth import operator
from services.auth.mail.message import Sender
from services.auth.mail.outbox import Letter, Outbox
from services.auth.mail.sender import MOST_ATTEMPTS, MailSender, delay
from services.auth.mail.transport import MailServer
from services.auth.store import mails
from tests.auth.mailbox import Mailbox
from tests.auth.world import Tenant, World

VALUES = {"link": "https://regent.test/account/reset#pw_token", "valid": "1 hour"}


def somebody() -> str:
    return f"mail-{uuid4().hex[:12]}@example.com"


async def queue(
    world: World, to: str, tenant: UUID = SYSTEM_TENANT, valid: timedelta | None = None, **changed: Any
) -> UUID:
    """Write a mail as a flow does."""
    outbox: Outbox = world.runtime.extras["mail"]
    letter = Letter("reset", to, VALUES)
    async with world.runtime.database.transaction(Context(tenant, "user:test")) as tx:
        return await outbox.queue(tx, letter, valid=valid, **changed)


async def row(world: World, id_: UUID, tenant: UUID = SYSTEM_TENANT) -> Any:
    async with world.runtime.database.transaction(Context(tenant, "user:test")) as tx:
        return await tx.connection.fetchrow("SELECT * FROM mail WHERE id = $1", id_)


async def settled(world: World, id_: UUID, tenant: UUID = SYSTEM_TENANT) -> Any:
    """Return a mail's row once it is sent or dead."""
    for _ in range(500):
        found = await row(world, id_, tenant)
        if found["state"] != "waiting":
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(dict(found))


@asynccontextmanager
async def second_sender(world: World, mailbox: Mailbox) -> AsyncIterator[MailSender]:
    """Yield a sender of another process, which does nothing by itself."""
    async with Database.open(world.databases["auth_mailer"], service="auth", role="mailer", size=1) as mailer:
        yield MailSender(
            world.runtime.database,
            mailer,
            world.runtime.extras["mail"],
            MailServer.parse(mailbox.url),
            Sender.parse("Regent <regent@regent.test>"),
            retry=timedelta(seconds=1),
        )


async def test_a_mail_arrives_in_text_and_html(world: World, mailbox: Mailbox) -> None:
    """S41: what arrives is a whole mail from the configured sender, and the text that was sent is forgotten."""
    to = somebody()
    id_ = await queue(world, to)
    (mail,) = await mailbox.wait(to)
    assert mail.message["From"] == "Regent <regent@regent.test>"
    assert mail.message["To"] == to
    assert mail.message["Message-ID"] == f"<{id_}@regent.test>"
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert VALUES["link"] in mail.plain
    assert f'href="{VALUES["link"]}"' in mail.html
    found = await settled(world, id_)
    assert (found["state"], found["sealed"], found["attempts"]) == ("sent", None, 1)


async def test_nothing_is_sent_for_what_was_not_committed(world: World, mailbox: Mailbox) -> None:
    """S2: the mail is written with its cause, so a rolled-back change sends nothing."""
    to, outbox = somebody(), world.runtime.extras["mail"]

    async def fail() -> None:
        async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test")) as tx:
            await outbox.queue(tx, Letter("reset", to, VALUES))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    after = somebody()
    await queue(world, after)
    await mailbox.wait(after)
    assert mailbox.to(to) == []


async def test_a_void_mail_is_never_sent(world: World, mailbox: Mailbox) -> None:
    """S2: what stands in for a mail to nobody is written and stays."""
    to = somebody()
    id_ = await queue(world, to, void=True)
    after = somebody()
    await queue(world, after)
    await mailbox.wait(after)
    assert (await row(world, id_))["state"] == "void"
    assert mailbox.to(to) == []


async def test_a_dump_shows_neither_link_nor_address(world: World) -> None:
    """S8: what waits is sealed; nothing usable stands in the table."""
    to = somebody()
    id_ = await queue(world, to, void=True)
    text = str(dict(await row(world, id_))).encode() + (await row(world, id_))["sealed"]
    assert b"pw_token" not in text
    assert to.encode() not in text


async def test_a_busy_server_is_tried_again(world: World, mailbox: Mailbox) -> None:
    """S2: a temporary answer postpones the mail; it arrives once."""
    to = somebody()
    mailbox.answers[to] = ["451 4.7.1 later", "451 4.7.1 later", "250 ok"]
    found = await settled(world, await queue(world, to))
    assert (found["state"], found["attempts"]) == ("sent", 3)
    assert len(mailbox.to(to)) == 1


async def test_a_refused_mail_is_dead_at_once(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S2: a permanent answer ends the tries: reason kept, event said, address in neither."""
    to = somebody()
    mailbox.answers[to] = [f"550 5.1.1 no such user {to}"]
    id_ = await queue(world, to, tenant.id)
    found = await settled(world, id_, tenant.id)
    assert (found["state"], found["attempts"]) == ("dead", 1)
    assert found["reason"] == "the mail server answered 550 5.1.1"
    said = [event for event in await world.outbox(tenant.id) if event["type"] == "auth.mail.dead.v1"]
    assert [event["data"]["mail_id"] for event in said] == [str(id_)]
    assert to not in str(said)
    assert mailbox.tries.count(to) == 1


async def test_a_bad_mail_blocks_no_other(world: World, mailbox: Mailbox) -> None:
    """S2: addresses that cannot be written into a header die; the mails around them arrive."""
    good = [somebody() for _ in range(3)]
    bad = ["x@example.com\r\nBcc: victim@example.com", "a,b@example.com", "<a>@example.com", "nobody", "a@b..c"]
    ids = [await queue(world, to) for to in bad]
    for to in good:
        await queue(world, to)
    for to in good:
        await mailbox.wait(to)
    states = [(await settled(world, id_))["state"] for id_ in ids]
    assert states == ["dead"] * len(bad)
    assert mailbox.to("victim@example.com") == []


async def test_a_mail_that_cannot_be_opened_dies_alone(world: World, mailbox: Mailbox) -> None:
    """S2: a row that was altered or moved is dead, and names no content."""
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test")) as tx:
        await mails.add(tx, (bad := uuid4()), "reset", b"\x01nonsense", None, void=False)
    to = somebody()
    await queue(world, to)
    await mailbox.wait(to)
    assert (await settled(world, bad))["state"] == "dead"


async def test_a_stale_link_is_not_sent(world: World, mailbox: Mailbox) -> None:
    """A mail whose link is dead by now would only confuse: it is given up."""
    to = somebody()
    found = await settled(world, await queue(world, to, valid=timedelta(seconds=-1)))
    assert (found["state"], found["reason"]) == ("dead", "what it links to has expired")
    assert mailbox.to(to) == []


async def test_a_mail_survives_the_death_of_its_sender(world: World, mailbox: Mailbox) -> None:
    """S2: what a process had claimed when it died is sent by another when the lease is over, once."""
    to = somebody()
    async with second_sender(world, mailbox) as other:
        async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test")) as tx:
            id_ = await world.runtime.extras["mail"].queue(tx, Letter("reset", to, VALUES))
            ours = utc_now() + timedelta(minutes=3)
            await tx.connection.execute("UPDATE mail SET attempts = 1, due_at = $2 WHERE id = $1", id_, ours)
        assert await other.claim(utc_now()) is None
        claim = await other.claim(utc_now() + timedelta(minutes=4))
        assert claim is not None
        await asyncio.gather(other.process(claim), other.process(claim))
    found = await settled(world, id_)
    assert (found["state"], found["attempts"]) == ("sent", 2)
    assert {mail.message["Message-ID"] for mail in mailbox.to(to)} == {f"<{id_}@regent.test>"}


async def test_a_late_sender_changes_nothing(world: World, mailbox: Mailbox) -> None:
    """Who lost the claim while it slept neither sends nor settles."""
    to = somebody()
    async with second_sender(world, mailbox) as other:
        async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test")) as tx:
            id_ = await world.runtime.extras["mail"].queue(tx, Letter("reset", to, VALUES))
            later = utc_now() + timedelta(minutes=3)
            await tx.connection.execute("UPDATE mail SET attempts = 1, due_at = $2 WHERE id = $1", id_, later)
        first = await other.claim(utc_now() + timedelta(minutes=4))
        second = await other.claim(utc_now() + timedelta(minutes=8))
        assert first is not None
        assert second is not None
        await other.process(first)
        assert mailbox.to(to) == []
        await other.process(second)
    assert len(mailbox.to(to)) == 1


async def test_two_senders_never_take_the_same(world: World, mailbox: Mailbox) -> None:
    """S2: twenty mails and several claimers at once: each mail arrives once."""
    addresses = [somebody() for _ in range(20)]
    async with second_sender(world, mailbox) as other:
        for to in addresses:
            await queue(world, to)

        async def work() -> None:
            while (claim := await other.claim(utc_now())) is not None:
                await other.process(claim)

        await asyncio.gather(work(), work())
        for to in addresses:
            assert len(await mailbox.wait(to)) == 1


async def test_a_mail_that_never_ends_a_try_is_given_up(world: World, mailbox: Mailbox) -> None:
    """S2: what kills its sender again and again is dead after the last try."""
    to = somebody()
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test")) as tx:
        id_ = await world.runtime.extras["mail"].queue(tx, Letter("reset", to, VALUES))
        await tx.connection.execute("UPDATE mail SET attempts = $2 WHERE id = $1", id_, MOST_ATTEMPTS)
    assert (await settled(world, id_))["state"] == "dead"
    assert mailbox.to(to) == []


async def test_an_operator_has_a_dead_mail_tried_again(world: World, tenant: Tenant, mailbox: Mailbox) -> None:
    """S2: dead mail is listed without its content, and sent when the operator says so."""
    to = somebody()
    mailbox.answers[to] = ["550 5.2.1 disabled", "250 ok"]
    id_ = await queue(world, to, tenant.id)
    await settled(world, id_, tenant.id)
    async with (
        Database.open(world.databases["auth_mailer"], service="auth", role="mailer", size=1) as mailer,
        mailer.connection() as connection,
    ):
        (listed,) = [each for each in await mails.listing(connection, "dead", 1000) if each["id"] == id_]
    assert (listed["tenant_id"], listed["template"]) == (tenant.id, "reset")
    assert to not in str(listed)
    await operator.retry_mail(world.runtime.database, utc_now(), tenant.id, id_)
    assert len(await mailbox.wait(to)) == 1


async def test_the_mailer_reads_no_text(world: World) -> None:
    """The role that claims across tenants sees no sealed text and no other table (S37)."""
    connection = await asyncpg.connect(world.databases["auth_mailer"], server_settings={"search_path": "auth"})
    try:
        for statement in (
            "SELECT sealed FROM mail",
            "UPDATE mail SET state = 'sent'",
            "SELECT FROM identity",
            "SELECT FROM data_key",
            "INSERT INTO mail (id) VALUES (gen_random_uuid())",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_settled_mail_is_forgotten_after_a_week(world: World, mailbox: Mailbox) -> None:
    """Nothing about who got which mail is kept for ever."""
    old, recent = await queue(world, somebody(), void=True), await queue(world, somebody(), void=True)
    async with world.runtime.database.transaction(Context(SYSTEM_TENANT, "user:test")) as tx:
        await tx.connection.execute("UPDATE mail SET settled_at = $2 WHERE id = $1", old, utc_now() - timedelta(days=8))
    connection = await asyncpg.connect(world.databases["auth_mailer"], server_settings={"search_path": "auth"})
    await mails.forget(connection, utc_now() - timedelta(days=7))
    await connection.close()
    assert await row(world, old) is None
    assert await row(world, recent) is not None


def test_tries_grow_apart() -> None:
    """Each try waits three times as long as the one before, up to an hour."""
    waits = [delay(timedelta(seconds=10), attempts).total_seconds() for attempts in (1, 2, 3, 6, 7, 50)]
    assert waits == [10, 30, 90, 2430, 3600, 3600]
