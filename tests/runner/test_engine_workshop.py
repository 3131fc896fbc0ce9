import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog

from libs.common.jail import JobFailed, JobServer
from services.runner.engines.errors import DataPathError, RenderError, SourceError
from services.runner.engines.requests import CompareRequest, Side
from services.runner.engines.steps import compare_runs, render_artifact, transform_records
from services.runner.engines.workshop import workshop
from services.runner.sources.extract import extract_file
from tests.runner.datapath import render_request, rows_of, schema, transform_request

SOURCE = schema(id="integer", note="text")
TYPES = {"id": "VARCHAR", "note": "VARCHAR"}


@pytest.fixture(scope="module")
async def jobs() -> AsyncIterator[JobServer]:
    """Yield a warm job server."""
    async with workshop() as running:
        yield running


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Return a declared root with a file, and a working directory."""
    root, work = tmp_path / "root", tmp_path / "work"
    root.mkdir()
    work.mkdir()
    (root / "in.csv").write_text("id,note\n2,b\n1,a\nx,c\n")
    return root, work


def _file(root: Path, work: Path, **more: Any) -> dict[str, Any]:
    return {
        "root": root, "path": ".", "file": "in.csv", "delimiter": ",", "schema": SOURCE,
        "target": work / "extract.parquet", "timeout_seconds": 60, **more,
    }  # fmt: skip


async def test_a_file_becomes_an_artifact_in_three_children(jobs: JobServer, places: tuple[Path, Path]) -> None:
    """Extract, transform and render each run in a confined child and hand over by file."""
    root, work = places
    extract = await extract_file(jobs, **_file(root, work))
    target = schema(number="integer", text="text")
    request = transform_request(
        work, extract.path, TYPES, SOURCE, target, key=("id",), fields={"number": "id", "text": "upper(note)"}
    )
    transformed = await transform_records(jobs, request, timeout_seconds=60)
    assert transformed.output.rows == 3
    artifact = await render_artifact(jobs, render_request(work, target, {"format": "csv"}), timeout_seconds=60)
    assert artifact.path.read_text() == "number,text\n2,B\n1,A\n,C\n"
    assert not (work / "spill").exists()


async def test_files_that_are_there_are_written_over(jobs: JobServer, places: tuple[Path, Path]) -> None:
    """What a step left, or wrote in another order before, is no hindrance: a child gives no file another name."""
    for _ in range(2):
        await test_a_file_becomes_an_artifact_in_three_children(jobs, places)


async def test_what_goes_wrong_comes_back_as_it_was(jobs: JobServer, places: tuple[Path, Path]) -> None:
    """A child's refusal arrives with its kind, code and records."""
    root, work = places
    with pytest.raises(SourceError) as refused:
        await extract_file(jobs, **_file(root, work, schema=schema(nope="text")))
    assert refused.value.code == "missing-column"
    await test_a_file_becomes_an_artifact_in_three_children(jobs, places)
    target = schema(number="integer", text={"type": "text"})
    output = {
        "format": "xml",
        "document": '<d xmlns:r="urn:regent:template"><r:records/></d>',
        "record": "<x>{nope}</x>",
    }
    with pytest.raises(RenderError) as bad:
        await render_artifact(jobs, render_request(work, target, output), timeout_seconds=60)
    assert bad.value.code == "template-refused"


async def test_our_own_mistake_in_a_child_ends_the_step_at_once(jobs: JobServer, places: tuple[Path, Path]) -> None:
    """A comparison of files that it was not written for is no lost worker: it is logged where it failed, and not tried again."""
    _, work = places
    for name in ("before", "after"):
        pq.write_table(pa.table({"unheard": [1]}), work / f"{name}.parquet")
    sides = {name: Side(records=work / f"{name}.parquet") for name in ("before", "after")}
    request = CompareRequest(**sides, target=work / "differences.parquet")
    with structlog.testing.capture_logs() as said, pytest.raises(DataPathError) as failed:
        await compare_runs(jobs, request, timeout_seconds=60)
    assert (failed.value.code, failed.value.retryable) == ("internal-error", False)
    [line] = [line for line in said if line["event"] == "job.fault"]
    assert line["fault"] in failed.value.message
    assert any(frame.startswith("services/runner/engines/compare.py:") for frame in line["trace"])


async def test_a_child_that_takes_too_long_is_stopped(jobs: JobServer, places: tuple[Path, Path]) -> None:
    """Wall time ends the child, and the error may be retried."""
    root, work = places
    (root / "in.csv").write_text("id,note\n" + "1,abcdefgh\n" * 3_000_000)
    with pytest.raises(DataPathError) as late:
        await extract_file(jobs, **_file(root, work, timeout_seconds=0.2))
    assert (late.value.code, late.value.retryable) == ("timeout", True)


async def test_cancelling_stops_the_child(jobs: JobServer, places: tuple[Path, Path]) -> None:
    """A cancelled step writes nothing more."""
    root, work = places
    (root / "in.csv").write_text("id,note\n" + "1,abcdefgh\n" * 3_000_000)
    task = asyncio.create_task(extract_file(jobs, **_file(root, work)))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sizes = [path.stat().st_size for path in work.glob("*.parquet")]
    await asyncio.sleep(0.3)
    assert [path.stat().st_size for path in work.glob("*.parquet")] == sizes


async def test_children_reach_nothing_that_they_were_not_given(jobs: JobServer, places: tuple[Path, Path]) -> None:
    """A request that names a file outside of what was opened for it cannot read it."""
    root, work = places
    extract = await extract_file(jobs, **_file(root, work))
    hidden = root / "hidden.parquet"
    hidden.write_bytes(extract.path.read_bytes())
    request = transform_request(work, hidden, TYPES, SOURCE, SOURCE, key=("id",), fields={"id": "id", "note": "note"})
    job = {"work": "transform", "request": request.model_dump(mode="json")}
    with pytest.raises(JobFailed):
        await jobs.run(job)
    assert rows_of(hidden)
