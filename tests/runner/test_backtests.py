"""A draft on past data: replays of sealed extracts, what is different, and nothing else."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.errors import Conflict
from services.runner.commands.backtesting import Trial, ask_backtest
from services.runner.commands.cancelling import cancel_backtest
from services.runner.commands.pinning import NotYetVisible
from services.runner.store import backtests, parts
from tests.runner.world import DAY, World


async def drafted(world: World, kind: str, id_: UUID, spec: Any, number: int = 2, revision: int = 3) -> str:
    """Seal a draft and tell the runner of it, as its owner does; return its hash."""
    body = orjson.dumps({"spec": spec, "revision": revision})
    sealed = await world.objects.put(f"{world.tenant}/definitions/{kind}/{id_}/draft-{revision}", body)
    reference = {"kind": kind, "id": str(id_), "number": number, "key": sealed.key, "sha256": sealed.sha256}
    data = {"kind": kind, "id": str(id_), "name": "changed", "revision": revision, "draft": reference}
    await world.hear(f"{'validator' if kind == 'rule' else 'catalog'}.{kind}.updated", data)
    return sealed.sha256


async def with_rule(world: World) -> tuple[UUID, UUID]:
    """Set up a report that uses a rule, and its draft; return the ids of rule and schema."""
    rule = uuid4()
    await world.setup(rules=[str(rule)])
    schema = await schema_of(world)
    await world.hear("catalog.report.announced", await announced(world, [("rule", rule), ("schema", schema)]))
    return rule, schema


async def schema_of(world: World) -> UUID:
    async with world.database.transaction(world.context()) as tx:
        found: UUID = await tx.connection.fetchval("SELECT id FROM known_definition WHERE kind = 'schema'")
    return found


async def announced(world: World, references: list[tuple[str, UUID]]) -> dict[str, Any]:
    async with world.database.transaction(world.context()) as tx:
        row = await tx.connection.fetchrow("SELECT * FROM known_definition WHERE kind = 'report'")
    names = {"kind": "report", "id": str(row["id"]), "name": row["name"], "number": row["number"]}
    sealed = {"key": row["object_key"], "sha256": row["sha256"], "size": 1, "effective_from": "0001-01-01"}
    return {**names, **sealed, "references": [{"kind": kind, "id": str(id_)} for kind, id_ in references]}


def rule_spec(schema: UUID) -> dict[str, Any]:
    return {"schema_id": str(schema), "check": {"kind": "expression", "expression": "amount > 10"}}


async def ask(world: World, kind: Any, id_: UUID, **more: Any) -> Any:
    async with world.database.transaction(world.context()) as tx:
        return await ask_backtest(tx, world.library, Trial(kind, id_, more.pop("last", 5), **more))


async def read(world: World, id_: UUID) -> tuple[Any, Any]:
    async with world.database.transaction(world.context()) as tx:
        return await backtests.find(tx, id_), await backtests.replays(tx, id_)


async def test_a_backtest_names_what_fails_newly_and_what_passes_newly(world: World) -> None:
    """A past run is judged again with the draft; it delivers nothing, and its differences are counted and sealed."""
    rule, schema = await with_rule(world)
    past = await world.run_through(held=[3])
    delivered = world.delivered()
    await drafted(world, "rule", rule, rule_spec(schema))
    made = await ask(world, "rule", rule)
    assert (made["status"], made["runs"]) == ("running", 1)
    _, (replay,) = await read(world, made["id"])
    assert (replay["parent_id"], replay["step"]) == (past, "validate")
    assert await world.attempt(replay["id"]) == "validating"
    await world.verdict(replay["id"], held=[2])
    assert await world.attempt(replay["id"]) == "succeeded"
    row, (replay,) = await read(world, made["id"])
    counts = {name: row["counts"][name] for name in ("newly_failing", "newly_passing", "no_longer_out", "newly_out")}
    assert counts == dict.fromkeys(counts, 1)
    assert (row["status"], row["failed"], row["counts"]["changed"]) == ("completed", 0, 0)
    found = {(one["difference"], one["key"]) for one in replay["facts"]["samples"]}
    assert found == {("newly_failing", "2"), ("newly_passing", "3"), ("no_longer_out", "2"), ("newly_out", "3")}
    seen = await world.read(replay["id"])
    assert list(seen["steps"]) == ["extract", "validate", "transform", "validate_output", "compare"]
    assert (seen["artifacts"], seen["deliveries"], world.delivered()) == ([], [], delivered)


async def test_what_the_validator_is_asked_names_the_draft(world: World) -> None:
    """The request is marked as a backtest's, uses the past run's rules, and names the draft by reference."""
    rule, schema = await with_rule(world)
    past = await world.run_through()
    sha256 = await drafted(world, "rule", rule, rule_spec(schema))
    made = await ask(world, "rule", rule)
    await world.attempt((await read(world, made["id"]))[1][0]["id"])
    asked = [event["data"] for event in await world.events() if event["type"].startswith("runner.validation.requested")]
    assert [one["kind"] for one in asked] == ["report", "backtest"]
    assert (asked[1]["rules_of"], asked[1]["drafts"][0]["sha256"]) == (str(past), sha256)
    assert (asked[0]["drafts"], asked[1]["dataset"]) == ([], asked[0]["dataset"])


async def test_a_replay_looks_back_as_its_run_did(world: World) -> None:
    """It is judged as of when the past run was, against the extract that was the one before then, whatever came since."""
    rule, schema = await with_rule(world)
    day = DAY - timedelta(days=1)
    (world.home / "in" / f"trades-{day}.csv").write_text("id,amount\n1,10\n")
    before = await world.run_through(business_date=day)
    past = await world.run_through()
    await world.run_through(business_date=day)
    await drafted(world, "rule", rule, rule_spec(schema))
    made = await ask(world, "rule", rule)
    replay = next(each["id"] for each in (await read(world, made["id"]))[1] if each["parent_id"] == past)
    assert await world.attempt(replay) == "validating"
    asked = {event["data"]["run_id"]: event["data"] for event in await world.events()
             if event["type"].startswith("runner.validation.requested")}  # fmt: skip
    then, now = asked[str(past)], asked[str(replay)]
    assert str(before) in then["previous"]["key"]
    assert (now["previous"], then["judged_at"]) == (then["previous"], None)
    async with world.database.transaction(world.context()) as tx:
        requested_at = (await parts.validations(tx, past))["input"]["requested_at"]
    assert datetime.fromisoformat(now["judged_at"]) == requested_at


async def test_the_draft_of_a_schema_takes_the_place_of_the_version(world: World) -> None:
    """Everything else stays as it was pinned; a value that the draft's target does not take is a difference."""
    await world.setup()
    schema = await schema_of(world)
    await world.hear("catalog.report.announced", await announced(world, [("schema", schema)]))
    await world.run_through()
    fields = [{"name": "id", "type": "text", "max_length": 1}, {"name": "amount", "type": "text"}]
    sha256 = await drafted(world, "schema", schema, {"fields": fields})
    made = await ask(world, "schema", schema)
    run_id = (await read(world, made["id"]))[1][0]["id"]
    pins = {pin["kind"]: pin for pin in (await world.run(run_id))["pins"]}
    assert pins["schema"]["sha256"] == sha256
    await world.attempt(run_id)
    await world.verdict(run_id)
    assert await world.attempt(run_id) == "succeeded"
    row, _ = await read(world, made["id"])
    assert (row["status"], row["counts"]["records"], row["counts"]["changed"]) == ("completed", 3, 0)


