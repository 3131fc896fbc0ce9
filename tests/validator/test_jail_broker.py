"""What the broker believes of a job's answer, and what it refuses to start."""

import os
import re
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from libs.common.jail import JobCrashed, JobFailed, JobServer
from services.validator.jail import broker
from services.validator.jail.broker import Request, ResultError, in_memory, validate
from services.validator.jail.sealing import FAILURES, raw, seal
from tests.validator.judging import MAPPINGS, planned, record, rule


async def test_data_that_is_not_parquet_fails_the_job(jail: JobServer, tmp_path: Path) -> None:
    """Hostile or damaged data is parsed in the jail and fails there; the next job works."""
    (tmp_path / "data.parquet").write_bytes(b"PAR1" + b"\xff" * 1000 + b"PAR1")
    request = Request(plan=planned([]), data=tmp_path / "data.parquet", scratch=tmp_path, mappings=MAPPINGS)
    with pytest.raises((JobFailed, JobCrashed)):
        await validate(jail, request)


async def test_reserved_names_are_refused(jail: JobServer, tmp_path: Path) -> None:
    """A mapping cannot take the place of the extract."""
    (tmp_path / "data.parquet").write_bytes(b"")
    for name in ("extract", "held", "g0"):
        request = Request(
            plan=planned([]), data=tmp_path / "data.parquet", scratch=tmp_path, mappings={name: MAPPINGS["venues"]}
        )
        with pytest.raises(ValueError, match=name):
            await validate(jail, request)


def test_threads_by_size(tmp_path: Path) -> None:
    """A thread for each 32 MiB that the data have, as many as may be at most."""
    data = tmp_path / "data.parquet"
    for mib, threads in ((5, 1), (31, 1), (33, 2), (65, 3), (900, 3)):
        data.touch()
        os.truncate(data, mib * 2**20)
        job = broker._job(Request(plan=planned([]), data=data, scratch=tmp_path, threads=3))
        assert job["resources"]["threads"] == threads  # type: ignore[index]


def test_counts_must_account_for_every_record() -> None:
    """An answer whose counts do not add up is not used."""
    tally = {
        "rule_id": "r",
        "rule_version": 1,
        "severity": "blocking",
        "passed": 1,
        "failed": 0,
        "unknown": 0,
        "errors": 0,
    }
    answer = {"rows": 2, "rules": [tally], "failures": 0, "held": 0, "corrections": 0}
    with pytest.raises(ResultError, match="account"):
        broker._checked(answer)
    with pytest.raises(ResultError, match="malformed"):
        broker._checked({**answer, "rows": -1})
    assert broker._checked({**answer, "rows": 1}).rows == 1


async def test_files_must_be_what_was_announced(jail: JobServer, tmp_path: Path) -> None:
    """A result file with other columns, other rows or no Parquet at all is not used; the broker never parses it (S7)."""
    path = raw(tmp_path, "failures")
    path.write_bytes(b"nothing")
    with pytest.raises(ResultError):
        await seal(jail, tmp_path, {"failures": 1}, 0, None)
    for table in (pa.table({"_ordinal": [1]}), FAILURES.empty_table()):
        pq.write_table(table, path)
        with pytest.raises(ResultError):
            await seal(jail, tmp_path, {"failures": 1}, 0, None)


async def test_a_file_is_read_no_further_than_announced(jail: JobServer, tmp_path: Path) -> None:
    """Few bytes can say that there are millions of rows: one more than were announced ends it."""
    rows = 3_000_000
    row = [1, "k", "r", 1, "blocking", "fail", "{}", "m"]
    columns = [pa.array([value], kind) for value, kind in zip(row, FAILURES.types, strict=True)]
    table = pa.table([column.take(pa.array([0] * rows)) for column in columns], schema=FAILURES)
    pq.write_table(table, raw(tmp_path, "failures"), compression="zstd")
    with pytest.raises(ResultError, match="more than 10 rows"):
        await seal(jail, tmp_path, {"failures": 10}, 0, None)
    with pytest.raises(ResultError, match=f"{rows} rows, not {rows + 1}"):
        await seal(jail, tmp_path, {"failures": rows + 1}, 0, None)


