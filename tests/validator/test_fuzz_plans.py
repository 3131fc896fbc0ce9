"""Random rules of every kind over random stored data, judged by the jail and by a slow judge: no difference (S3)."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from libs.common.jail import JobServer
from services.validator.case import Case
from services.validator.columns import column_types
from services.validator.jail.broker import Outcome, validate
from services.validator.plan import ResolvedRule
from tests.expressions.test_differential import MOMENT
from tests.validator.cases import MAPPING, Made, make, records, write
from tests.validator.judging import VENUES
from tests.validator.plain import FAIL, UNKNOWN, Judge, Verdicts


def expected(made: Made) -> tuple[Verdicts, list[ResolvedRule]]:
    """Return the slow judge's verdicts, and the rules: without corrections that may need more than 38 digits."""
    rules = made.rules
    while True:
        previous = records(made.schema, made.previous) if made.previous is not None else None
        judge = Judge(made.schema, {"cp": MAPPING}, MOMENT, records(made.schema, made.columns), previous)
        found = judge.judge(rules)
        sure = [rule for rule in rules if rule.spec.fix is None or rule.id not in found.unsure]
        if len(sure) == len(rules):
            return found, rules
        rules = sure


async def judged(jail: JobServer, made: Made, rules: list[ResolvedRule], seed: int, *, statistics: bool) -> Any:
    """Return the jail's outcome, failures and corrections."""
    case = Case(made.schema, rules, {VENUES: MAPPING}, (), "input", MOMENT)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        files = {"data": made.columns, "before": made.previous}
        for file, columns in files.items():
            if columns is not None:
                write(columns, scratch / file, seed, statistics=statistics)
        types = {
            file: column_types({name: str(column.type) for name, column in columns.items()})
            for file, columns in files.items() if columns is not None
        }  # fmt: skip
        request = case.request(
            scratch / "data", scratch, types["data"], memory_mib=512, threads=1, wall_seconds=60,
            previous=scratch / "before" if "before" in types else None, previous_columns=types.get("before"),
        )  # fmt: skip
        outcome = await validate(jail, replace(request, kind="try"))
        tables = [pq.read_table(scratch / f"{name}.parquet").to_pylist() for name in ("failures", "corrections")]
    return outcome, *tables


def differences(
    found: Verdicts, outcome: Outcome, failures: list[Any], corrections: list[Any], made: Made
) -> list[str]:
    """Return what the two judges do not agree on, in words."""
    strict = {rule.id for rule in made.rules if getattr(rule.spec.check, "on_unknown", "pass") == "fail"}
    wrong = []
    tallies = {one.rule_id: one for one in outcome.rules}
    for rule in sorted((tallies.keys() | found.outcomes.keys()) - found.unsure):
        outcomes = found.outcomes.get(rule, {})
        counts = [list(outcomes.values()).count(kind) for kind in (FAIL, UNKNOWN)]
        tally = tallies.get(rule)
        told = [tally.failed, tally.unknown, tally.errors] if tally else [0, 0, 0]
        if told != [*counts, 0]:
            wrong.append(f"{rule}: failed, unknown, errors {told} are not {counts}; {tally and tally.problem}")
        listed = {(o, k, found.severities[rule, o]) for o, k in outcomes.items() if k == FAIL or rule in strict}
        engine = {(one["_ordinal"], one["outcome"], one["severity"]) for one in failures if one["rule_id"] == rule}
        if engine != listed:
            wrong.append(f"{rule}: engine only {sorted(engine - listed)}, slow judge only {sorted(listed - engine)}")
    fixes = [(one["_ordinal"], one["rule_id"], one["field"], one["old_value"], one["new_value"]) for one in corrections]
    told_fixes = [
        tuple(part.replace("\0", "\u2400") if isinstance(part, str) else part for part in one)
        for one in sorted(found.corrections, key=lambda one: one[0])
    ]
    for place, (one, other) in enumerate(
        zip(fixes, told_fixes, strict=False)
    ):  # what days outside are called is not said
        if (other[3] or "").startswith("outside"):
            told_fixes[place] = (*other[:3], one[3], other[4])
    if fixes != told_fixes:
        wrong.append(
            f"corrections {[one for one in fixes if one not in told_fixes]} are not {[one for one in told_fixes if one not in fixes]}"
        )
    return wrong


async def check(jail: JobServer, seed: int) -> list[str]:
    """Judge the case of a seed, with statistics in the file and without; return what differs."""
    made = make(seed)
    found, rules = expected(made)
    wrong = []
    for statistics in (True, False):
        outcome, failures, corrections = await judged(jail, made, rules, seed, statistics=statistics)
        wrong += [
            f"seed {seed}, statistics {statistics}: {one}"
            for one in differences(found, outcome, failures, corrections, made)
        ]
    return wrong


async def many(jail: JobServer, cases: int) -> list[str]:
    """Check so many cases of new seeds; return what differs."""
    first = time.time_ns() // 1000
    print(f"seeds from {first}")  # noqa: T201 - to try a failing run again
    return [one for seed in range(first, first + cases) for one in await check(jail, seed)]


async def test_jail_and_slow_judge_agree(jail: JobServer) -> None:
    """S3: rules of every kind, corrections among them, over stored columns of every type."""
    assert await many(jail, 10) == []


@pytest.mark.long
async def test_jail_and_slow_judge_agree_on_very_many(jail: JobServer) -> None:
    """S3: some thousand rules over several thousand records."""
    assert await many(jail, 200) == []
