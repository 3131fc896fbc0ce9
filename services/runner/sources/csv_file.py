"""CSV into a sealed extract: text as it stands, in the file's order."""

import codecs
import csv
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from libs.common.vocabulary.schemas import SchemaSpec
from libs.expressions import quote_identifier, quote_literal
from services.runner.engines.duck import Budget, open_duckdb
from services.runner.engines.errors import SourceError
from services.runner.engines.sealing import Extract, seal
from services.runner.sources.requests import CsvRequest

_UTF_8 = codecs.lookup("utf-8-sig")  # here, not in a child: it is a module to be imported
_HEADER_LIMIT = 1024 * 1024
_LINE_LIMIT = 16 * 1024 * 1024
_ROW = re.compile(r"CSV Error on Line: (\d+)")
_SHAPE = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")


def parse_csv(request: CsvRequest, descriptors: Sequence[int]) -> Extract:
    """Write the CSV behind the first of `descriptors` as a sealed extract to the request's target.

    RFC 4180 with any line end, UTF-8 with or without a byte order mark. All columns are text; a value that is absent
    is null, a quoted empty one is the empty text. Columns that the schema does not name are left out.

    Raises:
        SourceError: `missing-column`, `header-malformed`, `file-malformed` (with the line) or `not-utf8`.
    """
    descriptor, name, schema = descriptors[0], request.name, request.source_schema
    header = read_header(descriptor, name, request.delimiter)
    _require_columns(header, schema, name)
    source = Path(f"/proc/self/fd/{descriptor}")
    try:
        budget = Budget(request.memory, request.threads).for_files(source)
        with open_duckdb(request.target.parent, [source], budget) as engine:
            rows = engine.execute(_copy(source, header, request)).fetchall()[0][0]
    except duckdb.Error as error:
        raise _explain(error, descriptor, name, request.delimiter, len(header)) from error
    sealed = seal(request.target, rows)
    return Extract(**sealed.model_dump(), column_types=dict.fromkeys((f.name for f in schema.fields), "VARCHAR"))


def read_header(descriptor: int, name: str, delimiter: str) -> list[str]:
    """Return the column names of the first line.

    Raises:
        SourceError: `header-malformed` for an empty file, a nameless or a repeated column.
    """
    head = os.pread(descriptor, _HEADER_LIMIT, 0)
    text = _UTF_8.decode(head, "replace")[0]
    try:
        names = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise SourceError("header-malformed", f"The header of {name} cannot be read: {error}.") from error
    if not names or not all(names):
        raise SourceError("header-malformed", f"{name} has no header line with column names.")
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise SourceError("header-malformed", f"{name} names columns twice: {', '.join(twice)}.")
    return names


def _require_columns(header: list[str], schema: SchemaSpec, name: str) -> None:
    missing = [field.name for field in schema.fields if field.name not in header]
    if missing:
        found = ", ".join(header)
        raise SourceError(
            "missing-column", f"{name} has no column {', '.join(map(repr, missing))}. Its columns are: {found}."
        )


def _copy(source: Path, header: list[str], request: CsvRequest) -> str:
    columns = ", ".join(f"{quote_literal(column)}: 'VARCHAR'" for column in header)
    fields = ", ".join(quote_identifier(field.name) for field in request.source_schema.fields)
    limited = "" if request.limit is None else f"LIMIT {int(request.limit)}"
    return f"""
        COPY (
          SELECT row_number() OVER () AS _ordinal, {fields}
          FROM (FROM read_csv({quote_literal(str(source))}, auto_detect = false, header = true, columns = {{{columns}}},
            delim = {quote_literal(request.delimiter)}, quote = '"', escape = '"', strict_mode = true,
            allow_quoted_nulls = false, max_line_size = {_LINE_LIMIT}) {limited})
        ) TO {quote_literal(str(request.target))} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, USE_TMP_FILE false)"""


def _explain(error: duckdb.Error, descriptor: int, name: str, delimiter: str, width: int) -> SourceError:
    text = str(error)
    if "not utf-8" in text or "Invalid unicode" in text:
        return SourceError("not-utf8", f"{name} is not UTF-8{_near(text)}.")
    if "Maximum line size" in text:
        return SourceError("file-malformed", f"{name} has a line longer than {_LINE_LIMIT:,} bytes{_near(text)}.")
    if _SHAPE.search(text):
        return _ragged(descriptor, name, delimiter, width) or SourceError(
            "file-malformed", f"{name} has a row with another number of values than its header{_near(text)}."
        )
    if "quote" in text:
        return SourceError("file-malformed", f"{name} has a quoted value that does not end{_near(text)}.")
    return SourceError("file-malformed", f"{name} cannot be read as CSV{_near(text)}.")


def _near(text: str) -> str:
    # the engine counts rows, header included, where values span lines
    row = _ROW.search(text)
    return f" (row {row[1]}, the header being row 1)" if row else ""


def _ragged(descriptor: int, name: str, delimiter: str, width: int) -> SourceError | None:
    """Find the first ragged row's line by reading again: the engine counts rows, people count lines."""
    with open(descriptor, encoding="utf-8-sig", errors="replace", newline="", closefd=False) as stream:
        stream.seek(0)
        reader = csv.reader(stream, delimiter=delimiter)
        line = 1
        for row in reader:
            if row and len(row) != width:
                text = f"Line {line} of {name} has {len(row)} values, the header names {width}."
                return SourceError("file-malformed", text)
            line = reader.line_num + 1
    return None
