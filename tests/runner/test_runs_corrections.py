"""Corrections: some records of a run again, once, with artifacts of their own."""

from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.definitions.copies import Pinned
from libs.common.errors import Conflict
from services.runner.commands.correcting import NoSuchRun, correction_of
from services.runner.commands.rerunning import rerun
from services.runner.records.answer import RecordReader
from services.runner.records.composing import Question
from tests.runner.world import DAY, World


async def asked(world: World, parent: UUID, ordinals: list[int], **more: Any) -> UUID:
    """Ask for a correction of some records, as the validator does; returns its run's id."""
    resubmission, path = uuid4(), world.home / f"{uuid4()}.parquet"
    pq.write_table(pa.table({"_ordinal": pa.array(ordinals, pa.int64())}), path)
    sealed = await world.objects.put_file(f"{world.tenant}/resubmissions/{resubmission}.parquet", path)
    run_id = correction_of(world.tenant, resubmission)
    data = {
        "resubmission_id": resubmission, "run_id": parent, "correction_run_id": run_id, "report_id": world.report_id,
        "business_date": DAY, "records": len(ordinals), "versions": "pinned",
        "ordinals": {"key": more.pop("records_key", sealed.key), "sha256": sealed.sha256, "size": sealed.size}, **more,
    }  # fmt: skip
    for _ in range(2):
        await world.hear("validator.resubmission.requested", data)
    return run_id


async def through(world: World, run_id: UUID, **verdict: Any) -> str:
    """Bring a correction to its end."""
    assert await world.attempt(run_id) == "validating"
    await world.verdict(run_id, **verdict)
    return await world.attempt(run_id)


async def test_a_correction_delivers_exactly_its_records(world: World) -> None:
    """Its extract is taken from its parent's, its file lies beside the parent's, its balance is its own (S20)."""
    await world.setup()
    parent = await world.run_through(held=[3])
    run_id = await asked(world, parent, [3])
    assert await through(world, run_id) == "succeeded"
    seen = await world.read(run_id)
    assert (seen["run"]["kind"], seen["run"]["trigger"], seen["run"]["parent_id"]) == (
        "correction",
        "correction",
        parent,
    )
    assert (seen["run"]["records_in"], seen["run"]["records_out"]) == (1, 1)
    first, second = world.delivered()
    assert (first, second) == (f"trades-{DAY}.correction-{run_id.hex[:8]}.csv", f"trades-{DAY}.csv")
    assert (world.home / "out" / "reports" / first).read_text() == "id,amount\n3,-5\n"
    assert (world.home / "out" / "reports" / second).read_text() == "id,amount\n1,10\n2,20\n"
    (ended,) = [e["data"] for e in await world.events() if e["type"] == "runner.run.succeeded.v1"]
    assert (ended["parent_id"], ended["delivered"], ended["not_out"]) == (str(parent), True, None)


async def test_the_record_question_answers_with_the_correction(world: World) -> None:
    """A held record of the parent is sent by the correction, under its old ordinal; one that nobody sent again stays held."""
    await world.setup()
    parent = await world.run_through(held=[2, 3])
    sent = await asked(world, parent, [3])
    assert await through(world, sent) == "succeeded"
    reader = RecordReader(world.database, world.objects, world.jobs, world.home)
    answers = [await reader.answer(world.context(), Question(world.report_id, DAY, key)) for key in ("1", "3", "2")]
    assert [(one["run"]["id"], one["disposition"]) for one in answers] == [
        (parent, "sent"), (parent, "sent"), (parent, "held"),
    ]  # fmt: skip
    assert answers[0]["corrections"] == []
    assert answers[1]["corrections"] == [sent]
    assert [(one["ordinal"], one["run_id"]) for one in answers[1]["records"]] == [(3, sent)]


async def test_a_correction_that_cannot_be_is_there_as_failed(world: World) -> None:
    """Nobody waits forever: of a run that reported nothing there is a failed correction with the reason."""
    await world.setup()
    parent = await world.start()
    assert await world.attempt(parent) == "validating"
    await world.hear("auth.tenant.suspended", {"tenant_id": world.tenant, "name": "x", "status": "suspended"})
    run_id = await asked(world, parent, [1])
    run = await world.run(run_id)
    assert (run["status"], run["code"]) == ("failed", "tenant-suspended")


async def test_foreign_runs_and_lists_are_refused(world: World) -> None:
    """A request that names no run of the tenant's, or another tenant's file, is a dead letter."""
    await world.setup()
    parent = await world.run_through()
    with pytest.raises(NoSuchRun):
        await asked(world, uuid4(), [1])
    with pytest.raises(NoSuchRun):
        await asked(world, parent, [1], records_key=f"{uuid4()}/x.parquet")


async def test_records_that_the_extract_lacks_fail_the_correction(world: World) -> None:
    """A list that names a place beyond the extract is not answered with fewer records."""
    await world.setup()
    parent = await world.run_through(held=[3])
    run_id = await asked(world, parent, [3, 9])
    assert await world.attempt(run_id) == "failed"
    assert (await world.run(run_id))["code"] == "records-missing"


async def test_a_correction_is_not_repeated_as_a_report(world: World) -> None:
    """Who wants the records once more resubmits them."""
    await world.setup()
    parent = await world.run_through(held=[3])
    run_id = await asked(world, parent, [3])
    await through(world, run_id)
    with pytest.raises(Conflict):
        async with world.database.transaction(world.context()) as tx:
            await rerun(tx, world.library, run_id, "pinned")


async def test_versions_in_force_now_are_pinned_anew(world: World) -> None:
    """A correction after a mended mapping uses what is in force, not what its parent used."""
    await world.setup()
    parent = await world.run_through(held=[3])
    await world.publish("report", await _renamed(world), id_=world.report_id, number=2, name="trades")
    run_id = await asked(world, parent, [3], versions="latest")
    assert await through(world, run_id) == "succeeded"
    assert (await world.run(run_id))["report_version"] == 2


async def _renamed(world: World) -> Any:
    run = await world.run(await world.start())
    spec = await world.library._sealed.read(Pinned.from_json(run["pins"][0]))
    return {**spec, "outputs": [{"format": "csv", "name": "again-{business_date}.csv"}]}
