"""What a report's own code made, taken into the ledger: whatever the validator says, the records are counted again."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from libs.expressions import quote_identifier, quote_literal
from libs.expressions.fitting import duckdb_type
from services.runner.engines.duck import Budget, open_duckdb
from services.runner.engines.errors import TransformError
from services.runner.engines.loading import load_held
from services.runner.engines.parquet import parquet_rows
from services.runner.engines.requests import Folded, FoldRequest
from services.runner.engines.sealing import SealedFile, seal

_PARQUET = "(FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
_DROPS = {"_ordinal": "BIGINT", "reason": "VARCHAR"}
_TRACE = {"_row": "BIGINT", "_ordinal": "BIGINT"}


def run_fold(request: FoldRequest, _descriptors: Sequence[int] = ()) -> Folded:
    """Write the rows with their keys, their origins, and the records that were dropped.

    Raises:
        TransformError: `bad-rows` where the files are not what they should be; `unbalanced` where a record is foreign,
            stands twice, or is missing; memory or spill space ran out.
    """
    inputs = [path.parent for path in _inputs(request)]
    budget = Budget(request.memory, request.threads).for_files(request.rows, request.records)
    try:
        with open_duckdb(request.output.parent, [*inputs, request.origins, request.dropped], budget) as engine:
            return _fold(engine, request)
    except duckdb.OutOfMemoryException as error:
        raise TransformError("out-of-memory", "The rows need more memory or disk than they may use.") from error
    except duckdb.Error as error:
        raise TransformError("bad-rows", f"The transform's rows cannot be read: {error}") from error


def _inputs(request: FoldRequest) -> list[Path]:
    chosen = (request.records, request.rows, request.trace, request.drops, *request.failures)
    return [path for path in chosen if path is not None]


def _fold(engine: duckdb.DuckDBPyConnection, request: FoldRequest) -> Folded:
    target = {field.name: duckdb_type(field) for field in request.target_schema.fields}
    _view(engine, "made", request.rows, {"_ordinal": "BIGINT", "_first": "BIGINT", "_key": "VARCHAR", **target})
    _view(engine, "drops", request.drops, _DROPS)
    _view(engine, "known", request.records, {"_ordinal": "BIGINT", "_key": "VARCHAR"}, more=True)
    if request.trace is None:
        engine.execute("CREATE TEMP VIEW behind AS SELECT _ordinal AS _row, _ordinal FROM made")
    else:
        _view(engine, "behind", request.trace, _TRACE)
    load_held(engine, request.failures)
    used = _balanced(engine, request)
    _write_rows(engine, request, tuple(target))
    dropped = _copy(
        engine,
        request.dropped,
        "SELECT k._key AS key, d._ordinal, d.reason FROM drops AS d JOIN known AS k USING (_ordinal) ORDER BY key, _ordinal",
    )
    return Folded(
        output=seal(request.output, parquet_rows(request.output)),
        origins=_origins(engine, request),
        dropped=dropped,
        used=used,
    )


def _view(
    engine: duckdb.DuckDBPyConnection, name: str, path: Path | None, columns: dict[str, str], *, more: bool = False
) -> None:
    """Show a file as a view, if its columns are what they should be; no file is an empty one."""
    quoted = quote_identifier(name)
    if path is None:
        listed = ", ".join(f"{quote_identifier(column)} {kind}" for column, kind in columns.items())
        engine.execute(f"CREATE TEMP TABLE {quoted} ({listed})")
        return
    engine.execute(f"CREATE TEMP VIEW {quoted} AS FROM read_parquet({quote_literal(str(path))})")
    bound = engine.sql(f"SELECT * FROM {quoted}")
    found = dict(zip(bound.columns, (str(kind) for kind in bound.types), strict=True))
    seen = {column: found.get(column) for column in columns}
    if seen != columns or (not more and len(found) != len(columns)):
        raise TransformError("bad-rows", f"The transform's file of {name} has other columns than it should.")


def _balanced(engine: duckdb.DuckDBPyConnection, request: FoldRequest) -> int:
    """Return the number of records behind rows; every record must be in one of three places, and in one only."""
    rows = request.rows_in
    for source in ("behind", "drops", "held"):
        query = f"SELECT count(*) FROM {source} WHERE _ordinal IS NULL OR _ordinal NOT BETWEEN 1 AND {rows}"
        _refuse(_number(engine, query), "records do not come from the extract")
    _refuse(
        _number(engine, "SELECT count(*) FROM behind ANTI JOIN made ON made._ordinal = behind._row"),
        "origins name no row",
    )
    _refuse(
        _number(engine, "SELECT count(*) FROM made ANTI JOIN behind ON made._ordinal = behind._row"),
        "rows have no record behind them",
    )
    _refuse(_number(engine, "SELECT count(*) - count(DISTINCT _ordinal) FROM made"), "rows have the number of another")
    used, dropped, held = (_places(engine, source, rows) for source in ("behind", "drops", "held"))
    everywhere = "SELECT _ordinal FROM behind UNION ALL SELECT _ordinal FROM drops UNION ALL SELECT _ordinal FROM held"
    together = _places(engine, f"({everywhere})", rows)
    _refuse(used + dropped + held - together, "records are in two places: behind a row, dropped, or held")
    _refuse(rows - together, "records came to nothing")
    return used


def _places(engine: duckdb.DuckDBPyConnection, source: str, rows: int) -> int:
    """Count distinct records, a bit each."""
    bits = f"SELECT bitstring_agg(_ordinal, 1, {max(rows, 1)}) AS bits FROM {source}"
    return _number(engine, f"SELECT coalesce(bit_count(bits), 0) FROM ({bits})")


def _refuse(count: int, what: str) -> None:
    if count:
        raise TransformError("unbalanced", f"The transform does not account for every record: {count} {what}.")


def _number(engine: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(engine.execute(query).fetchall()[0][0])


def _write_rows(engine: duckdb.DuckDBPyConnection, request: FoldRequest, fields: Sequence[str]) -> None:
    """Write the rows with their keys, in the order in which they were given."""
    columns = ", ".join(f"v.{quote_identifier(field)}" for field in fields)
    query = f"""SELECT v._ordinal, coalesce(v._key, k._key) AS _key, {columns}
        FROM {_numbered(request.rows)} AS v LEFT JOIN known AS k ON k._ordinal = v._first"""
    _copy(engine, request.output, query)
    astray = f"""SELECT count(*) FROM {_numbered(request.output)} AS o JOIN {_numbered(request.rows)} AS v
        USING (file_row_number) WHERE o._ordinal IS DISTINCT FROM v._ordinal"""
    if _number(engine, astray):  # a join that had to spill does not keep the scan's order
        _copy(engine, request.output, f"{query} ORDER BY v.file_row_number")


def _numbered(path: Path) -> str:
    return f"read_parquet({quote_literal(str(path))}, file_row_number = true)"


def _origins(engine: duckdb.DuckDBPyConnection, request: FoldRequest) -> SealedFile | None:
    if request.trace is None:
        return None
    # one after the other: memory holds one join or the sort, not all of them
    engine.execute("""CREATE TEMP TABLE placed AS SELECT b._ordinal, b._row, m._first
        FROM behind AS b JOIN made AS m ON m._ordinal = b._row""")
    engine.execute(
        "CREATE TEMP TABLE named AS SELECT k._key AS key, p.* FROM placed AS p JOIN known AS k USING (_ordinal)"
    )
    engine.execute("DROP TABLE placed")
    return _copy(engine, request.origins, "SELECT * FROM named ORDER BY key, _ordinal, _row")


def _copy(engine: duckdb.DuckDBPyConnection, target: Path, query: str) -> SealedFile:
    engine.execute(f"COPY ({query}) TO {quote_literal(str(target))} {_PARQUET}")
    return seal(target, parquet_rows(target))
