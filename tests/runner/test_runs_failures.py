"""Trouble on the way: the run says what is wrong, and nothing is half delivered."""

from uuid import uuid4

import pytest

from services.runner.records.answer import RecordReader
from services.runner.records.composing import Question
from tests.runner.world import DAY, World


async def require_failed(world: World, run_id: object, step: str, code: str, text: str) -> None:
    seen = await world.read(run_id)  # type: ignore[arg-type]
    assert (seen["run"]["status"], seen["run"]["code"]) == ("failed", code)
    assert text in seen["run"]["reason"]
    assert (seen["steps"][step]["status"], seen["steps"][step]["code"]) == ("failed", code)
    assert world.delivered() == []
    names = [event["type"] for event in await world.events()]
    assert (names.count("runner.step.failed.v1"), names.count("runner.run.failed.v1")) == (1, 1)


async def test_a_missing_file_fails_the_extract(world: World) -> None:
    """After a few tries, by name."""
    await world.setup()
    (world.home / "in" / f"trades-{DAY}.csv").unlink()
    run_id = await world.start()
    await world.attempt(run_id)
    await require_failed(world, run_id, "extract", "file-missing", "trades-2026-03-02.csv")


async def test_a_missing_column_fails_the_extract(world: World) -> None:
    """The message names the column and those that are there."""
    await world.setup("id,price\n1,10\n")
    run_id = await world.start()
    await world.attempt(run_id)
    await require_failed(world, run_id, "extract", "missing-column", "'amount'")


async def test_an_undeclared_root_fails_the_extract(world: World) -> None:
    """A connector cannot name a directory that the operator has not declared."""
    await world.setup()
    connector = await world.publish("connector", {"kind": "file", "root": "secrets"})
    world.report_id = uuid4()
    await world.setup(source={"kind": "file", "connector_id": str(connector), "file": "x.csv"})
    run_id = await world.start()
    await world.attempt(run_id)
    await require_failed(world, run_id, "extract", "root-undeclared", "'secrets'")


async def test_a_rule_that_cannot_judge_fails_the_run(world: World) -> None:
    """What the validator says of it is the run's reason."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    async with world.database.transaction(world.context()) as tx:
        request = await tx.connection.fetchval("SELECT request_id FROM validation WHERE run_id = $1", run_id)
    data = {"run_id": str(run_id), "request_id": str(request), "phase": "input", "code": "rule-error"}
    await world.hear("validator.validation.failed", {**data, "message": "The rule positive divides by zero."})
    await require_failed(world, run_id, "validate", "rule-error", "divides by zero")


async def test_counts_that_do_not_fit_the_data_fail_the_run(world: World) -> None:
    """A verdict over other records than were asked about is not taken."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    await world.verdict(run_id, rows=2)
    await require_failed(world, run_id, "validate", "unbalanced", "2 records were judged of 3")


async def test_a_verdict_that_holds_more_than_its_failures_name_fails_the_run(world: World) -> None:
    """The count and the sealed failures must agree before anything is transformed."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    await world.verdict(run_id, held=[3], failures=None)
    await world.attempt(run_id)
    await require_failed(world, run_id, "transform", "unbalanced", "1 records")


async def test_a_verdict_with_files_from_elsewhere_fails_the_run(world: World) -> None:
    """The validator may only name what it was allowed to write."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    foreign = {"key": f"{uuid4()}/runs/x/validate/failures.parquet", "sha256": "0" * 64, "size": 1}
    await world.verdict(run_id, failures=foreign)
    await require_failed(world, run_id, "validate", "bad-verdict", "outside")


async def test_a_report_may_stop_at_held_records(world: World) -> None:
    """`on_blocking: stop` ends the run before anything is rendered."""
    await world.setup(on_blocking="stop")
    run_id = await world.run_through(held=[3])
    await require_failed(world, run_id, "transform", "blocking-records", "1 records")


async def test_a_sealed_file_that_was_altered_fails_the_run(world: World) -> None:
    """Hashes are checked on every read of the store."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    await world.verdict(run_id)
    key = (await world.read(run_id))["steps"]["extract"]["outputs"]["extract"]["key"]
    (world.home / "objects" / key).write_bytes(b"PAR1 something else PAR1")
    assert await world.attempt(run_id, world.make_executor()) == "failed"
    await require_failed(world, run_id, "transform", "object-altered", "not what was sealed")


async def test_a_failed_delivery_makes_the_run_partial(world: World) -> None:
    """One destination fails, the other gets everything; the run says which did not (S20)."""
    await world.setup()
    report = (await world.read(await world.start()))["run"]
    good = next(pin["id"] for pin in report["pins"] if pin["kind"] == "destination")
    bad = str(await world.publish("destination", {"kind": "directory", "root": "elsewhere"}))
    world.report_id = uuid4()
    await world.setup(destinations=[bad, good])
    run_id = await world.start()
    await world.attempt(run_id)
    await world.verdict(run_id)
    await world.attempt(run_id)
    seen = await world.read(run_id)
    assert seen["run"]["reason"] == "1 of 2 deliveries failed"
    outcomes = {str(row["destination_id"]): (row["status"], row["code"]) for row in seen["deliveries"]}
    assert outcomes == {bad: ("failed", "root-undeclared"), good: ("succeeded", "")}


async def test_output_rules_are_judged_on_the_output(world: World) -> None:
    """With a rule of the output phase the transformed records are judged too; what it holds does not go out."""
    await world.setup()
    run_id = await world.start()
    await world.attempt(run_id)
    await world.verdict(run_id, held=[3], rules=[uuid4()])
    assert await world.attempt(run_id) == "validating"
    await world.verdict(run_id, "output", held=[2])
    assert await world.attempt(run_id) == "partial"
    seen = await world.read(run_id)
    assert seen["ledger"]["validate_output"].held == 1
    assert (world.home / "out" / "reports" / f"trades-{DAY}.csv").read_text() == "id,amount\n1,10\n"
    reader = RecordReader(world.database, world.objects, world.jobs, world.home)
    answers = {
        key: await reader.answer(world.context(), Question(world.report_id, DAY, key)) for key in ("1", "2", "3", "4")
    }
    assert {key: answer["disposition"] for key, answer in answers.items()} == {
        "1": "sent",
        "2": "held",
        "3": "held",
        "4": "never extracted",
    }
    assert [record["step"] for record in answers["2"]["records"]] == ["validate_output"]


async def test_filtered_records_are_in_the_ledger_and_found(world: World) -> None:
    """A record that the report's selection leaves out is accounted for and can be asked about."""
    fields = [{"field": "id", "expression": "id"}, {"field": "amount", "expression": "amount"}]
    await world.setup(transform={"fields": fields, "where": "amount > 15"})
    run_id = await world.run_through(held=[3])
    seen = await world.read(run_id)
    assert (seen["ledger"]["transform"].filtered, seen["run"]["records_out"]) == (1, 1)
    reader = RecordReader(world.database, world.objects, world.jobs, world.home)
    answer = await reader.answer(world.context(), Question(world.report_id, DAY, "1"))
    assert answer["disposition"] == "filtered"


@pytest.mark.parametrize("rows", ["", "1,10\n"])
async def test_small_extracts_are_runs_like_others(world: World, rows: str) -> None:
    """No record, or one: the ledger closes and a file with its header goes out."""
    await world.setup(f"id,amount\n{rows}")
    run_id = await world.run_through()
    assert (await world.run(run_id))["records_out"] == rows.count("\n")
    assert (world.home / "out" / "reports" / f"trades-{DAY}.csv").read_text() == f"id,amount\n{rows}"