async def table_of(world: World, sealed: dict[str, Any]) -> pa.Table:
    path = world.home / f"{uuid4()}.parquet"
    await world.objects.fetch(sealed["key"], sealed["sha256"], path)
    return pq.read_table(path)


async def test_a_field_that_a_draft_adds_is_in_no_past_record(world: World) -> None:
    """A schema that gains a field is tried on extracts that lack it; the past run's extract stays as it is."""
    await world.setup()
    schema = await schema_of(world)
    await world.hear("catalog.report.announced", await announced(world, [("schema", schema)]))
    past = await world.run_through()
    fields = [{"name": "id", "type": "text"}, {"name": "venue", "type": "text"}, {"name": "amount", "type": "text"}]
    await drafted(world, "schema", schema, {"fields": fields})
    run_id = (await read(world, (await ask(world, "schema", schema))["id"]))[1][0]["id"]
    assert await world.attempt(run_id) == "validating"
    before, after = [(await world.read(one))["steps"]["extract"] for one in (past, run_id)]
    assert after["facts"]["column_types"] == {**before["facts"]["column_types"], "venue": "VARCHAR"}
    old, new = [await table_of(world, one["outputs"]["extract"]) for one in (before, after)]
    assert new.to_pylist() == [{**record, "venue": None} for record in old.to_pylist()]
    await world.verdict(run_id)
    assert await world.attempt(run_id) == "succeeded"


