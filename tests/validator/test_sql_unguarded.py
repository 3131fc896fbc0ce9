"""What hostile SQL does where the guard is left out: the jail and the engine's lock alone hold it (S33)."""

from pathlib import Path

import pytest

from libs.common.jail import JobCrashed, JobError, JobServer, JobTimedOut
from services.validator.checks import Plan
from services.validator.jail.broker import Outcome, Request, ResultError, validate
from tests.expressions.sql import legitimate
from tests.expressions.sql.test_sql_guard import hostile
from tests.validator.test_sql_rules import ask, plan_of

pytestmark = pytest.mark.chaos

RESULTS = {f"{name}.{state}" for name in ("failures", "corrections") for state in ("unchecked", "parquet")}
"""What a job writes of its own accord, and what is left of it once it is checked."""
WALL_SECONDS, AT_ONCE = 2.0, 20
SECRET = "a-secret-that-nobody-reads"
ENDLESS = [
    "SELECT count(*) AS _ordinal FROM range(1000000000000) a, range(1000000000000) b",
    "WITH RECURSIVE a AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM a) SELECT max(n) AS _ordinal FROM a",
    "SELECT length(repeat('x', 2000000000)) AS _ordinal",
    "SELECT length(printf('%1000000000d', 1)) AS _ordinal",
    "SELECT length(lpad('x', 1500000000, 'y')) AS _ordinal",
    "SELECT damerau_levenshtein(repeat('ab', 20000), repeat('ba', 20000)) AS _ordinal",
    "SELECT sleep_ms(60000) AS _ordinal",
    "SELECT n AS _ordinal FROM range(1000000000) t(n)",
]


def unguarded(texts: list[str]) -> Plan:
    """Plan texts as if they had passed."""
    plan = plan_of(["SELECT _ordinal FROM records WHERE false"])
    [question] = plan.questions
    asked = [question.model_copy(update={"rule_id": str(n), "sql": text}) for n, text in enumerate(texts)]
    return plan.model_copy(update={"questions": tuple(asked)})


def escaping(text: str) -> str:
    """Return a text that closes the query that it is put into, does its own, and opens another."""
    return f"SELECT 1 AS _ordinal) AS one; {text}; SELECT * FROM (SELECT 1 AS _ordinal"


def seen(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory."""
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


async def check_errs(jail: JobServer, scratch: Path, texts: list[str], place: str) -> None:
    """Run texts: none tells the secret, each that names its place errs; what would not end, ends alone with its job."""
    reaching = {str(n) for n, text in enumerate(texts) if place in text}
    try:
        judged = await ask(jail, scratch, unguarded(texts), wall_seconds=WALL_SECONDS)
    except (JobCrashed, JobTimedOut):
        middle = len(texts) // 2
        for some in (texts[:middle], texts[middle:]) if middle else ():
            await check_errs(jail, scratch, some, place)
    else:
        assert SECRET not in repr(judged)
        assert reaching <= {rule.rule_id for rule in judged.outcome.errored}


async def check_no_effect(jail: JobServer, directory: Path, texts: list[str]) -> None:
    """Run texts in two ways: nothing outside is read or written, and what reaches for a file is an error."""
    outside, scratch = directory / "outside", directory / "scratch"
    outside.mkdir()
    scratch.mkdir()
    (outside / "secret").write_text(SECRET, encoding="utf-8")
    before, place = seen(outside), str(outside / "secret")
    meant = [text.replace("/etc/passwd", place).replace("/tmp/", f"{outside}/") for text in texts]  # noqa: S108 - in the corpus
    for start in range(0, len(meant), AT_ONCE):
        some = meant[start : start + AT_ONCE]
        for tried in (some, [escaping(text) for text in some]):
            await check_errs(jail, scratch, tried, place)
    assert seen(outside) == before
    written = {path.name for path in scratch.rglob("*") if path.is_file()}
    assert written <= {"data.parquet", *RESULTS}


async def test_hostile_texts_have_no_effect_without_the_guard(jail: JobServer, tmp_path: Path) -> None:
    """S33: with the language filter off, an eighth of the corpus reads and writes nothing; all of it in the long suite."""
    await check_no_effect(jail, tmp_path, [text for text in list(hostile())[::8] if "\0" not in text])
    await _serves(jail, tmp_path)


@pytest.mark.long
async def test_no_hostile_text_has_an_effect_without_the_guard(jail: JobServer, tmp_path: Path) -> None:
    """S33: with the language filter off, the whole corpus reads and writes nothing."""
    await check_no_effect(jail, tmp_path, [text for text in hostile() if "\0" not in text])
    await _serves(jail, tmp_path)


@pytest.mark.parametrize("text", ENDLESS, ids=range(len(ENDLESS)))
async def test_what_would_not_end_is_stopped(jail: JobServer, tmp_path: Path, text: str) -> None:
    """S18: time, memory and result limits hold without the guard: an error of the rule, or the job is killed."""
    plan = unguarded([text])
    data = tmp_path / "data.parquet"
    await ask(jail, tmp_path, plan_of(["SELECT _ordinal FROM records"]))
    request = Request(
        plan=plan, data=data, scratch=tmp_path, memory=256 * 2**20, threads=1, wall_seconds=1.0, mappings={}
    )
    request = request if not plan.questions[0].aliases else _without_mappings(request)
    try:
        outcome: Outcome | None = await validate(jail, request)
    except (JobError, ResultError):
        outcome = None
    assert outcome is None or [rule.rule_id for rule in outcome.errored] == ["0"]
    await _serves(jail, tmp_path)


def _without_mappings(request: Request) -> Request:
    asked = [one.model_copy(update={"aliases": {}}) for one in request.plan.questions]
    return Request(
        plan=request.plan.model_copy(update={"questions": tuple(asked)}),
        data=request.data,
        scratch=request.scratch,
        memory=request.memory,
        threads=1,
        wall_seconds=request.wall_seconds,
    )


async def _serves(jail: JobServer, directory: Path) -> None:
    """The next job is judged as ever."""
    (directory / "next").mkdir(exist_ok=True)
    judged = await ask(jail, directory / "next", plan_of(["SELECT _ordinal FROM records WHERE amount IS NULL"]))
    assert judged.ordinals("0") == [row.ordinal for row in legitimate.rows() if row.amount is None]
