"""Two runs over one extract, joined by record: what fails now, what passes now, which values are others.

Rows that code made of records, one of several or several of one, are joined by what `aligning` finds them by.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from libs.expressions import quote_identifier, quote_literal
from services.runner.engines.aligning import SAME_RECORD, SAME_ROW, align, is_traced, write_sorted
from services.runner.engines.duck import Budget, open_duckdb
from services.runner.engines.errors import TransformError
from services.runner.engines.parquet import parquet_rows
from services.runner.engines.requests import Compared, CompareRequest, Side
from services.runner.engines.sealing import seal

_SAMPLES = 5
_SLICE = 100_000
"""Records, or rows of code, that are compared at once."""

_FOUND = {"difference": "VARCHAR", "key": "VARCHAR", "_ordinal": "BIGINT"} | dict.fromkeys(
    ("phase", "rule_id", "severity", "outcome", "message", "field", "before", "after"), "VARCHAR"
)
_OWN = ("_ordinal", "_key", "_slot", "_label", "_row", "_place")
_FAILURE = "rule_id, severity, outcome, message"
_NO_FAILURES = """SELECT 'input' AS phase, 0::BIGINT AS _ordinal, '' AS key, '' AS rule_id, '' AS severity, '' AS outcome,
  '' AS message, 0::BIGINT AS _slot, '' AS _label, 1::BIGINT AS _place LIMIT 0"""
_FAILED = """
SELECT {difference} AS difference, f.key, f._ordinal, f.phase, f.rule_id, f.severity, f.outcome, f.message,
  CAST(NULL AS VARCHAR) AS field, CAST(NULL AS VARCHAR) AS before, CAST(NULL AS VARCHAR) AS after
