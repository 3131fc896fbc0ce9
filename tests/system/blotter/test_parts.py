"""The blotter through the parts of the main job, against the answer key and the second opinion."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from examples.broker_week.auth016 import xsd_set
from examples.broker_week.generate import write
from examples.broker_week.rules import EXPECTED
from examples.broker_week.week import week
from libs.common.jail import JobServer
from libs.common.vocabulary.xsd import XsdSetSpec
from services.runner.artifacts.requests import Artifact
from services.runner.engines.requests import Transformed
from services.validator.jail.broker import Outcome, job_server
from tests.system.blotter.blotter import Answer, Blotter, Row, answer_key, read
from tests.system.blotter.independent import defects, expected
from tests.system.blotter.permutation import permuted
from tests.system.blotter.pipeline import Job
from tests.system.blotter.readback import identity, reported, transactions

BRANCH = "IE"
_SHARED = Path(__file__).parents[4] / "shared"
_BLOTTER, _XSD = _SHARED / "data" / "blotter", _SHARED / "regulatory" / "xsd"
_SHARED_CASES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(not _BLOTTER.is_dir(), reason="the blotter is not beside this clone (../shared)"),
    )
    for name in ("blotter", "permuted")
]


@dataclass(frozen=True, slots=True)
class Done:
    """A finished job with its answer key."""

    job: Job
    key: list[Answer]
    judged: Outcome
    transformed: Transformed
    artifacts: dict[str, Artifact]
    reports: list[dict[str, str]]

    @property
    def good(self) -> list[Row]:
        """The rows that are not defective, each trade's cancellation before its next version."""
        bad = {answer.ordinal for answer in self.key}
        rows = [row for ordinal, row in enumerate(self.job.blotter.trades, start=1) if ordinal not in bad]
        return sorted(rows, key=lambda row: (row["trade_id"], int(row["version"]), row["action"] == "CANCEL"))


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[JobServer]:
    async with job_server(slots=1) as running:
        yield running


@pytest.fixture(scope="module", params=["example", *_SHARED_CASES])
async def done(request: pytest.FixtureRequest, server: JobServer, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp(request.param)
    blotter, key, schemas = _input(request.param, folder)
    ours = request.param == "example"
    day, as_of = (
        (date(2026, 3, 6), datetime(2026, 3, 9, tzinfo=UTC))
        if ours
        else (date(2025, 3, 10), datetime(2025, 3, 11, tzinfo=UTC))
    )
    return await _run(Job.of(blotter, folder, day, as_of), key, schemas, server)


def _input(name: str, folder: Path) -> tuple[Blotter, list[Answer], XsdSetSpec]:
    if name == "example":
        write(week(), folder / "week")
        blotter = read(folder / "week")
        return blotter, defects(blotter, datetime(2026, 3, 9, tzinfo=UTC)), xsd_set()
    original = read(_BLOTTER)
    key = answer_key(_BLOTTER, original)
    blotter, key = permuted(original, key, seed=20250311) if name == "permuted" else (original, key)
    return blotter, key, xsd_set(_XSD)


async def _run(job: Job, key: list[Answer], schemas: XsdSetSpec, server: JobServer) -> Done:
    job.extract()
    judged = await job.validate(server)
    transformed = job.transform()
    artifacts = job.render(schemas)
    return Done(job, key, judged, transformed, artifacts, transactions(job.folder / "report.xml"))


def test_exactly_the_defective_rows_are_held(done: Done) -> None:
    """As many records are held as the key has defects, and every other one goes out in every format."""
    rows, held = len(done.job.blotter.trades), len(done.key)
    assert (done.judged.rows, done.judged.held, done.judged.errored) == (rows, held, ())
    assert (done.transformed.held, done.transformed.filtered, done.transformed.unfit) == (held, 0, 0)
    assert {artifact.rows for artifact in done.artifacts.values()} == {rows - held}


def test_each_held_row_fails_the_rules_of_its_kind(done: Done) -> None:
    """Each held ordinal fails exactly the blocking rules that its kind of defect in the key names."""
    assert done.job.failing_rules() == {answer.ordinal: EXPECTED[answer.kind] for answer in done.key}


def test_reports_say_what_the_second_opinion_says(done: Done) -> None:
    """Every transaction read back from the valid XML says what the independent calculation says, 50 random ones first."""
    blotter = done.job.blotter.on(done.job.business_date)
    wanted = [expected(blotter, row, BRANCH) for row in done.good]
    for position in random.Random(50).sample(range(len(wanted)), 50):  # noqa: S311 (a sample, no secret)
        assert done.reports[position] == wanted[position]
    assert done.reports == wanted


def test_cancellation_comes_before_the_new_version(done: Done) -> None:
    """In the file, a corrected trade is reported, cancelled and reported again, in this order."""
    corrected = {row["trade_id"] for row in done.good if row["version"] == "2"}
    assert corrected
    for trade in corrected:
        assert [kind for kind, name in map(reported, done.reports) if name == trade] == ["New", "Cxl", "New"]


def test_file_holds_each_good_row_once(done: Done) -> None:
    """The file holds a report for every good row and none besides."""
    assert sorted(map(reported, done.reports)) == sorted(map(identity, done.good))
