"""Two runs over one extract, joined by record: what fails now, what passes now, which values are others."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from libs.expressions import quote_identifier, quote_literal
from services.runner.engines.duck import Budget, open_duckdb
from services.runner.engines.errors import TransformError
from services.runner.engines.parquet import parquet_rows
from services.runner.engines.requests import Compared, CompareRequest, Side
from services.runner.engines.sealing import seal

_SAMPLES = 5
_SLICE = 100_000
"""Ordinals that are compared at once."""

_FOUND = {"difference": "VARCHAR", "key": "VARCHAR", "_ordinal": "BIGINT"} | dict.fromkeys(
    ("phase", "rule_id", "severity", "outcome", "message", "field", "before", "after"), "VARCHAR"
)
_OWN = ("_ordinal", "_key")
_NO_FAILURES = (
    "SELECT 0::BIGINT AS _ordinal, '' AS key, '' AS rule_id, '' AS severity, '' AS outcome, '' AS message LIMIT 0"
)
_FAILED = """
SELECT {difference} AS difference, f.key, f._ordinal, f.phase, f.rule_id, f.severity, f.outcome, f.message,
  CAST(NULL AS VARCHAR) AS field, CAST(NULL AS VARCHAR) AS before, CAST(NULL AS VARCHAR) AS after
FROM {mine} AS f ANTI JOIN {other} AS o USING (phase, _ordinal, rule_id) {judged}"""
# Past the input rules only what got so far was judged: who is held by then has not passed.
_JUDGED = "WHERE f.phase = 'input' OR f._ordinal IN (SELECT _ordinal FROM after_records)"
_PLAIN = """
SELECT {difference}, {key}, {ordinal}, NULL, NULL, NULL, NULL, NULL, {field}, {before}, {after} FROM {source}"""
_NULL = "NULL"


def compare_runs(request: CompareRequest, _descriptors: Sequence[int] = ()) -> Compared:
    """Write what differs between the request's runs, sorted by difference, key and field.

    Raises:
        TransformError: memory or spill space ran out.
    """
    files = [*request.before.files, *request.after.files]
    budget = Budget(request.memory, request.threads).for_files(*files)
    try:
        with open_duckdb(request.target.parent, [*(path.parent for path in files), *files], budget) as engine:
            return _compare(engine, request)
    except duckdb.OutOfMemoryException as error:
        raise TransformError("out-of-memory", "The comparison needs more memory or disk than it may use.") from error


def _compare(engine: duckdb.DuckDBPyConnection, request: CompareRequest) -> Compared:
    sides = {"before": request.before, "after": request.after}
    fields = _fields(engine, sides)
    engine.execute(f"CREATE TEMP TABLE found ({', '.join(f'{name} {kind}' for name, kind in _FOUND.items())})")
    counts, records = Counter[str](), Counter[str]()
    for low in range(0, _highest(engine, sides) + 1, _SLICE):
        # what belongs together has one ordinal, so that memory holds a slice however many records there are
        _cut(engine, sides, low)
        records.update({name: _one(engine, f"SELECT count(*) FROM {name}_records") for name in sides})
        engine.execute(f"CREATE OR REPLACE TEMP TABLE differing AS {_differing(fields)}")
        engine.execute(f"CREATE OR REPLACE TEMP TABLE slice AS {' UNION ALL '.join(_parts(fields))}")
        counts.update(dict(_rows(engine, "SELECT difference, count(DISTINCT _ordinal) FROM slice GROUP BY 1")))
        engine.execute("INSERT INTO found SELECT * FROM slice")
    target = quote_literal(str(request.target))
    engine.execute(f"""
        COPY (SELECT row_number() OVER () AS position, * FROM (
            SELECT * FROM found ORDER BY difference, key, _ordinal, phase, rule_id, field
        )) TO {target} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)""")
    return _conclude(engine, request.target, dict(counts), max(records.values(), default=0))


def _highest(engine: duckdb.DuckDBPyConnection, sides: Mapping[str, Side]) -> int:
    files = ", ".join(quote_literal(str(path)) for side in sides.values() for path in side.files)
    return _one(engine, f"SELECT coalesce(max(_ordinal), -1) FROM read_parquet([{files}], union_by_name = true)")


def _cut(engine: duckdb.DuckDBPyConnection, sides: Mapping[str, Side], low: int) -> None:
    """Make the views of the records and failures whose ordinals are in the slice from `low` on."""
    where = f"WHERE _ordinal BETWEEN {low} AND {low + _SLICE - 1}"
    for name, side in sides.items():
        failures = " UNION ALL ".join(_failures(side, where))
        engine.execute(f"CREATE OR REPLACE TEMP VIEW {name}_failures AS {failures}")
        engine.execute(f"CREATE OR REPLACE TEMP VIEW {name}_records AS {_records(side, where)}")


def _failures(side: Side, where: str) -> Iterator[str]:
    yield f"SELECT 'input' AS phase, * FROM ({_NO_FAILURES})"
    for phase, path in (("input", side.input), ("transform", side.faults), ("output", side.output)):
        if path is not None:
            columns = "_ordinal, key, rule_id, severity, outcome, message"
            yield f"SELECT {quote_literal(phase)}, {columns} FROM read_parquet({quote_literal(str(path))}) {where}"


def _records(side: Side, where: str) -> str:
    """Return the side's records, each with its place among those of the same source record."""
    file = f"read_parquet({quote_literal(str(side.records))}, file_row_number = true)"
    place = "row_number() OVER (PARTITION BY _ordinal ORDER BY file_row_number)"
    return f"SELECT * EXCLUDE (file_row_number), {place} AS _place FROM {file} {where}"


