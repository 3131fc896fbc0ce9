"""Runs whose report has code of its own: they wait for the validator as for a verdict, and believe no count unseen."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.runner.commands.cancelling import cancel_run
from services.runner.commands.verdicts import granted_prefix
from services.runner.steps.sweeper import Sweeper
from services.runner.steps.workspace import Workspaces
from services.runner.store import parts
from tests.runner.world import World

CODE = "def transform(batches, params):\n    yield from batches\n"
ROWS = pa.schema(
    [
        ("_ordinal", pa.int64()),
        ("_first", pa.int64()),
        ("_key", pa.string()),
        ("id", pa.string()),
        ("amount", pa.int64()),
    ]
)
TRACE = pa.schema([("_row", pa.int64()), ("_ordinal", pa.int64())])
DROPS = pa.schema([("_ordinal", pa.int64()), ("reason", pa.string())])


async def set_up(world: World, yields: str = "one_to_one") -> None:
    """Publish a report with code of its own."""
    await world.setup(transform={"kind": "python", "code": CODE, "yields": yields})


async def transforming(world: World, held: tuple[int, ...] = ()) -> UUID:
    """Bring a new run to where it waits for its code."""
    run_id = await world.start()
    assert await world.attempt(run_id) == "validating"
    await world.verdict(run_id, held=held)
    assert await world.attempt(run_id) == "transforming"
    return run_id


async def asked(world: World, run_id: UUID) -> Any:
    """Return what a run asked of the validator."""
    async with world.database.transaction(world.context()) as tx:
        return await parts.transformation_of(tx, run_id)


async def sealed(world: World, run_id: UUID, name: str, table: pa.Table, prefix: str = "") -> dict[str, Any]:
    """Seal a table where the validator may write."""
    path = world.home / f"{uuid4()}.parquet"
    pq.write_table(table, path)
    place = prefix or granted_prefix({"tenant_id": world.tenant, "id": run_id}, "transform")
    return asdict(await world.objects.put_file(f"{place}{name}.parquet", path))


async def answer(
    world: World,
    run_id: UUID,
    rows: list[tuple[int, int, str | None, str, int]],
    *,
    trace: list[tuple[int, int]] | None = None,
    drops: tuple[tuple[int, str], ...] = (),
    **more: Any,
) -> dict[str, Any]:
    """Answer a run's request as the validator does: rows are `_ordinal`, `_first`, `_key`, id and amount."""
    request = await asked(world, run_id)
    table = pa.Table.from_pylist([dict(zip(ROWS.names, row, strict=True)) for row in rows], schema=ROWS)
    links = [dict(zip(TRACE.names, link, strict=True)) for link in trace or ()]
    left = [dict(zip(DROPS.names, drop, strict=True)) for drop in drops]
    data = {
        "run_id": str(run_id),
        "request_id": str(request["request_id"]),
        "kind": "python",
        "code_sha256": "0" * 64,
        "yields": "one_to_one" if trace is None else "aggregate",
        "rows": len(rows),
        "used": len(rows),
        "dropped": len(drops),
        "output": await sealed(world, run_id, "rows", table),
        "trace": await sealed(world, run_id, "trace", pa.Table.from_pylist(links, schema=TRACE))
        if trace is not None
        else None,
        "drops": await sealed(world, run_id, "drops", pa.Table.from_pylist(left, schema=DROPS)) if drops else None,
        "code_seconds": 0.1,
        "gate_seconds": 0.1,
        "seconds": 0.2,
        **more,
    }
    await world.hear("validator.transform.completed", data)
    return data


async def test_rows_of_code_go_out_and_the_ledger_balances(world: World) -> None:
    """In + created = out + filtered + merged: rows keep their order, dropped records their reason (S20, S26)."""
    await set_up(world)
    run_id = await transforming(world)
    await answer(world, run_id, [(3, 3, None, "c", 30), (1, 1, None, "a", 10)], drops=((2, "not wanted"),))
    assert await world.attempt(run_id) == "succeeded"
    seen = await world.read(run_id)
    balance = seen["ledger"]["transform"]
    assert (balance.records_in, balance.records_out, balance.filtered) == (3, 2, 1)
    (name,) = world.delivered()
    assert (world.home / "out" / "reports" / name).read_text() == "id,amount\nc,30\na,10\n"


