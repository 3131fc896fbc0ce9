"""How runs come to be, and with which versions."""

from datetime import date, timedelta
from uuid import UUID, uuid4

import orjson
import pytest

from libs.common.errors import Conflict, Invalid
from libs.common.tenancy import TenantSuspended
from services.runner.commands.claims import Claim
from services.runner.commands.creation import Order, create_run
from services.runner.commands.pinning import NotYetVisible
from services.runner.store import runs
from tests.runner.world import DAY, SCHEMA, World


def firing(world: World) -> dict[str, object]:
    return {
        "schedule_id": str(uuid4()),
        "firing_id": str(uuid4()),
        "report_id": str(world.report_id),
        "nominal_time": "2026-03-03T06:00:00Z",
        "business_date": DAY.isoformat(),
    }


async def only_run(world: World) -> UUID:
    async with world.database.transaction(world.context()) as tx:
        rows = await tx.connection.fetch("SELECT id FROM run")
    assert len(rows) == 1
    run_id: UUID = rows[0]["id"]
    return run_id


async def test_a_firing_said_twice_makes_one_run(world: World) -> None:
    """The run's id comes from schedule and nominal time, so twice is once (S1, S20)."""
    await world.setup()
    data = firing(world)
    for _ in range(2):
        await world.hear("scheduler.schedule.fired", data)
    run_id = await only_run(world)
    assert await world.attempt(run_id) == "validating"
    await world.hear("scheduler.schedule.fired", data)
    run = await world.run(await only_run(world))
    assert (run["trigger"], run["business_date"], run["report_version"]) == ("schedule", DAY, 1)


async def test_a_firing_whose_report_is_unknown_waits_for_it(world: World) -> None:
    """The run is `waiting` until the definitions arrive, then goes on by itself."""
    await world.hear("scheduler.schedule.fired", firing(world))
    run_id = await only_run(world)
    assert await world.attempt(run_id) == "waiting"
    await world.setup()
    assert await world.attempt(run_id) == "validating"
    names = [event["type"] for event in await world.events()]
    assert names[:3] == ["runner.run.waiting.v1", "runner.run.created.v1", "runner.run.queued.v1"]


async def test_a_wait_ends_after_ten_minutes(world: World) -> None:
    """What never becomes visible fails the run with that reason."""
    await world.hear("scheduler.schedule.fired", firing(world))
    run_id = await only_run(world)
    world.clock.ahead += timedelta(minutes=9)
    assert await world.attempt(run_id) == "waiting"
    world.clock.ahead += timedelta(minutes=2)
    assert await world.attempt(run_id) == "failed"
    assert (await world.run(run_id))["code"] == "definition-not-yet-visible"


async def test_a_suspended_tenant_starts_nothing(world: World) -> None:
    """Neither by hand nor by schedule, and its queued runs are not taken (S20)."""
    await world.setup()
    queued = await world.start()
    await tenant_is(world, "suspended")
    with pytest.raises(TenantSuspended):
        await world.start()
    await world.hear("scheduler.schedule.fired", firing(world))
    assert await only_run(world) == queued
    assert await world.attempt(queued) == "cancelled"


async def test_a_resumed_tenant_starts_again(world: World) -> None:
    """A suspension ends."""
    await world.setup()
    await tenant_is(world, "suspended")
    await tenant_is(world, "active")
    assert await world.attempt(await world.start()) == "validating"


async def tenant_is(world: World, status: str) -> None:
    world.clock.ahead += timedelta(seconds=1)
    verb = "suspended" if status == "suspended" else "resumed"
    await world.hear(f"auth.tenant.{verb}", {"tenant_id": str(world.tenant), "name": "t", "status": status})


async def test_versions_are_chosen_by_business_date(world: World) -> None:
    """A version in force from a later day is not used for an earlier one (design 4.2)."""
    await world.setup()
    run_id = await world.start()
    pins = {pin["kind"]: pin for pin in (await world.run(run_id))["pins"]}
    schema_id = UUID(pins["schema"]["id"])
    await world.publish("schema", SCHEMA, id_=schema_id, number=2, effective_from="2026-03-05")
    for day, number in ((date(2026, 3, 4), 1), (date(2026, 3, 5), 2)):
        later = await world.run(await world.start(business_date=day))
        assert [pin["number"] for pin in later["pins"] if pin["kind"] == "schema"] == [number]


