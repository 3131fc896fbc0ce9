"""What a validation leaves in files: checked and written anew behind the wall before anybody else reads it."""

from collections.abc import Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from libs.common.jail import MIB, JobServer
from libs.common.jail.tables import Described, Expected, TableError, describe_table, reseal_tables

_FAILURES_COLUMNS: dict[str, pa.DataType] = {
    "_ordinal": pa.int64(),
    "key": pa.string(),
    "rule_id": pa.string(),
    "rule_version": pa.int32(),
    "severity": pa.string(),
    "outcome": pa.string(),
    "fields": pa.string(),
    "message": pa.string(),
}
_CORRECTIONS_COLUMNS: dict[str, pa.DataType] = {
    "_ordinal": pa.int64(),
    "key": pa.string(),
    "field": pa.string(),
    "old_value": pa.string(),
    "new_value": pa.string(),
    "rule_id": pa.string(),
    "rule_version": pa.int32(),
}
FAILURES = pa.schema(_FAILURES_COLUMNS)
CORRECTIONS = pa.schema(_CORRECTIONS_COLUMNS)
RESULT_BYTES = 2048 * MIB
_SCHEMAS = {"failures": FAILURES, "corrections": CORRECTIONS}

Rows = dict[str, list[dict[str, Any]]]
"""`failures` and `corrections`, in so far as they were asked for."""


class ResultError(Exception):
    """A job's answer is not what a validation can give; it is not used."""


def raw(scratch: Path, name: str) -> Path:
    """Return where a job writes a table that nobody has looked at yet."""
    return scratch / f"{name}.unchecked"


async def seal(server: JobServer, scratch: Path, counts: Mapping[str, int], most: int, owner: str | None) -> Rows:
    """Check the job's tables against what it said of them and leave them as `<name>.parquet`; return those of few rows.

    Raises:
        ResultError: a table is not what was announced. JobServerLost, ConfinementError: see `JobServer.run`.
    """
    if most and max(counts.values()) > most:
        raise ResultError(f"more than {most} rows")
    rows: Rows = {name: [] for name in counts}
    expected = {
        name: Expected(raw(scratch, name), scratch / f"{name}.parquet", _SCHEMAS[name], count, RESULT_BYTES, most)
        for name, count in counts.items()
        if count
    }
    for name in counts.keys() - expected.keys():
        (scratch / f"{name}.parquet").write_bytes(_empty(_SCHEMAS[name]))
    if not expected:
        return rows
    try:
        sealed = await reseal_tables(server, list(expected.values()), owner=owner)
    except TableError as error:
        raise ResultError(str(error)) from error
    return rows | {name: one.values for name, one in zip(expected, sealed, strict=True)}


async def seal_table(
    server: JobServer, scratch: Path, name: str, schema: pa.Schema, count: int, owner: str | None
) -> list[dict[str, Any]]:
    """Check one other table of a job, of `count` rows, leave it as `<name>.parquet` and return its rows.

    Raises:
        ResultError: it is not what was announced. JobServerLost, ConfinementError: see `JobServer.run`.
    """
    if not count:
        return []
    expected = Expected(raw(scratch, name), scratch / f"{name}.parquet", schema, count, RESULT_BYTES, count)
    try:
        (sealed,) = await reseal_tables(server, [expected], owner=owner)
    except TableError as error:
        raise ResultError(str(error)) from error
    return sealed.values


async def described(server: JobServer, data: Path, owner: str | None) -> Described:
    """Return what a dataset says of itself, read behind the wall.

    Raises:
        ResultError: it is not Parquet. JobServerLost, ConfinementError: see `JobServer.run`.
    """
    try:
        return await describe_table(server, data, owner=owner)
    except TableError as error:
        raise ResultError(str(error)) from error


async def describe(server: JobServer, data: Path, owner: str | None) -> dict[str, str]:
    """Return the columns of a dataset and their types by name, read behind the wall; raises as `described`."""
    return (await described(server, data, owner)).columns


@cache
def _empty(schema: pa.Schema) -> bytes:
    file = BytesIO()
    pq.ParquetWriter(file, schema, compression="zstd").close()  # not empty_table(): that imports pandas where it can
    return file.getvalue()
