"""CSV, Parquet and JSON artifacts: the same records give the same bytes."""

from typing import BinaryIO

import duckdb

from libs.common.vocabulary.reports import CsvOutput
from libs.common.vocabulary.schemas import SchemaField
from libs.expressions import quote_identifier, quote_literal
from services.runner.artifacts.formats import plain_text
from services.runner.artifacts.records import RECORDS, open_records
from services.runner.artifacts.requests import Artifact, RenderRequest
from services.runner.engines.parquet import parquet_rows
from services.runner.engines.sealing import seal
from services.runner.engines.streams import stream_batches, text_bytes

_BATCH = 8192


def render_csv(request: RenderRequest) -> Artifact:
    r"""Write a CSV artifact: UTF-8, header line, RFC 4180 quoting where needed, `\n` line ends, null as nothing.

    Raises:
        RenderError: when the engine runs out of memory or disk.
    """
    delimiter = quote_literal(request.output.delimiter if isinstance(request.output, CsvOutput) else ",")
    columns = ", ".join(f"{plain_text(f)} AS {quote_identifier(f.name)}" for f in request.target_schema.fields)
    with open_records(request) as engine:
        written = engine.execute(f"""
            COPY (SELECT {columns} FROM {RECORDS} AS t) TO {quote_literal(str(request.target))}
            (FORMAT csv, HEADER true, DELIMITER {delimiter}, QUOTE '"', ESCAPE '"', USE_TMP_FILE false)""")
        return _artifact(request, int(written.fetchall()[0][0]))


def render_parquet(request: RenderRequest) -> Artifact:
    """Write a Parquet artifact with the target schema's types, zstd.

    Raises:
        RenderError: when the engine runs out of memory or disk.
    """
    columns = ", ".join(f"t.{quote_identifier(field.name)}" for field in request.target_schema.fields)
    with open_records(request) as engine:
        target = quote_literal(str(request.target))
        engine.execute(
            f"COPY (SELECT {columns} FROM {RECORDS} AS t) TO {target} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
        )
    return _artifact(request, parquet_rows(request.target))


def render_json(request: RenderRequest) -> Artifact:
    """Write a JSON artifact: one object a line, as NDJSON or as the elements of one array.

    Raises:
        RenderError: when the engine runs out of memory or disk.
    """
    array = request.output.format == "json"
    pairs = ", ".join(_json_pair(field, "" if n == 0 else ",") for n, field in enumerate(request.target_schema.fields))
    before, after = ("',\n'", "''") if array else ("''", "'\n'")
    query = f"SELECT concat({before}, '{{', {pairs}, '}}', {after}) FROM {RECORDS} AS t"
    with open_records(request) as engine, request.target.open("wb") as stream:
        stream.write(b"[\n" if array else b"")
        rows = _write_texts(engine, query, stream, skip=len(",\n") if array else 0)
        stream.write(b"\n]\n" if array else b"")
    return _artifact(request, rows)


def _json_pair(field: SchemaField, before: str) -> str:
    label = quote_literal(f'{before}"{field.name}":')
    return f"{label}, coalesce({_json_value(field)}, 'null')"


def _json_value(field: SchemaField) -> str:
    if field.type == "text":
        return f"CAST(to_json(t.{quote_identifier(field.name)}) AS VARCHAR)"
    text = plain_text(field)
    return f"'\"' || {text} || '\"'" if field.type in ("date", "timestamp") else text


def _write_texts(engine: duckdb.DuckDBPyConnection, query: str, stream: BinaryIO, *, skip: int) -> int:
    rows = 0
    for batch in stream_batches(engine, query, _BATCH):
        stream.write(text_bytes(batch.column(0))[0 if rows else skip :])
        rows += batch.num_rows
    return rows


def _artifact(request: RenderRequest, rows: int) -> Artifact:
    return Artifact(**seal(request.target, rows).model_dump())
