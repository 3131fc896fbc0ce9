"""Some records of a sealed extract, for a correction: in the order that they have there, counted anew from 1."""

from collections.abc import Sequence
from pathlib import Path

from libs.common.vocabulary.base import Strict
from libs.expressions import quote_literal
from services.runner.engines.duck import open_duckdb
from services.runner.engines.errors import SourceError
from services.runner.engines.parquet import parquet_rows
from services.runner.engines.sealing import SealedFile, seal


class SelectRequest(Strict):
    """Write the records of `extract` whose `_ordinal` stands in `ordinals` (Parquet) to `target`."""

    extract: Path
    ordinals: Path
    target: Path


def select_records(request: SelectRequest, _descriptors: Sequence[int] = ()) -> SealedFile:
    """Write the selected records.

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
            ORDER BY r._ordinal) TO {target} (FORMAT parquet, COMPRESSION zstd)""")
    rows = parquet_rows(request.target)
    if rows != parquet_rows(request.ordinals):
        raise SourceError("records-missing", "The sealed extract does not have all records that are to be corrected.")
    return seal(request.target, rows)