async def test_a_file_is_written_anew(jail: JobServer, tmp_path: Path) -> None:
    """What is sealed holds the announced rows and nothing that a job's own file carried beside them."""
    row = [1, "k", "r", 1, "blocking", "fail", "{}", "m"]
    table = pa.table([[value] for value in row], schema=FAILURES).replace_schema_metadata({"left": "behind"})
    pq.write_table(table, raw(tmp_path, "failures"))
    rows = await seal(jail, tmp_path, {"failures": 1, "corrections": 0}, 10, None)
    assert rows["failures"] == [dict(zip(FAILURES.names, row, strict=True))]
    sealed = pq.read_table(tmp_path / "failures.parquet")
    assert sealed.to_pylist() == rows["failures"]
    assert b"left" not in (tmp_path / "failures.parquet").read_bytes()
    assert pq.read_table(tmp_path / "corrections.parquet").num_rows == 0


async def test_engine_is_locked(jail: JobServer, tmp_path: Path) -> None:
    """Even a plan that were SQL of a tenant's own could read nothing but its data."""
    plan = planned([rule("reads", "version > 0")])
    for text in ("(SELECT count(*) FROM read_text('/etc/passwd')) > 0", "getenv('HOME') IS NULL"):
        conditions = [
            one.model_copy(update={"holds": text}) if one.rule_id == "reads" else one for one in plan.conditions
        ]
        table = pa.table({"_ordinal": pa.array([1], pa.int64()), **{name: [value] for name, value in record().items()}})
        pq.write_table(table, tmp_path / "data.parquet")
        hostile = plan.model_copy(update={"conditions": tuple(conditions)})
        outcome = await validate(
            jail, Request(plan=hostile, data=tmp_path / "data.parquet", scratch=tmp_path, mappings=MAPPINGS)
        )
        assert [one.rule_id for one in outcome.errored] == ["reads"]


OPENED = {
    "exceptions/applying.py": "failures and corrections, written anew behind the wall",
    "exceptions/concluding.py": "the runner's own ledger",
    "exceptions/opening.py": "failures, written anew behind the wall",
    "exceptions/verdicts.py": "the runner's own tables of held rows and their origins",
    "tries/worker.py": "failures and corrections, written anew behind the wall",
}
_CONFINED = ("accounting", "footer", "gate", "python", "showing", "warmth")


def test_the_service_opens_no_table_of_a_tenant() -> None:
    """Where credentials are, only tables are opened that a child of its own, or the runner, wrote anew (S7)."""
    root = Path(broker.__file__).parents[1]
    reading = re.compile(r"pq\.(ParquetFile|read_\w+)|ds\.dataset|ipc\.open")
    confined = {root / "jail" / f"{name}.py" for name in _CONFINED}
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if path not in confined and reading.search(path.read_text())
    }
    assert found == OPENED.keys()


def test_a_mapping_is_memory_that_no_job_can_enlarge() -> None:
    """What a job gets of it counts against no limit of its own: it can neither grow nor change."""
    descriptor = in_memory(pa.table({"key": ["a"]}))
    try:
        for attempt in (lambda: os.ftruncate(descriptor, 1 << 20), lambda: os.pwrite(descriptor, b"x", 0)):
            with pytest.raises(PermissionError):
                attempt()
        assert pq.read_table(f"/proc/self/fd/{descriptor}").to_pylist() == [{"key": "a"}]
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("size", [1000, 5 << 20])
def test_only_who_spills_can_make_files(tmp_path: Path, size: int) -> None:
    """Little data needs no directory: then the kernel alone bounds what a job writes."""
    data = tmp_path / "data.parquet"
    data.write_bytes(b"x" * size)
    request = Request(plan=planned([]), data=data, scratch=tmp_path)
    with broker._descriptors(request) as (_, writable):
        directories = [one for one in writable if stat.S_ISDIR(os.fstat(one).st_mode)]
    assert len(directories) == (size > 4 << 20)
    assert (broker._limits(request).total_size is None) == (size < 4 << 20)
