"""The validation job: runs confined, knows nothing but its plan and its descriptors."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa

from libs.expressions import quote_literal
from services.validator import queries
from services.validator.checks import Condition, Plan, Question, SetCheck
from services.validator.jail import amending
from services.validator.jail.asking import ask_all
from services.validator.jail.engine import Resources
from services.validator.jail.footer import Footer
from services.validator.jail.measuring import measure
from services.validator.jail.work import Files, Judgement, Tally, one, open_data, reason
from services.validator.queries import Group

_held: list[duckdb.DuckDBPyConnection] = []  # open until the process is gone: closing frees memory piece by piece
_MUCH = 2
"""Each rule reads what its group flagged: where that is so many times what will be reported, the rest is left out."""


def run(job: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    """Carry out `job["plan"]` on the files and return the counts; failures and corrections go to their files."""
    if "amend" in job:
        return amending.run(job, descriptors)
    files = Files.of(descriptors, len(job["mappings"]))
    footer = Footer(files.data)
    if not footer.has(job.get("columns", {})):
        return {"columns": "others"}
    plan = Plan.model_validate(job["plan"])
    plan = plan.where_sound(footer.sound(frozenset(plan.stored)))
    work = Judgement(plan, files, job["mappings"], Resources(**job["resources"]), footer.rows)
    work.engine = open_data(work)
    _held.append(work.engine)
    _judge(work)
    counts = _report(work)
    rules = [tally.to_dict(work.rows) for tally in work.tallies.values()]
    answer = {"rows": work.rows, "rules": rules, **counts}
    if job.get("measure"):
        answer["measures"] = measure(
            work.engine, files.data, work.plan, failures=_written(work) if counts["failures"] else None
        )
    return answer


def _judge(work: Judgement) -> None:
    plan = work.plan
    checks: list[Condition | SetCheck | Question] = [*plan.conditions, *plan.set_checks, *plan.questions]
    for check in checks:
        work.tallies.setdefault(check.rule_id, Tally(check.rule_id, check.rule_version, check.severity))
    units = _units(plan.conditions)
    work.carries = not (plan.set_checks or plan.questions) and all(condition.total for condition in plan.conditions)
    _flag(work, [unit for unit in units if all(part.total for part in unit)])
    for unit in units:
        if not all(part.total for part in unit):
            _flag(work, [unit])
    if plan.set_checks:
        work.engine.execute(queries.define_view(plan, work.broken))
        work.engine.execute(queries.define_previous(plan, work.files.previous))
    for check in plan.set_checks:
        _find(work, check)
    ask_all(work)
    for group in work.groups:
        _count(work, group)


def _units(conditions: Sequence[Condition]) -> list[list[Condition]]:
    """Put each second look with the condition that it belongs to."""
    units: list[list[Condition]] = []
    for condition in conditions:
        if condition.recheck:
            units[-1].append(condition)
        else:
            units.append([condition])
    return units


def _flag(work: Judgement, units: Sequence[list[Condition]]) -> None:
    """Judge the conditions of `units` in one scan; where that fails, in halves, and the culprit alone, error by error."""
    if not units:
        return
    group = Group(f"g{next(work.numbers)}", tuple(condition for unit in units for condition in unit), work.carries)
    try:
        flagged = one(work, queries.flag(work.plan, group, work.broken))[0]
    except duckdb.Error:
        work.carries = False
        if _find_broken_corrections(work):
            _flag(work, units)
        elif len(units) > 1:
            middle = len(units) // 2
            _flag(work, units[:middle])
            _flag(work, units[middle:])
        else:
            _isolate(work, replace(group, carries=False))
    else:
        if flagged:
            work.groups.append(group)


def _find_broken_corrections(work: Judgement) -> bool:
    """Set corrections aside that cannot be applied to this data; true if there was a new one."""
    before = len(work.broken)
    for number, correction in enumerate(work.plan.corrections):
        try:
            work.engine.execute(queries.probe(work.plan, number, work.broken))
        except duckdb.Error as error:
            work.broken.add(number)
            work.tallies[correction.rule_id].problem = reason(error)
    return len(work.broken) > before


def _isolate(work: Judgement, group: Group) -> None:
    """Judge one rule with errors caught record by record, on a connection of its own."""
    engine = open_data(work, careful=True)
    try:
        engine.execute(queries.flag(work.plan, group, work.broken, isolated=True))
        flagged = _table(engine, f"SELECT * FROM {group.table}")
    except duckdb.Error as error:
        tally = work.tallies[group.conditions[0].rule_id]
        tally.errors, tally.problem = work.rows, reason(error)
    else:
        work.engine.register("isolated", flagged)
        work.engine.execute(f"CREATE TEMP TABLE {group.table} AS SELECT * FROM isolated")
        work.engine.unregister("isolated")
        if flagged.num_rows:
            work.groups.append(group)
    finally:
        engine.close()


def _table(engine: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    table: pa.Table = engine.execute(query).to_arrow_table()  # type: ignore[assignment]
    return table


def _find(work: Judgement, check: SetCheck) -> None:
    table = f"s{next(work.numbers)}"
    tally = work.tallies[check.rule_id]
    try:
        found = one(work, queries.find(check, table))[0]
        tally.failed, tally.unknown = one(work, queries.settle(table)) if check.coded else (found, 0)
    except duckdb.Error as error:
        tally.errors, tally.problem = work.rows, reason(error)
    else:
        if tally.failed or (tally.unknown and check.unknown_fails):
            work.sets.append((check, table))


def _count(work: Judgement, group: Group) -> None:
    found = work.engine.execute(queries.count(group)).fetchall()
    histograms = [{row[word]: row[-1] for row in found if row[word] is not None} for word in range(group.words)]
    told = sum(row[-1] for row in found if row[-2])
    if 0 < told < sum(histograms[0].values()) / _MUCH:
        work.engine.execute(queries.narrow(group))
    for index, condition in enumerate(group.conditions):
        if condition.recheck:
            continue
        codes = _codes(histograms[index // queries.PER_WORD], index)
        tally = work.tallies[condition.rule_id]
        tally.failed, tally.unknown, tally.errors = codes
        if codes[0] or codes[2] or (codes[1] and condition.unknown_fails):
            work.failing.append((group, index))


def _codes(histogram: dict[int, int], index: int) -> tuple[int, int, int]:
    found = [0, 0, 0, 0]
    for word, count in histogram.items():
        found[(word >> (2 * (index % queries.PER_WORD))) & 3] += count
    return found[1], found[2], found[3]


def _report(work: Judgement) -> dict[str, int]:
    if not work.failing and not work.sets:
        return {"failures": 0, "held": 0, "corrections": 0}
    _hold(work)
    found = f"SELECT * FROM ({' UNION ALL '.join(_failures(work))}) ORDER BY key, _ordinal, rule_id"
    failures = _copy(work, found, work.files.failures)
    held = f"SELECT count(DISTINCT _ordinal) FILTER (severity = 'blocking') FROM {_written(work)}"
    return {"failures": failures, "held": one(work, held)[0], "corrections": _correct(work)}


def _written(work: Judgement) -> str:
    """Return the failures that were written, as SQL: making them twice would take longer than reading them."""
    return f"read_parquet({quote_literal(work.files.failures)})"


def _hold(work: Judgement) -> None:
    if work.carries:
        return
    shown = [name for group, index in work.failing for name in group.conditions[index].fields]
    shown += [name for check, _ in work.sets for name in check.fields]
    shown += [correction.field for correction in work.plan.corrections]
    groups = dict.fromkeys(group.table for group, _ in work.failing)
    sources = [f"SELECT _ordinal FROM {table}" for table in groups]
    sources += [f"SELECT _ordinal FROM {table}" for _, table in work.sets]
    work.engine.execute(queries.hold(work.plan, shown, sources))


def _failures(work: Judgement) -> Iterator[str]:
    for group, index in work.failing:
        condition = group.conditions[index]
        tally = work.tallies[condition.rule_id]
        mixed = tally.errors > 0 or (tally.unknown > 0 and condition.unknown_fails)
        yield queries.failures_of(group, index, mixed=mixed)
    for check, table in work.sets:
        yield queries.failures_of_set(check, table)


def _correct(work: Judgement) -> int:
    broken = {work.plan.corrections[number].rule_id for number in work.broken}
    correctable = [
        queries.corrections_of(work.plan, group, index)
        for group, index in work.failing
        if group.conditions[index].severity == "correctable" and group.conditions[index].rule_id not in broken
    ]
    if not correctable:
        return 0
    order = ", ".join(quote_literal(correction.rule_id) for correction in work.plan.corrections)
    made = f"SELECT * FROM ({' UNION ALL '.join(correctable)}) ORDER BY _ordinal, list_position([{order}], rule_id)"
    return _copy(work, made, work.files.corrections)


def _copy(work: Judgement, query: str, path: str) -> int:
    """Write what a query gives; return its number of rows. The file is read once and written anew: it is not made small."""
    options = "FORMAT parquet, COMPRESSION snappy, USE_TMP_FILE false"
    rows: int = one(work, f"COPY ({query}) TO {quote_literal(path)} ({options})")[0]
    return rows
