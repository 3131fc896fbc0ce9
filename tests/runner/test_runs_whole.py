"""A run from its creation to its end, against a real database and real children."""

from tests.runner.world import DAY, World


async def test_a_run_goes_from_source_to_directory_and_its_ledger_balances(world: World) -> None:
    """Every record is out or held, and the run says so (S20, S30)."""
    await world.setup()
    run_id = await world.run_through(held=[3])
    seen = await world.read(run_id)
    assert (seen["run"]["status"], seen["run"]["reason"]) == ("partial", "1 record is held by blocking rules")
    assert [(step, b.records_in + b.created, b.records_out, b.held) for step, b in seen["ledger"].items()] == [
        ("extract", 3, 3, 0),
        ("validate", 3, 2, 1),
        ("transform", 2, 2, 0),
        ("render", 2, 2, 0),
        ("deliver", 2, 2, 0),
    ]
    assert (world.home / "out" / "reports" / f"trades-{DAY}.csv").read_text() == "id,amount\n1,10\n2,20\n"
    assert [row["status"] for row in seen["deliveries"]] == ["succeeded"]


async def test_a_run_that_leaves_nothing_behind_succeeds(world: World) -> None:
    """All out and all delivered is `succeeded`."""
    await world.setup()
    run_id = await world.run_through()
    assert await world.status(run_id) == "succeeded"
