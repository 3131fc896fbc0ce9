"""Reports whose transform is the tenant's own SQL or Python, end to end through the gateway."""

from typing import Any

import pytest

from examples.broker_week.job import publish, start, wait
from examples.client import ApiError
from libs.common.vocabulary.transforms import AnyTransform, PythonTransform, SqlTransform
from tests.system.backstage import kill
from tests.system.payments import AS_OF, DAY, SCHEMA
from tests.system.transforming import (
    BY_DAY,
    FRAMES,
    LEGS,
    PASSING,
    SLOW,
    TOTALS,
    became,
    delivered,
    reaches,
    reported,
    run,
    step,
)
from tests.system.world import Tenant, World

BY_DAY_SQL = """
SELECT booked AS day, sum(amount) AS total, count(*) AS payments, list(_ordinal) AS _ordinals
FROM records GROUP BY booked ORDER BY booked
"""
FAILING = """
def price(row):
    return 1 / row["amount"].scaleb(0).normalize().adjusted()


def transform(batches, params):
    for batch in batches:
        for row in batch.to_pylist():
            price(row)
        yield batch
"""


ENDLESS = "def transform(batches, params):\n    while True:\n        try:\n            pass\n        except BaseException:\n            pass\n"


async def test_python_makes_several_rows_of_a_record_and_none_disappears(tenant: Tenant) -> None:
    """One-to-many by Polars: legs are created, small payments filtered with their reason, the held one stays held (S26)."""
    code = PythonTransform(kind="python", code=LEGS, yields="one_to_many", params={"least": 3})
    report = await reported(tenant, code)
    shown = await run(tenant, report)
    assert shown["status"] == "partial", shown["reason"]
    assert step(shown, "transform") == {"records_in": 10, "created": 7, "records_out": 14, "filtered": 3}
    rows = delivered(tenant)
    assert [row["id"] for row in rows] == [f"P{n}" for n in range(4, 11)] + [f"P{n}/2" for n in range(4, 11)]
    assert sum(float(row["amount"]) for row in rows) == 0
    dropped = await became(tenant, report, "P1")
    assert (dropped["disposition"], dropped["records"][0]["reasons"][0]["message"]) == ("filtered", "below the limit")
    assert (await became(tenant, report, "P0"))["disposition"] == "held"
    sent = await became(tenant, report, "P5")
    assert (sent["disposition"], sent["records"][0]["rows"]) == ("sent", [2, 9])
    assert (await became(tenant, report, "P99"))["disposition"] == "never extracted"
    assert "a batch of 10" in shown["transform"]["log_excerpt"]
    assert "INFO done" in shown["transform"]["log_excerpt"]


@pytest.mark.parametrize("kind", ["python", "sql"])
async def test_records_are_merged_into_totals(tenant: Tenant, kind: str) -> None:
    """Aggregates, by Python and by SQL, give the same rows; merged records know into what (S26, S33)."""
    code: AnyTransform = PythonTransform(kind="python", code=BY_DAY, yields="aggregate")
    if kind == "sql":
        code = SqlTransform(kind="sql", query=BY_DAY_SQL, yields="aggregate")
    report = await reported(tenant, code, TOTALS)
    shown = await run(tenant, report)
    assert shown["status"] == "partial", shown["reason"]
    assert step(shown, "transform") == {"records_in": 10, "records_out": 3, "merged": 7}
    assert delivered(tenant) == [
        {"day": "2026-03-01", "total": "16.5", "payments": "3"},
        {"day": "2026-03-02", "total": "20", "payments": "4"},
        {"day": "2026-03-03", "total": "13.5", "payments": "3"},
    ]
    first, merged = await became(tenant, report, "P1"), await became(tenant, report, "P4")
    assert (first["disposition"], first["records"][0]["rows"]) == ("sent", [2])
    assert (merged["disposition"], merged["records"][0]["rows"]) == ("merged", [2])
    assert merged["records"][0]["merged_into"] == first["records"][0]["ordinal"]


