"""Of a small extract a draft of what follows is made at once; it counts only where the verdict finds nothing (S13)."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.common.objects import Sealed
from services.runner.engines.drafts import LARGEST
from tests.runner.test_runs_cancel import cancel
from tests.runner.world import SOURCE, World

_FIELDS = [{"field": "id", "expression": "id"}, {"field": "amount", "expression": "amount"}]
_FORMATS = ({"format": "csv"}, {"format": "parquet", "name": "{report}-{business_date}.parquet"})


async def _ended(world: World, run_id: UUID) -> dict[str, Any]:
    assert await world.attempt(run_id) in ("succeeded", "partial")
    return await world.read(run_id)


def _attempts(found: dict[str, Any]) -> set[str]:
    """Return the attempts under whose names the outputs of transform and render lie: the first one's are drafted."""
    keys = [one["key"] for step in ("transform", "render") for one in found["steps"][step]["outputs"].values()]
    return {key.split("/")[-2] for key in [*keys, *(row["object_key"] for row in found["artifacts"])]}


def _contents(found: dict[str, Any]) -> list[str]:
    return [found["steps"]["transform"]["outputs"]["records"]["sha256"], *(row["sha256"] for row in found["artifacts"])]


def _objects(world: World, run_id: UUID) -> set[str]:
    home = world.home / "objects"
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and str(run_id) in str(path)}


def _referred(found: dict[str, Any]) -> set[str]:
    sealed = [one["key"] for row in found["steps"].values() for one in row["outputs"].values()]
    return {*sealed, *(row["object_key"] for row in found["artifacts"])}


async def test_a_draft_of_clean_records_is_taken_up(world: World) -> None:
    """What was made of the extract before the verdict is what goes out, and is what another worker makes."""
    await world.setup(outputs=_FORMATS)
    drafted, made = [await world.start() for _ in range(2)]
    for run_id in (drafted, made):
        assert await world.attempt(run_id) == "validating"
        await world.verdict(run_id)
    first = await _ended(world, drafted)
    world.executor = world.make_executor()
    second = await _ended(world, made)
    assert _attempts(first) == {"1"}
    assert _attempts(second) == {"2"}
    assert _contents(first) == _contents(second)
    assert first["ledger"] == second["ledger"]
    assert _objects(world, drafted) == _referred(first)


async def test_a_draft_is_left_where_records_are_held(world: World) -> None:
    """A verdict that holds a record has all made anew; nothing of the draft comes to the object store."""
    await world.setup(outputs=_FORMATS)
    run_id = await world.start()
    assert await world.attempt(run_id) == "validating"
    await world.verdict(run_id, held=[2])
    found = await _ended(world, run_id)
    assert _attempts(found) == {"2"}
    assert found["ledger"]["transform"].records_out == found["ledger"]["extract"].records_out - 1
    assert _objects(world, run_id) == _referred(found)


async def test_a_draft_knows_filters(world: World) -> None:
    """Records that a filter leaves out are in the ledger, and in the file of what did not go out, drafted or not."""
    await world.setup(transform={"fields": _FIELDS, "where": "id != '2'"})
    run_id = await world.start()
    assert await world.attempt(run_id) == "validating"
    await world.verdict(run_id)
    found = await _ended(world, run_id)
    assert _attempts(found) == {"1"}
    assert found["ledger"]["transform"].filtered == 1
    assert "records" in found["steps"]["render"]["outputs"]
    assert _objects(world, run_id) == _referred(found)


async def test_a_draft_looks_things_up_as_the_step_does(world: World) -> None:
    """A mapping is laid out in the extract's own child; another worker lays it out for itself, and makes the same."""
    entries = [{"key": "1", "values": {"name": "one"}}, {"key": "2", "values": {"name": "two"}}]
    mapping = await world.publish("mapping", {"columns": ["name"], "entries": entries})
    fields = [{"field": "id", "expression": "coalesce(lookup('names', id, 'name'), id)"}, _FIELDS[1]]
    await world.setup(transform={"fields": fields}, mappings={"names": str(mapping)})
    drafted, made = [await world.start() for _ in range(2)]
    for run_id in (drafted, made):
        assert await world.attempt(run_id) == "validating"
        await world.verdict(run_id)
    first = await _ended(world, drafted)
    world.executor = world.make_executor()
    second = await _ended(world, made)
    assert (_attempts(first), _attempts(second)) == ({"1"}, {"2"})
    assert _contents(first) == _contents(second)