def _one(engine: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(engine.execute(query).fetchall()[0][0])


def _fields(engine: duckdb.DuckDBPyConnection, sides: Mapping[str, Side]) -> dict[str, tuple[str, str]]:
    """Return every output field with how its value before and its value after are compared."""
    files = [quote_literal(str(side.records)) for side in sides.values()]
    before, after = (engine.sql(f"FROM read_parquet({file})").columns for file in files)
    names = [name for name in dict.fromkeys((*before, *after)) if name not in _OWN]
    return {name: (_value("b", name, before), _value("a", name, after)) for name in names}


def _value(side: str, name: str, columns: Sequence[str]) -> str:
    # as text: a schema's draft may give the field another type
    return f"CAST({side}.{quote_identifier(name)} AS VARCHAR)" if name in columns else "CAST(NULL AS VARCHAR)"


def _differing(fields: dict[str, tuple[str, str]]) -> str:
    """Return the query of records that came out of both runs with another value in some field."""
    shown = [f"{pair[side]} AS {word}{number}" for number, pair in enumerate(fields.values())
             for side, word in ((0, "b"), (1, "a"))]  # fmt: skip
    unequal = " OR ".join(f"{before} IS DISTINCT FROM {after}" for before, after in fields.values()) or "false"
    columns = ", ".join(["b._ordinal AS _ordinal", "b._key AS key", *shown])
    return f"SELECT {columns} FROM before_records AS b JOIN after_records AS a USING (_ordinal, _place) WHERE {unequal}"


def _parts(fields: dict[str, tuple[str, str]]) -> Iterator[str]:
    yield _FAILED.format(difference="'newly_failing'", mine="after_failures", other="before_failures", judged="")
    yield _FAILED.format(difference="'newly_passing'", mine="before_failures", other="after_failures", judged=_JUDGED)
    for word, mine, other in (("no_longer_out", "before", "after"), ("newly_out", "after", "before")):
        source = f"{mine}_records AS f ANTI JOIN {other}_records AS o USING (_ordinal, _place)"
        empty = {"field": _NULL, "before": _NULL, "after": _NULL}
        yield _PLAIN.format(difference=quote_literal(word), key="f._key", ordinal="f._ordinal", source=source, **empty)
    for number, name in enumerate(fields):
        before, after = f"b{number}", f"a{number}"
        values = {"field": quote_literal(name), "before": before, "after": after, "key": "key", "ordinal": "_ordinal"}
        yield _PLAIN.format(
            difference="'changed'", source=f"differing WHERE {before} IS DISTINCT FROM {after}", **values
        )


def _conclude(engine: duckdb.DuckDBPyConnection, target: Path, counts: dict[str, int], records: int) -> Compared:
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
