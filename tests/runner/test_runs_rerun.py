"""A run again: same versions or latest, from the start or from where it failed."""

from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import pytest

from libs.common.errors import Conflict, NotFound
from services.runner.commands.rerunning import rerun
from tests.runner.world import DAY, SCHEMA, World


async def again(world: World, run_id: UUID, versions: Literal["pinned", "latest"] = "pinned") -> UUID:
    async with world.database.transaction(world.context()) as tx:
        row = await rerun(tx, world.library, run_id, versions)
    new: UUID = row["id"]
    return new


async def failed_at_render(world: World) -> UUID:
    """Return a run whose artifact could not be named."""
    await world.setup(outputs=[{"format": "csv", "name": "{unknown}.csv"}])
    run_id = await world.run_through(held=[3])
    assert await world.status(run_id) == "failed"
    return run_id


async def test_a_rerun_has_its_parents_versions_and_as_of(world: World) -> None:
    """Parent link, same pins, same as-of, the parent's rules (S5)."""
    await world.setup()
    parent_id = await world.run_through()
    parent = await world.run(parent_id)
    world.clock.ahead += timedelta(hours=1)
    child = await world.run(await again(world, parent_id))
    same = ("pins", "as_of", "business_date", "report_version")
    assert [child[name] for name in same] == [parent[name] for name in same]
    assert (child["trigger"], child["parent_id"], child["rules_of"]) == ("rerun", parent_id, parent_id)


async def test_a_rerun_gives_the_same_bytes(world: World) -> None:
    """Any run can be derived again, byte for byte (design 4.2)."""
    await world.setup()
    parent = await world.read(await world.run_through(held=[3]))
    child_id = await again(world, parent["run"]["id"])
    await world.attempt(child_id)
    await world.verdict(child_id, held=[3])
    await world.attempt(child_id)
    child = await world.read(child_id)
    assert child["artifacts"][0]["sha256"] == parent["artifacts"][0]["sha256"]
    assert (
        child["steps"]["extract"]["outputs"]["extract"]["sha256"]
        == (parent["steps"]["extract"]["outputs"]["extract"]["sha256"])
    )


async def test_the_latest_versions_are_taken_on_request(world: World) -> None:
    """`latest` pins anew and does not bind the rules (S5)."""
    await world.setup()
    parent_id = await world.run_through()
    schema_id = UUID(next(pin["id"] for pin in (await world.run(parent_id))["pins"] if pin["kind"] == "schema"))
    await world.publish("schema", SCHEMA, id_=schema_id, number=2)
    child = await world.run(await again(world, parent_id, "latest"))
    assert [pin["number"] for pin in child["pins"] if pin["kind"] == "schema"] == [2]
    assert (child["rules_of"], child["parent_id"]) == (None, parent_id)


async def test_a_failed_runs_rerun_goes_on_from_there(world: World) -> None:
    """The parent's sealed steps are taken over and say so; the source is not read again."""
    parent_id = await failed_at_render(world)
    child_id = await again(world, parent_id)
    child = await world.read(child_id)
    assert {step: row["reused_from"] for step, row in child["steps"].items()} == dict.fromkeys(
        ("extract", "validate", "transform", "validate_output"), parent_id
    )
    assert child["run"]["step"] == "render"
    (world.home / "in" / f"trades-{DAY}.csv").unlink()
    assert await world.attempt(child_id) == "failed"  # the same definition fails at the same step
    assert (await world.run(child_id))["code"] == "template-refused"


async def test_a_failed_source_is_read_by_the_rerun(world: World) -> None:
    """The source comes back: the rerun of the failed run ends well, with the parent's versions."""
    await world.setup()
    file = world.home / "in" / f"trades-{DAY}.csv"
    content = file.read_text()
    file.unlink()
    parent_id = await world.start()
    assert await world.attempt(parent_id) == "failed"
    file.write_text(content)
    child_id = await again(world, parent_id)
    await world.attempt(child_id)
    await world.verdict(child_id)
    assert await world.attempt(child_id) == "succeeded"


@pytest.mark.parametrize("until", ["queued", "validating"])
async def test_only_an_ended_run_is_repeated(world: World, until: str) -> None:
    """A run on its way is refused with its status (S5)."""
    await world.setup()
    run_id = await world.start()
    if until == "validating":
        await world.attempt(run_id)
    with pytest.raises(Conflict, match=until):
        await again(world, run_id)


async def test_a_chain_of_reruns_is_visible(world: World) -> None:
    """A rerun of a rerun still knows whose rules it uses and where its steps come from (S5)."""
    first = await failed_at_render(world)
    second = await again(world, first)
    await world.attempt(second)
    third: Any = await world.read(await again(world, second))
    assert third["run"]["parent_id"] == second
    assert third["steps"]["extract"]["reused_from"] == first


async def test_another_tenants_run_is_not_repeated(world: World) -> None:
    """Foreign ids are unknown ids (S5, S37)."""
    await world.setup()
    run_id = await world.run_through()
    world.tenant = UUID(int=world.tenant.int ^ 1)
    with pytest.raises(NotFound):
        await again(world, run_id)
    world.tenant = UUID(int=world.tenant.int ^ 1)
