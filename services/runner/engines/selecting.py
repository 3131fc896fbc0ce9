"""What is taken of a sealed extract: some records for a correction, all with fields that they lack for a backtest."""

from collections.abc import Sequence
from pathlib import Path

from libs.common.vocabulary.base import Strict
from libs.expressions import quote_identifier, quote_literal
from services.runner.engines.duck import open_duckdb
from services.runner.engines.errors import SourceError
from services.runner.engines.parquet import parquet_rows
from services.runner.engines.sealing import SealedFile, seal


class SelectRequest(Strict):
    """Write the records of `extract` whose `_ordinal` stands in `ordinals` (Parquet) to `target`."""

    extract: Path
    ordinals: Path
    target: Path


class WidenRequest(Strict):
    """Write the records of `extract` to `target` with `fields`, in which they have nothing."""

    extract: Path
    fields: tuple[str, ...]
    target: Path


def select_records(request: SelectRequest, _descriptors: Sequence[int] = ()) -> SealedFile:
    """Write the selected records, in the order that they have there, counted anew from 1.

    Raises:
        SourceError: `records-missing` when the extract lacks one of them.
    """
    extract, ordinals, target = (
        quote_literal(str(path)) for path in (request.extract, request.ordinals, request.target)
    )
    with open_duckdb(request.target.parent, [request.extract, request.ordinals]) as engine:
        engine.execute(f"""COPY (
            SELECT row_number() OVER (ORDER BY r._ordinal) AS _ordinal, r.* EXCLUDE (_ordinal)
            FROM read_parquet({extract}) AS r SEMI JOIN read_parquet({ordinals}) AS o ON r._ordinal = o._ordinal
            ORDER BY r._ordinal) TO {target} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)""")
    rows = parquet_rows(request.target)
    if rows != parquet_rows(request.ordinals):
        raise SourceError("records-missing", "The sealed extract does not have all records that are to be corrected.")
    return seal(request.target, rows)


def widen_records(request: WidenRequest, _descriptors: Sequence[int] = ()) -> SealedFile:
    """Write the records with the fields that they lack."""
    extract, target = (quote_literal(str(path)) for path in (request.extract, request.target))
    fields = ", ".join(f"CAST(NULL AS VARCHAR) AS {quote_identifier(name)}" for name in request.fields)
    with open_duckdb(request.target.parent, [request.extract]) as engine:
        engine.execute(f"""COPY (SELECT *, {fields} FROM read_parquet({extract}) ORDER BY _ordinal)
            TO {target} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)""")
    return seal(request.target, parquet_rows(request.target))