async def test_what_is_published_later_does_not_change_a_run(world: World) -> None:
    """A version with an earlier date, published after the run was made, is not this run's (design 4.2)."""
    await world.setup()
    run_id = await world.start()
    before = (await world.run(run_id))["pins"]
    schema_id = UUID(next(pin["id"] for pin in before if pin["kind"] == "schema"))
    await world.publish("schema", SCHEMA, id_=schema_id, number=2, effective_from="2026-01-01")
    await world.attempt(run_id)
    assert (await world.run(run_id))["pins"] == before
    (asked,) = [e for e in await world.events() if e["type"] == "runner.validation.requested.v1"]
    assert asked["data"]["schema_version"]["number"] == 1


async def test_a_report_not_in_force_is_refused(world: World) -> None:
    """The refusal names the business date."""
    await world.setup()
    await world.publish("report", {}, id_=(later := uuid4()), effective_from="2027-01-01")
    world.report_id = later
    with pytest.raises(Invalid) as refused:
        await world.start()
    assert [problem.field for problem in refused.value.fields] == ["/business_date"]


async def test_an_unknown_report_is_not_yet_visible(world: World) -> None:
    """It may be on its way: the refusal is of its own kind."""
    with pytest.raises(NotYetVisible):
        await world.start()


async def test_an_archived_report_starts_only_what_was_scheduled(world: World) -> None:
    """No new runs by hand; schedules that exist keep running."""
    await world.setup()
    data = {"kind": "report", "id": str(world.report_id), "name": "trades"}
    await world.hear("catalog.report.archived", data)
    with pytest.raises(Conflict, match="archived"):
        await world.start()
    await world.hear("scheduler.schedule.fired", firing(world))
    assert await world.attempt(await only_run(world)) == "validating"


async def test_a_grant_is_signed_for_one_dataset_and_one_prefix(world: World) -> None:
    """The validator may read the extract and write below the run's step, until the grant expires."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    (event,) = [e for e in await world.events() if e["type"] == "runner.validation.requested.v1"]
    grant = event["data"]["grant"]
    assert [item["key"] for item in grant["reads"]] == [event["data"]["dataset"]["key"]]
    assert grant["writes"] == f"{world.tenant}/runs/{run_id}/validate/"
    async with world.database.transaction(world.context()) as tx:
        assert await runs.unended(tx, "validating") == [run_id]


async def test_a_run_waits_for_the_version_that_was_just_published(world: World) -> None:
    """`at_least` says what must be known: without it a run may begin a moment before the news, with the old version."""
    await world.setup()
    asked = Order(world.report_id, DAY, at_least={world.report_id: 2})
    async with world.database.transaction(world.context()) as tx:
        with pytest.raises(NotYetVisible):
            await create_run(tx, world.library, asked)
    async with world.database.transaction(world.context()) as tx:
        row = await tx.connection.fetchrow("SELECT * FROM known_definition WHERE id = $1", world.report_id)
    body = await world.objects.get(row["object_key"], row["sha256"])
    await world.publish("report", orjson.loads(body)["spec"], id_=world.report_id, number=2)
    async with world.database.transaction(world.context()) as tx:
        assert (await create_run(tx, world.library, asked))["report_version"] == 2


async def created_and_taken(world: World, *, fails: bool = False) -> Claim:
    async with world.database.transaction(world.context()) as tx:
        run = await create_run(tx, world.library, Order(world.report_id, DAY))
        claim = await world.executor.take(tx, {"run_id": str(run["id"])})
        assert tx.context.actor == "user:1"
        if fails:
            raise ZeroDivisionError
    assert claim is not None
    return claim


async def test_a_worker_takes_a_run_in_the_commit_that_creates_it(world: World) -> None:
    """One commit creates, queues and starts it; who asked created it, the runner started it. A rollback leaves nothing."""
    await world.setup()
    with pytest.raises(ZeroDivisionError):
        await created_and_taken(world, fails=True)
    assert await world.events() == []
    claim = await created_and_taken(world)
    assert [(event["type"], event["actor"]) for event in await world.events()] == [
        ("runner.run.created.v1", "user:1"),
        ("runner.run.queued.v1", "user:1"),
        ("runner.run.started.v1", "service:runner"),
    ]
    assert await world.attempt(claim.run_id) == "running"
    await world.executor.work(claim)
    assert await world.status(claim.run_id) == "validating"


async def test_a_run_that_was_taken_by_a_worker_that_stops_goes_back(world: World) -> None:
    """What was taken in a commit and cannot be begun any more is anybody's at once."""
    await world.setup()
    claim = await created_and_taken(world)
    await world.executor.close()
    await world.executor.work(claim)
    assert await world.status(claim.run_id) == "queued"
    assert await world.attempt(claim.run_id, world.make_executor()) == "validating"