FROM {mine} AS f ANTI JOIN {other} AS o USING (phase, {same}, rule_id) {judged}"""
# Past the input rules only what got so far was judged: who is held by then has not passed.
_JUDGED = "WHERE f.phase = 'input' OR ({same}) IN (SELECT ({same}) FROM after_records)"
_PLAIN = """
SELECT {difference}, {key}, {ordinal}, NULL, NULL, NULL, NULL, NULL, {field}, {before}, {after} FROM {source}"""
_NULL = "NULL"
_NO_TEXT = "CAST(NULL AS VARCHAR)"


def compare_runs(request: CompareRequest, _descriptors: Sequence[int] = ()) -> Compared:
    """Write what differs between the request's runs, sorted by difference, key and field.

    Raises:
        TransformError: memory or spill space ran out, or see `is_traced`.
    """
    files = [*request.before.reads, *request.after.reads]
    budget = Budget(request.memory, request.threads).for_files(*files)
    try:
        with open_duckdb(request.target.parent, [*(path.parent for path in files), *files], budget) as engine:
            return _compare(engine, request)
    except duckdb.OutOfMemoryException as error:
        raise TransformError("out-of-memory", "The comparison needs more memory or disk than it may use.") from error


def _compare(engine: duckdb.DuckDBPyConnection, request: CompareRequest) -> Compared:
    sides = {"before": request.before, "after": request.after}
    traced = is_traced(sides)
    if traced:
        sides = align(engine, sides, request.target.parent, by_key=request.by_key)
    sides = {name: _in_order(engine, name, side, request.target.parent, traced=traced) for name, side in sides.items()}
    fields, same = _fields(engine, sides), SAME_ROW if traced else SAME_RECORD
    engine.execute(f"CREATE TEMP TABLE found ({', '.join(f'{name} {kind}' for name, kind in _FOUND.items())})")
    highest = _highest(engine, sides)
    width = _width(sides, highest)
    for low in range(0, highest + 1, width):
        # what belongs together is in one slice, so that memory holds one however many records there are
        _cut(engine, sides, f"BETWEEN {low} AND {low + width - 1}", traced=traced)
        engine.execute(f"CREATE OR REPLACE TEMP TABLE differing AS {_differing(fields, same)}")
        for part in _parts(fields, same):  # one after the other: each wants memory
            engine.execute(f"INSERT INTO found {part}")
    target = quote_literal(str(request.target))
    engine.execute(f"""
        COPY (SELECT row_number() OVER () AS position, * FROM (
            SELECT * FROM found ORDER BY difference, key, _ordinal, phase, rule_id, field
        )) TO {target} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480, USE_TMP_FILE false)""")
    records = max(parquet_rows(side.records) for side in sides.values())
    return _conclude(engine, request.target, records)


def _highest(engine: duckdb.DuckDBPyConnection, sides: Mapping[str, Side]) -> int:
    """Return the last place that is compared: of a record, or of a slot."""
    found = [-1]
    for path in (path for side in sides.values() for path in side.files):
        file = f"read_parquet({quote_literal(str(path))})"
        place = "_slot" if "_slot" in engine.sql(f"FROM {file}").columns else "_ordinal"
        found.append(_one(engine, f"SELECT coalesce(max({place}), -1) FROM {file}"))
    return max(found)


def _width(sides: Mapping[str, Side], highest: int) -> int:
    """Return how many places a slice has: fewer where a place has several rows."""
    rows = max(parquet_rows(side.records) for side in sides.values())
    return max(1, _SLICE * (highest + 1) // max(rows, highest + 1, 1))


def _in_order(engine: duckdb.DuckDBPyConnection, name: str, side: Side, home: Path, *, traced: bool) -> Side:
    """Sort failures that are more than a slice as slices are cut: else each would be looked through for every slice."""
    phases = {"input": side.input, "faults": side.faults, "output": None if traced else side.output}
    ordered = {
        phase: write_sorted(
            engine,
            f"SELECT _ordinal, key, {_FAILURE} FROM read_parquet({quote_literal(str(path))})",
            home / f"{name}-{phase}.parquet",
            "_ordinal",
        )
        for phase, path in phases.items()
        if path is not None and parquet_rows(path) > _SLICE
    }
    return side.model_copy(update=ordered)


def _cut(engine: duckdb.DuckDBPyConnection, sides: Mapping[str, Side], where: str, *, traced: bool) -> None:
    """Make tables and views of the records and failures that are in a slice."""
    for name, side in sides.items():
        records = f"TABLE {name}_records AS {_rows_made(side, where)}"
        if not traced:
            records = f"VIEW {name}_records AS {_records(side, where)}"
        engine.execute(f"CREATE OR REPLACE TEMP {records}")
        failures = " UNION ALL ".join(_failures(name, side, where, traced=traced))
        engine.execute(f"CREATE OR REPLACE TEMP VIEW {name}_failures AS {failures}")
        engine.execute(f"CREATE OR REPLACE TEMP VIEW {name}_out AS {_out(name, side, traced=traced)}")


def _out(name: str, side: Side, *, traced: bool) -> str:
    """Return the query of the records that came out: those that no rule over the output holds."""
    if side.output is None:
        return f"FROM {name}_records"
    held = f"(FROM {name}_failures WHERE phase = 'output' AND severity = 'blocking')"
    return f"FROM {name}_records ANTI JOIN {held} USING ({', '.join(SAME_ROW if traced else SAME_RECORD)})"


def _failures(name: str, side: Side, where: str, *, traced: bool) -> Iterator[str]:
    yield f"({_NO_FAILURES})"
    for phase, path in (("input", side.input), ("transform", side.faults), ("output", side.output)):
        if path is None:
            continue
        file, shown = f"read_parquet({quote_literal(str(path))})", quote_literal(phase)
        if traced and phase == "output":  # they number the rows
            yield f"""SELECT {shown}, r._ordinal, r._key, {_FAILURE}, r._slot, r._label, r._place
                FROM (FROM {file} WHERE _slot {where}) AS f JOIN {name}_records AS r USING (_row)"""
        else:
            yield f"SELECT {shown}, _ordinal, key, {_FAILURE}, _ordinal, '', 1 FROM {file} WHERE _ordinal {where}"


def _records(side: Side, where: str) -> str:
    return f"SELECT * FROM read_parquet({quote_literal(str(side.records))}) WHERE _ordinal {where}"


def _rows_made(side: Side, where: str) -> str:
    """Return the side's rows, each with its place among those that are found alike."""
    place = "row_number() OVER (PARTITION BY _slot, _label ORDER BY _row)"
    return f"SELECT *, {place} AS _place FROM read_parquet({quote_literal(str(side.records))}) WHERE _slot {where}"