async def test_a_draft_with_misfits_asks_for_their_verdict(world: World) -> None:
    """Records that the target schema does not take are held as ever; of the draft the transform alone counts."""
    fields = [{"field": "id", "expression": "None if id == '2' else id"}, _FIELDS[1]]
    await world.setup(transform={"fields": fields})
    run_id = await world.start()
    assert await world.attempt(run_id) == "validating"
    await world.verdict(run_id)
    assert await world.attempt(run_id) == "validating"
    found = await world.read(run_id)
    assert found["steps"]["transform"]["outputs"]["faults"]["key"].split("/")[-2] == "1"
    assert found["ledger"]["transform"].held == 1


@pytest.mark.parametrize("expression", ["amount / nothing", "amount +"])
async def test_what_is_wrong_with_a_draft_is_said_at_its_step(world: World, expression: str) -> None:
    """The extract is sealed and judged all the same; the run fails at its transform."""
    await world.setup(transform={"fields": [_FIELDS[0], {"field": "amount", "expression": expression}]})
    run_id = await world.start()
    assert await world.attempt(run_id) == "validating"
    await world.verdict(run_id)
    assert await world.attempt(run_id) == "failed"
    found = await world.read(run_id)
    assert found["run"]["code"] == "expression-refused"
    assert found["steps"]["transform"]["status"] == "failed"


async def test_output_rules_are_asked_of_a_drafted_transform(world: World) -> None:
    """The transform is taken up, its output judged; where that holds a record, the artifacts are made anew."""
    await world.setup(outputs=_FORMATS)
    run_id = await world.start()
    assert await world.attempt(run_id) == "validating"
    await world.verdict(run_id, rules=[uuid4()])
    assert await world.attempt(run_id) == "validating"
    await world.verdict(run_id, "output", held=[1])
    found = await _ended(world, run_id)
    assert found["steps"]["transform"]["outputs"]["records"]["key"].split("/")[-2] == "1"
    assert {row["object_key"].split("/")[-2] for row in found["artifacts"]} == {"3"}
    assert {row["records"] for row in found["artifacts"]} == {found["ledger"]["transform"].records_out - 1}


async def test_only_the_first_try_of_an_extract_drafts(world: World) -> None:
    """A draft whose child dies does not take the extract with it each time: the next try has none."""
    await world.setup()
    world.executor = world.make_executor(retry_seconds=1)
    source = next((world.home / "in").iterdir())
    hidden = source.rename(source.with_suffix(".hidden"))
    run_id = await world.start()
    working = asyncio.create_task(world.attempt(run_id))
    async with asyncio.timeout(30):
        while await world.status(run_id) != "running":  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    hidden.rename(source)
    assert await working == "validating"
    await world.verdict(run_id)
    assert _attempts(await _ended(world, run_id)) == {"2"}


async def test_of_a_large_file_no_draft_is_made(world: World) -> None:
    """What takes long is not done before it is known to count."""
    rows = "".join(f"L{number:020},1.00\n" for number in range(LARGEST // 20))
    await world.setup(SOURCE.splitlines()[0] + "\n" + rows)
    run_id = await world.start()
    assert await world.attempt(run_id) == "validating"
    await world.verdict(run_id)
    assert _attempts(await _ended(world, run_id)) == {"2"}


async def test_a_draft_ends_with_its_run(world: World) -> None:
    """A run that is cancelled while its verdict is awaited leaves nothing of its draft in the object store."""
    await world.setup(outputs=_FORMATS)
    run_id = await world.start()
    assert await world.attempt(run_id) == "validating"
    extract = Sealed(**(await world.read(run_id))["steps"]["extract"]["outputs"]["extract"])
    await cancel(world, run_id)
    assert await world.attempt(run_id) == "cancelled"
    await world.executor.close()
    assert _objects(world, run_id) == {extract.key}