async def test_code_that_fails_says_where(tenant: Tenant) -> None:
    """The run's reason has kind, message and line; the trail has the hash of the code (S26)."""
    shown = await run(tenant, await reported(tenant, PythonTransform(kind="python", code=FAILING, yields="one_to_one")))
    assert shown["status"] == "failed"
    assert "line 3: ZeroDivisionError" in shown["reason"]
    assert [place["line"] for place in shown["transform"]["lines"]] == [9, 3]
    assert len(shown["transform"]["code_sha256"]) == 64


async def test_a_loop_is_stopped_while_another_tenant_goes_on(world: World, tenant: Tenant) -> None:
    """An endless loop that swallows everything takes no other tenant's time and ends when its run is cancelled (S26)."""
    other = await world.tenant("other")
    loop = await reported(tenant, PythonTransform(kind="python", code=ENDLESS, yields="one_to_one"))
    begun = await start(tenant.api, loop, DAY, AS_OF)
    await reaches(tenant, begun, "transforming")
    fine = await run(other, await reported(other, PythonTransform(kind="python", code=PASSING, yields="one_to_one")))
    assert fine["status"] == "partial", fine["reason"]
    assert (await tenant.api.get(f"/v1/runs/{begun}"))["status"] == "transforming"
    await tenant.api.post(f"/v1/runs/{begun}/cancel", {"reason": "enough"})
    assert (await tenant.api.get(f"/v1/runs/{begun}"))["status"] == "cancelled"


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"kind": "python", "code": "def transform(b, p)\n  pass", "yields": "aggregate"}, "line 1, column 20"),
    (
        {"kind": "python", "code": "import os\ndef transform(b, p): pass", "yields": "aggregate"},
        "'os' cannot be imported",
    ),
    ({"kind": "python", "code": "def transform(b): pass", "yields": "aggregate"}, "two arguments"),
    ({"kind": "sql", "query": "SELECT id FROM records", "yields": "one_to_one"}, "_ordinal"),
    ({"kind": "sql", "query": "SELECT _ordinal, nope FROM records", "yields": "one_to_one"}, "nope"),
    ({"kind": "sql", "query": "SELECT * FROM read_csv('/etc/passwd')", "yields": "one_to_one"}, "functions after FROM"),
    ({"kind": "cobol"}, "one of sql, python"),
)


async def test_code_that_cannot_run_is_refused_when_saved(tenant: Tenant) -> None:
    """A report with such a transform is a 422 that names the field and the place (S27)."""
    report = await reported(tenant, PythonTransform(kind="python", code=PASSING, yields="one_to_one"))
    name = (await tenant.api.get(f"/v1/reports/{report}"))["name"]
    spec = (await tenant.api.get(f"/v1/reports/{report}/versions/1"))["spec"]
    for transform, told in REFUSED:
        with pytest.raises(ApiError) as refused:
            await tenant.api.change(f"/v1/reports/{report}", {"name": name, "spec": {**spec, "transform": transform}})
        assert refused.value.status == 422
        (problem, *_) = refused.value.problem["errors"]
        assert told in problem["message"], problem
        assert problem["field"].startswith("/spec/transform")


async def test_code_is_tried_before_it_counts(tenant: Tenant) -> None:
    """Rows, drops, log and error positions come back, by the code that a run uses, and nothing is kept."""
    schema = await publish(tenant.api, "/v1/schemas", "payments", SCHEMA)
    records = [{"id": "A", "amount": "1.00", "booked": "2026-03-01"}, {"id": "B", "amount": 5, "booked": None}]
    body = {
        "source_schema_id": str(schema),
        "target_schema_id": str(schema),
        "records": records,
        "business_key": ["id"],
    }

    async def tried(**transform: Any) -> Any:
        return await tenant.api.post("/v1/transforms:try", {**body, "transform": transform})

    legs = await tried(kind="python", code=LEGS, yields="one_to_many", params={"least": 3})
    assert [(row["places"], row["values"]["id"], row["values"]["amount"]) for row in legs["rows"]] == [
        ([2], "B", "5.00"),
        ([2], "B/2", "-5.00"),
    ]
    assert legs["dropped"] == [{"place": 1, "reason": "below the limit"}]
    assert legs["log"] == "a batch of 2\nINFO done\n"
    failed = await tried(kind="python", code=FAILING, yields="one_to_one")
    assert (failed["outcome"], [line["line"] for line in failed["error"]["lines"]]) == ("failed", [9, 3])
    query = "SELECT _ordinal, id, amount * 2 AS amount, booked FROM records"
    assert (await tried(kind="sql", query=query, yields="one_to_one"))["rows"][1]["values"]["amount"] == "10.00"
    with pytest.raises(ApiError) as refused:
        await tried(kind="sql", query="SELECT _ordinal, id FROM record", yields="one_to_one")
    assert refused.value.status == 422