async def test_a_backtest_ends_with_its_last_run_however_that_ends(world: World) -> None:
    """A replay that fails is counted as failed; the backtest says its end once."""
    rule, schema = await with_rule(world)
    for _ in range(2):
        await world.run_through()
    await drafted(world, "rule", rule, rule_spec(schema))
    made = await ask(world, "rule", rule)
    _, (one, other) = await read(world, made["id"])
    for replay in (one, other):
        assert await world.attempt(replay["id"]) == "validating"
    await world.verdict(one["id"])
    assert await world.attempt(one["id"]) == "succeeded"
    assert (await read(world, made["id"]))[0]["status"] == "running"
    async with world.database.transaction(world.context()) as tx:
        await cancel_backtest(tx, made["id"])
    row, _ = await read(world, made["id"])
    assert (row["status"], row["failed"]) == ("completed", 1)
    told = [event["data"] for event in await world.events() if event["type"] == "runner.backtest.completed.v1"]
    assert [(each["runs"], each["failed"]) for each in told] == [(2, 1)]


async def test_nothing_to_replay_is_complete_at_once(world: World) -> None:
    """A rule without a past run has no difference; one that no report uses is tried where its schema is used."""
    _, schema = await with_rule(world)
    new = uuid4()
    await drafted(world, "rule", new, rule_spec(schema), number=1, revision=1)
    assert (await ask(world, "rule", new))["status"] == "completed"
    await world.run_through()
    assert (await ask(world, "rule", new))["runs"] == 1


async def test_a_draft_that_is_not_known_is_waited_for(world: World) -> None:
    """Neither an unknown draft, nor another one than is meant, nor one that was published, is tried."""
    rule, schema = await with_rule(world)
    with pytest.raises(NotYetVisible):
        await ask(world, "rule", rule)
    await drafted(world, "rule", rule, rule_spec(schema))
    with pytest.raises(NotYetVisible):
        await ask(world, "rule", rule, sha256="0" * 64)
    with pytest.raises(Conflict, match="does not use"):
        await ask(world, "rule", rule, report_id=uuid4())
    data = {"kind": "rule", "id": str(rule), "name": "r", "number": 2, "key": "k", "sha256": "s", "size": 1}
    await world.hear("validator.rule.published", {**data, "effective_from": "2026-01-01"})
    with pytest.raises(NotYetVisible):
        await ask(world, "rule", rule)


@pytest.mark.parametrize("kind", ["schema", "mapping"])
async def test_a_draft_that_was_published_is_none_any_more(world: World, kind: Any) -> None:
    """Whoever changes a definition after publishing it never has the draft tried that became its version."""
    await with_rule(world)
    id_ = await schema_of(world) if kind == "schema" else uuid4()
    await drafted(world, kind, id_, {})
    await world.publish(kind, {}, id_=id_, number=2)
    with pytest.raises(NotYetVisible):
        await ask(world, kind, id_)


async def test_another_tenant_has_neither_the_draft_nor_the_backtest(world: World) -> None:
    """Drafts and backtests are the tenant's own."""
    rule, schema = await with_rule(world)
    await drafted(world, "rule", rule, rule_spec(schema))
    world.tenant, mine = uuid4(), world.tenant
    try:
        with pytest.raises(NotYetVisible):
            await ask(world, "rule", rule)
    finally:
        world.tenant = mine
