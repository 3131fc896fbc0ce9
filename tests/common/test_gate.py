"""Between a draft and its publication: policies, backtests, a second person, against a real PostgreSQL (S3)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from libs.common.database.pool import Database
from libs.common.definitions import gate, policies, proposals, store
from libs.common.definitions.gate import Decision
from libs.common.errors import Conflict, Forbidden, PreconditionFailed
from libs.common.vocabulary.policies import PublicationPolicy
from services.catalog.commands import set_policy
from tests.common.office import MAKER, OTHER, SCHEMA, Office, spec


@pytest.fixture
async def office(databases: dict[str, str], tmp_path: Path) -> AsyncIterator[Office]:
    async with Database.open(databases["catalog_server"], service="catalog", size=4) as database:
        yield Office(database, tmp_path, databases)


async def test_without_a_policy_a_draft_is_published_at_once(office: Office) -> None:
    """Nothing is asked unless the tenant asks it."""
    id_ = await office.drafted()
    assert await office.publish(id_)
    assert (await office.seen(id_))[1] is None
    assert await office.events() == ["created", "published"]


async def test_another_person_approves_and_the_sealed_draft_is_the_version(office: Office) -> None:
    """`proposed → approved by another → published`: the object whose hash was looked at is the version."""
    await office.asks(require_approval=["schema"])
    id_ = await office.drafted()
    assert not await office.publish(id_, since=date(2026, 4, 1))
    assert await office.status(id_) == (0, "proposed")
    _, last = await office.seen(id_)
    await office.approve(id_, sha256=last["sha256"])
    assert await office.status(id_) == (1, "published")
    async with office.by(MAKER) as tx:
        version = await store.version_of(tx, id_, 1)
    assert (version["sha256"], version["effective_from"], version["published_by"]) == (
        last["sha256"], date(2026, 4, 1), MAKER,
    )  # fmt: skip
    assert orjson.loads(await office.definitions.objects.get(version["object_key"], version["sha256"]))["number"] == 1
    assert await office.events() == ["changed", "created", "proposed", "approved", "published"]


@pytest.mark.parametrize(
    ("actor", "owner"),
    [(MAKER, None), ("client:9", MAKER), ("user:3", None), ("client:8", "user:3")],
    ids=["the proposer", "a client of the proposer's", "who edited it", "a client of who edited it"],
)
async def test_no_maker_is_its_checker(office: Office, actor: str, owner: str | None) -> None:
    """Whoever made the draft, changed it or proposed it does not approve it, by whichever client."""
    await office.asks(require_approval=["schema"])
    id_ = await office.drafted()
    await office.edit(id_, "user:3", "amount")
    await office.publish(id_)
    with pytest.raises(Forbidden):
        await office.approve(id_, actor, owner=owner)
    assert await office.status(id_) == (0, "proposed")


async def test_makers_are_those_of_the_draft_only(office: Office) -> None:
    """Who made an earlier version may approve the next one that another made."""
    id_ = await office.drafted()
    await office.publish(id_)
    await office.asks(require_approval=["schema"])
    await office.edit(id_, OTHER, "amount")
    await office.publish(id_, OTHER)
    await office.approve(id_, MAKER)
    assert await office.status(id_) == (2, "published")


async def test_a_change_ends_what_was_proposed(office: Office) -> None:
    """What was approved is bound to its hash: another draft has to be proposed anew."""
    await office.asks(require_approval=["schema"])
    id_ = await office.drafted()
    await office.publish(id_)
    _, looked_at = await office.seen(id_)
    await office.edit(id_, MAKER, "amount")
    assert await office.status(id_) == (0, "withdrawn")
    with pytest.raises(Conflict, match="Nothing is proposed"):
        await office.approve(id_)
    await office.publish(id_)
    with pytest.raises(Conflict, match="Something else is proposed"):
        await office.approve(id_, sha256=looked_at["sha256"])
    await office.approve(id_)
    assert await office.status(id_) == (1, "published")


async def test_a_proposal_is_made_once_and_can_be_taken_back_or_refused(office: Office) -> None:
    """Proposing again is refused; after withdrawal or refusal the draft is still there to be proposed."""
    await office.asks(require_approval=["schema"])
    id_ = await office.drafted()
    await office.publish(id_)
    with pytest.raises(Conflict, match="already"):
        await office.publish(id_)
    async with office.by(MAKER) as tx:
        await gate.withdraw(tx, SCHEMA, id_, "not yet")
    assert await office.status(id_) == (0, "withdrawn")
    await office.publish(id_)
    async with office.by(OTHER) as tx:
        await gate.reject(tx, SCHEMA, id_, Decision("no"))
    _, last = await office.seen(id_)
    assert (last["status"], last["decided_by"], last["comment"]) == ("rejected", OTHER, "no")
    await office.publish(id_)
    async with office.by(MAKER) as tx:
        with pytest.raises(Forbidden):
            await gate.reject(tx, SCHEMA, id_, Decision())


async def test_a_proposal_gets_too_old(office: Office) -> None:
    """Thirty days, by the clock of the request; then it has to be made again."""
    await office.asks(require_approval=["schema"])
    id_ = await office.drafted()
    await office.publish(id_)
    with pytest.raises(Conflict, match="too old"):
        await office.approve(id_, after=timedelta(days=30))
    shown = [(await office.seen(id_, timedelta(days=days)))[1]["status"] for days in (29, 30)]
    assert shown == ["proposed", "expired"], "though nobody has touched it"
    async with office.by(MAKER) as tx:
        for days, found in ((29, [id_]), (30, [])):
            query = proposals.waiting("proposed", tx.context.now + timedelta(days=days))
            assert [row["definition_id"] for row in await tx.rows(query)] == found
    assert not await office.publish(id_, after=timedelta(days=30))
    assert (await office.events())[-2:] == ["expired", "proposed"]
    await office.approve(id_, after=timedelta(days=59))
    assert await office.status(id_) == (1, "published")


async def test_a_backtest_publishes_what_it_tried(office: Office) -> None:
    """The draft waits for its backtest and is published with it; what was found is kept with the proposal."""
    await office.asks(require_backtest=["schema"])
    id_ = await office.drafted()
    await office.publish(id_)
    assert await office.status(id_) == (0, "awaiting_backtest")
    await office.completed(id_)
    await office.completed(id_)
    _, last = await office.seen(id_)
    assert (await office.status(id_), last["backtest"]["newly_failing"]) == ((1, "published"), 2)
    assert await office.events() == ["changed", "created", "proposed", "backtested", "published"]


async def test_both_gates_stand_one_after_the_other(office: Office) -> None:
    """Nobody approves before the backtest is over."""
    await office.asks(require_backtest=["schema"], require_approval=["schema"])
    id_ = await office.drafted()
    await office.publish(id_)
    with pytest.raises(Conflict, match="still being tried"):
        await office.approve(id_)
    await office.completed(id_)
    assert await office.status(id_) == (0, "proposed")
    await office.approve(id_)
    assert await office.status(id_) == (1, "published")


@pytest.mark.parametrize(
    ("more", "comment"),
    [
        ({"failed": 1}, "1 of 3 replays did not come to their end: see /v1/backtests/"),
        ({"counts": {"newly_failing": 6}}, "6 records fail newly"),
    ],
)
async def test_a_bad_backtest_sends_the_draft_back(office: Office, more: dict[str, Any], comment: str) -> None:
    """A replay that fails, or more newly failing records than the policy allows: rejected, with the reason."""
    await office.asks(require_backtest=["schema"], most_newly_failing=5)
    id_ = await office.drafted()
    await office.publish(id_)
    await office.completed(id_, **more)
    _, last = await office.seen(id_)
    assert (await office.status(id_), last["comment"].startswith(comment)) == ((0, "rejected"), True)


@pytest.mark.parametrize(
    "change",
    [
        {"proposal_id": None},
        {"proposal_id": str(UUID(int=7, version=4))},
        {"draft": {"sha256": "other"}},
        {"draft": {"kind": "rule"}},
    ],
)
async def test_another_backtest_publishes_nothing(office: Office, change: dict[str, Any]) -> None:
    """Only the backtest of this very draft counts."""
    await office.asks(require_backtest=["schema"])
    id_ = await office.drafted()
    await office.publish(id_)
    _, last = await office.seen(id_)
    draft = {"kind": "schema", "id": str(id_), "number": 1, "key": "k", "sha256": last["sha256"]}
    told = {**change, "draft": {**draft, **change.get("draft", {})}}
    await office.completed(id_, **told)
    assert await office.status(id_) == (0, "awaiting_backtest")


async def test_a_backtest_that_comes_late_publishes_nothing(office: Office) -> None:
    """Neither after the draft changed, nor after the proposal expired."""
    await office.asks(require_backtest=["schema"])
    id_ = await office.drafted()
    await office.publish(id_)
    await office.completed(id_, after=timedelta(days=31))
    assert await office.status(id_) == (0, "expired")


async def test_what_is_archived_is_proposed_no_more(office: Office) -> None:
    """An archived definition's proposal ends with it; a deleted draft's too."""
    id_ = await office.drafted()
    await office.publish(id_)
    await office.asks(require_approval=["schema"])
    await office.edit(id_, MAKER, "amount")
    await office.publish(id_)
    async with office.by(MAKER) as tx:
        await office.definitions.archive(tx, SCHEMA, id_)
    assert await office.status(id_) == (1, "withdrawn")
    async with office.by(MAKER) as tx:
        new = await office.definitions.create(tx, SCHEMA, "other", spec())
        await office.definitions.publish(tx, SCHEMA, new, None)
        await office.definitions.delete(tx, SCHEMA, new)


async def test_a_policy_changes_against_its_revision_and_copies_follow(office: Office) -> None:
    """Two who change it at once: one is told; a copy takes the newest, in whatever order it hears."""
    await office.asks(require_approval=["schema"])
    async with office.by(OTHER) as tx:
        with pytest.raises(PreconditionFailed):
            await set_policy(tx, 0, PublicationPolicy())
    async with office.by("service:validator") as tx:
        await policies.keep_policy(tx, PublicationPolicy(expires_days=7), 5, "user:9")
        await policies.keep_policy(tx, PublicationPolicy(expires_days=8), 4, "user:9")
        assert (await policies.policy_of(tx)).expires_days == 7


async def test_another_tenants_policy_and_proposals_are_not_seen(office: Office) -> None:
    """Each tenant asks its own."""
    await office.asks(require_approval=["schema"])
    id_ = await office.drafted()
    await office.publish(id_)
    office.context = replace(office.context, tenant_id=uuid4())
    async with office.by(MAKER) as tx:
        assert await policies.policy_of(tx) == PublicationPolicy()
        assert not await proposals.of(tx, id_, most=5)