@pytest.mark.parametrize(
    "name", [pytest.param("jail"), *(pytest.param(n, marks=pytest.mark.long) for n in ("validator", "runner"))]
)
async def test_a_transform_survives_the_death_of(world: World, tenant: Tenant, name: str) -> None:
    """`kill -9` while the code runs: it runs again somewhere, and what goes out goes out once (S10, S20, S26)."""
    report = await reported(tenant, PythonTransform(kind="python", code=SLOW, yields="one_to_one"))
    run_id = await start(tenant.api, report, DAY, AS_OF)
    await reaches(tenant, run_id, "transforming")
    await kill(world, name)
    shown = await wait(tenant.api, run_id)
    assert shown["status"] == "partial", shown["reason"]
    assert step(shown, "transform") == {"records_in": 10, "records_out": 10}
    assert [row["id"] for row in delivered(tenant)] == [f"P{n}" for n in range(1, 11)]
    assert [row["status"] for row in shown["deliveries"]] == ["succeeded"]


BOMBS = {
    "memory": ("x = []\n    while True: x.append(bytearray(1 << 24))", "MemoryError"),
    "processes": ("import random\n    while True: random._os.fork()", "PermissionError"),
    "rows": (
        "import pyarrow as pa\n    t = pa.concat_tables([batches.table()] * 20_000).combine_chunks()\n    while True: yield t",
        "more room",
    ),
    "time": ("while True: pass", "was stopped"),
}


@pytest.mark.long
@pytest.mark.parametrize(("body", "told"), BOMBS.values(), ids=BOMBS.keys())
async def test_a_bomb_ends_its_own_run_and_nothing_else(world: World, tenant: Tenant, body: str, told: str) -> None:
    """Memory, processes, output and time are bounded; the next run of another tenant is as ever (S26)."""
    other = await world.tenant("other")
    code = f"def transform(batches, params):\n    {body}\n    yield\n"
    report = await reported(tenant, PythonTransform(kind="python", code=code, yields="one_to_many"))
    shown = await run(tenant, report, 400)
    assert shown["status"] == "failed"
    assert told in shown["reason"]
    fine = await run(other, await reported(other, PythonTransform(kind="python", code=PASSING, yields="one_to_one")))
    assert fine["status"] == "partial", fine["reason"]


@pytest.mark.long
async def test_a_million_records_go_through_code_in_bounded_memory(tenant: Tenant) -> None:
    """Streams in and out: the process of the code stays small, the ledger balances, progress is shown (S30)."""
    rows = 1_000_000
    content = "id,amount,booked\n" + "".join(f"P{n},{n % 977 + 1}.25,2026-03-0{n % 9 + 1}\n" for n in range(rows))
    code = PythonTransform(kind="python", code=FRAMES, yields="one_to_one")
    report = await reported(tenant, code, content=content)
    shown = await run(tenant, report, 400)
    assert shown["status"] == "succeeded", shown["reason"]
    assert step(shown, "transform") == {"records_in": rows, "records_out": rows}
    assert shown["transform"]["peak_bytes"] < 600 * 1024 * 1024
    print(shown["transform"])  # noqa: T201 - the figures