async def test_what_the_code_gets_is_typed_and_without_held_records(world: World) -> None:
    """The sealed records have number, key and the schema's types; a held record is not among them."""
    await set_up(world)
    run_id = await transforming(world, held=(3,))
    dataset = (await asked(world, run_id))["dataset"]
    path = world.home / "ready.parquet"
    await world.objects.fetch(dataset["key"], dataset["sha256"], path)
    assert pq.read_table(path).to_pylist() == [
        {"_ordinal": 1, "_key": "1", "id": "1", "amount": 10},
        {"_ordinal": 2, "_key": "2", "id": "2", "amount": 20},
    ]
    (event,) = [one for one in await world.events() if one["type"] == "runner.transform.requested.v1"]
    assert event["data"]["rows"] == 2
    assert len(event["data"]["code_sha256"]) == 64


async def test_merged_records_are_counted_once(world: World) -> None:
    """An aggregate takes several records into one row; the key of the row is its own or its first record's."""
    await set_up(world, "aggregate")
    run_id = await transforming(world)
    rows: list[Any] = [(1, 1, "both", "x", 30), (2, 3, None, "y", -5)]
    await answer(world, run_id, rows, trace=[(1, 1), (1, 2), (2, 3)])
    assert await world.attempt(run_id) == "succeeded"
    seen = await world.read(run_id)
    balance = seen["ledger"]["transform"]
    assert (balance.records_in, balance.records_out, balance.merged) == (3, 2, 1)
    records = seen["steps"]["transform"]["outputs"]["records"]
    path = world.home / "records.parquet"
    await world.objects.fetch(records["key"], records["sha256"], path)
    assert [(row["_ordinal"], row["_key"]) for row in pq.read_table(path).to_pylist()] == [(1, "both"), (2, "3")]


async def test_a_row_that_is_held_holds_every_record_behind_it(world: World) -> None:
    """An output rule fails a total: the records in it are held, with the rule and its message, the others go out (S20)."""
    await set_up(world, "aggregate")
    run_id = await world.start()
    await world.attempt(run_id)
    await world.verdict(run_id, rules=(uuid4(),))
    assert await world.attempt(run_id) == "transforming"
    rows: list[Any] = [(1, 1, "both", "x", -30), (2, 3, None, "y", 5)]
    await answer(world, run_id, rows, trace=[(1, 1), (1, 2), (2, 3)])
    assert await world.attempt(run_id) == "validating"
    await world.verdict(run_id, "output", held=(1,))
    assert await world.attempt(run_id) == "partial"
    not_out = (await world.read(run_id))["steps"]["render"]["outputs"]["records"]
    path = world.home / "not-out.parquet"
    await world.objects.fetch(not_out["key"], not_out["sha256"], path)
    held = [(row["key"], row["_ordinal"], row["step"], row["rule_id"]) for row in pq.read_table(path).to_pylist()]
    assert held == [("1", 1, "validate_output", "r1"), ("2", 2, "validate_output", "r1")]


@pytest.mark.parametrize(
    ("rows", "trace", "drops", "told"),
    [
        ([(1, 1), (2, 2)], None, (), "1 records came to nothing"),
        ([(1, 1), (2, 2), (3, 3), (9, 9)], None, (), "1 records do not come from the extract"),
        ([(1, 1), (2, 2), (3, 3)], None, ((3, "x"),), "1 records are in two places"),
        ([(1, 1), (1, 1), (2, 2), (3, 3)], None, (), "rows have the number of another"),
        ([(1, 1), (2, 2)], [(1, 1), (1, 2), (1, 3)], (), "1 rows have no record behind them"),
        ([(1, 1)], [(1, 1), (1, 2), (1, 3), (2, 3)], (), "1 origins name no row"),
    ],
)
async def test_rows_that_do_not_account_for_every_record_fail_the_run(
    world: World, rows: list[tuple[int, int]], trace: Any, drops: Any, told: str
) -> None:
    """Whatever the validator counted, the runner counts again (S20)."""
    await set_up(world)
    run_id = await transforming(world)
    await answer(world, run_id, [(*row, None, "x", 1) for row in rows], trace=trace, drops=drops)
    assert await world.attempt(run_id) == "failed"
    assert told in (await world.run(run_id))["reason"]