def _one(engine: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(engine.execute(query).fetchall()[0][0])


@dataclass(frozen=True, slots=True)
class _Field:
    """An output field: its value before and after as text, and when these are others."""

    before: str
    after: str
    unequal: str


def _fields(engine: duckdb.DuckDBPyConnection, sides: Mapping[str, Side]) -> dict[str, _Field]:
    """Return every output field with how its value before and its value after are compared."""
    bound = [engine.sql(f"FROM read_parquet({quote_literal(str(side.records))})") for side in sides.values()]
    before, after = (dict(zip(one.columns, map(str, one.types), strict=True)) for one in bound)
    names = [name for name in dict.fromkeys((*before, *after)) if name not in _OWN]
    return {name: _field(name, before.get(name), after.get(name)) for name in names}


def _field(name: str, before: str | None, after: str | None) -> _Field:
    quoted = quote_identifier(name)
    old, new = (
        f"CAST({side}.{quoted} AS VARCHAR)" if kind else _NO_TEXT for side, kind in (("b", before), ("a", after))
    )
    if before == after:  # texts take longer to make than values to compare
        return _Field(old, new, f"b.{quoted} IS DISTINCT FROM a.{quoted}")
    return _Field(old, new, f"{old} IS DISTINCT FROM {new}")  # a schema's draft may give the field another type


def _differing(fields: dict[str, _Field], same: Sequence[str]) -> str:
    """Return the query of records that came out of both runs with another value in some field."""
    shown = [f"{text} AS {word}{number}" for number, one in enumerate(fields.values())
             for text, word in ((one.before, "b"), (one.after, "a"))]  # fmt: skip
    unequal = " OR ".join(one.unequal for one in fields.values()) or "false"
    columns = ", ".join(["b._ordinal AS _ordinal", "b._key AS key", *shown])
    joined = f"before_out AS b JOIN after_out AS a USING ({', '.join(same)})"
    return f"SELECT {columns} FROM {joined} WHERE {unequal}"


def _parts(fields: dict[str, _Field], same: Sequence[str]) -> Iterator[str]:
    found_by = ", ".join(same)
    judged = _JUDGED.format(same=found_by)
    for word, mine, other, also in (("failing", "after", "before", ""), ("passing", "before", "after", judged)):
        names = {"mine": f"{mine}_failures", "other": f"{other}_failures", "same": found_by, "judged": also}
        yield _FAILED.format(difference=quote_literal(f"newly_{word}"), **names)
    for word, mine, other in (("no_longer_out", "before", "after"), ("newly_out", "after", "before")):
        source = f"{mine}_out AS f ANTI JOIN {other}_out AS o USING ({found_by})"
        empty = {"field": _NULL, "before": _NULL, "after": _NULL}
        yield _PLAIN.format(difference=quote_literal(word), key="f._key", ordinal="f._ordinal", source=source, **empty)
    for number, name in enumerate(fields):
        before, after = f"b{number}", f"a{number}"
        values = {"field": quote_literal(name), "before": before, "after": after, "key": "key", "ordinal": "_ordinal"}
        yield _PLAIN.format(
            difference="'changed'", source=f"differing WHERE {before} IS DISTINCT FROM {after}", **values
        )


def _conclude(engine: duckdb.DuckDBPyConnection, target: Path, records: int) -> Compared:
    counts = dict(_rows(engine, "SELECT difference, count(DISTINCT _ordinal) FROM found GROUP BY 1"))
    file = f"read_parquet({quote_literal(str(target))})"
    by_field = dict(_rows(engine, f"SELECT field, count(*) FROM {file} WHERE field IS NOT NULL GROUP BY 1"))
    by_rule: dict[str, dict[str, int]] = {}
    counted = f"SELECT rule_id, difference, count(*) FROM {file} WHERE rule_id IS NOT NULL GROUP BY ALL"
    for rule, difference, number in _rows(engine, counted):
        by_rule.setdefault(rule, {})[difference] = number
    first = f"SELECT min(position) FROM {file} GROUP BY difference"
    starts = [start for (start,) in _rows(engine, first)]
    samples = [row for start in sorted(starts) for row in _sample(engine, file, start)]
    sealed = seal(target, parquet_rows(target))
    return Compared(file=sealed, records=records, counts=counts, by_rule=by_rule, by_field=by_field, samples=samples)


def _rows(engine: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return engine.execute(query).fetchall()


def _sample(engine: duckdb.DuckDBPyConnection, file: str, start: int) -> list[dict[str, Any]]:
    """Return the first rows of the difference that begins at a position."""
    found = engine.execute(f"""
        SELECT * EXCLUDE (position) FROM {file} WHERE position BETWEEN {start} AND {start + _SAMPLES - 1}
        AND difference = (SELECT difference FROM {file} WHERE position = {start}) ORDER BY position""")
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