async def test_files_of_another_place_or_shape_are_not_used(world: World) -> None:
    """A file outside of the grant, or with other columns, ends the run."""
    await set_up(world)
    run_id = await transforming(world)
    elsewhere = await sealed(world, run_id, "rows", pa.table({"x": [1]}), prefix=f"{world.tenant}/elsewhere/")
    await answer(world, run_id, [], output=elsewhere)
    assert await world.status(run_id) == "failed"
    run_id = await transforming(world)
    await answer(world, run_id, [], output=await sealed(world, run_id, "other", pa.table({"x": [1]})))
    assert await world.attempt(run_id) == "failed"
    assert "other columns" in (await world.run(run_id))["reason"]


async def test_code_that_failed_ends_the_run_with_its_words(world: World) -> None:
    """The reason is the validator's, with the line; what nobody waits for is left alone."""
    await set_up(world)
    run_id = await transforming(world)
    failed = {
        "run_id": str(run_id),
        "request_id": str((await asked(world, run_id))["request_id"]),
        "kind": "python",
        "code_sha256": "0" * 64,
        "code": "transform-failed",
        "message": "The transform failed: line 2: ValueError: no",
        "lines": [{"line": 2, "function": "transform", "text": "raise ValueError('no')"}],
    }
    await world.hear("validator.transform.failed", {**failed, "request_id": str(uuid4())})
    assert await world.status(run_id) == "transforming"
    await world.hear("validator.transform.failed", failed)
    await world.hear("validator.transform.failed", failed)
    run = await world.run(run_id)
    assert (run["status"], run["code"], run["reason"]) == ("failed", failed["code"], failed["message"])


async def test_progress_is_shown_while_the_code_runs(world: World) -> None:
    """Followers see records and rows; a late word about an ended run is not shown."""
    await set_up(world)
    run_id = await transforming(world)
    said = {
        "run_id": str(run_id),
        "request_id": str((await asked(world, run_id))["request_id"]),
        "records": 5,
        "rows": 4,
    }
    await world.hear("validator.transform.progressed", said)
    async with world.database.transaction(world.context()) as tx:
        await cancel_run(tx, run_id)
    await world.hear("validator.transform.progressed", {**said, "records": 6})
    shown = [row["data"] for row in (await world.read(run_id))["progress"] if row["name"] == "transform.progressed"]
    assert [row["records"] for row in shown] == [5]
    assert await world.status(run_id) == "cancelled"


async def test_a_worker_that_dies_after_the_answer_is_replaced(world: World) -> None:
    """The rows are there: the next worker takes them, and the code does not run twice (S20)."""
    await set_up(world)
    run_id = await transforming(world)
    await answer(world, run_id, [(n, n, None, "x", 1) for n in (1, 2, 3)])
    other = world.make_executor()
    assert await world.attempt(run_id, other) == "succeeded"
    assert len([one for one in await world.events() if one["type"] == "runner.transform.requested.v1"]) == 1


async def test_code_that_never_answers_does_not_keep_a_run(world: World) -> None:
    """When the grant has expired, the run fails."""
    await set_up(world)
    run_id = await transforming(world)
    async with world.database.transaction(world.context()) as tx:
        await tx.connection.execute(
            "UPDATE run SET lease_until = now() - $1::interval WHERE id = $2", timedelta(1), run_id
        )
    workspaces = Workspaces(world.objects, world.home / "sweeper")
    await Sweeper(world.reaper, world.database, world.executor, workspaces).sweep()
    run = await world.run(run_id)
    assert (run["status"], run["code"]) == ("failed", "transform-timeout")
