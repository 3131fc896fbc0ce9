"""Where a transform's rows go: any table that Python people know, as a file of Arrow streams, one for each shape."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa

from services.validator.jail.unfit import UnfitResultError, is_single, is_table, no_column, no_table

_ROWS = 32_768
_BYTES = 32 * 1024 * 1024
_LISTS = {"_ordinals"}
_WIDE = (pl.Int128, pl.UInt128)
_PLAINEST: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType], ...] = (
    (pa.types.is_string, pa.string()),
    (pa.types.is_large_string, pa.string()),
    (pa.types.is_string_view, pa.string()),
    (pa.types.is_integer, pa.int64()),
    (pa.types.is_floating, pa.float64()),
    (pa.types.is_date, pa.date32()),
    (pa.types.is_boolean, pa.bool_()),
    (pa.types.is_null, pa.null()),
)


class Outlet:
    """Collects what is yielded into larger batches and writes them; a new stream begins where the columns change."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0
        self.rows = 0

    def take(self, value: object) -> None:
        """Take one table.

        Raises:
            UnfitResultError: it is none, or has columns that are no values.
        """
        table = _plain(_as_table(value))
        if table.num_rows == 0:
            return
        if self._held and not self._held[0].schema.equals(table.schema):
            self.flush()
        self._held.append(table)
        self._held_rows += table.num_rows
        self._held_bytes += table.nbytes
        self.rows += table.num_rows
        if self._held_rows >= _ROWS or self._held_bytes >= _BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if not self._held:
            return
        table = pa.concat_tables(self._held)
        self._held, self._held_rows, self._held_bytes = [], 0, 0
        with pa.ipc.new_stream(self._file, table.schema) as writer:
            writer.write_table(table, max_chunksize=_ROWS)


def tables(returned: object) -> Iterator[object]:
    """Yield the tables of what `transform` returned: one table, or an iterable of them."""
    if returned is None:
        raise UnfitResultError("transform returned nothing: yield tables, or return one")
    if is_table(returned):
        yield returned
        return
    try:
        iterator = None if is_single(returned) else iter(returned)  # type: ignore[call-overload]
    except TypeError:
        iterator = None
    if iterator is None:
        raise no_table("returned", returned)
    yield from iterator


def _as_table(value: object) -> pa.Table:
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    if isinstance(value, pa.Table):
        return value
    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    if isinstance(value, pl.DataFrame):
        return _of_polars(value)
    if isinstance(value, pd.DataFrame):
        return _of_pandas(value)
    raise no_table("yielded", value)


def _of_polars(frame: pl.DataFrame) -> pa.Table:
    for column in frame:
        if column.dtype in _WIDE:
            frame = frame.with_columns(_narrow(column))
        elif column.dtype == pl.Object:  # Arrow would be given their addresses
            raise no_column(column.name, "Python objects")
    return frame.to_arrow()


def _narrow(column: pl.Series) -> pl.Series:
    """Return whole numbers that Arrow has no type for as those that a field can hold."""
    try:
        return column.cast(pl.Int64)
    except pl.exceptions.InvalidOperationError as error:
        raise UnfitResultError(f"the column {column.name!r}: {error}") from None


def _of_pandas(frame: pd.DataFrame) -> pa.Table:
    for name in frame.columns:
        if not isinstance(name, str):
            raise UnfitResultError(f"the yielded DataFrame has a column named {name!r}: a name has to be a text")
    try:
        return pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        said, where = [str(part) for part in (*error.args, "", "")[:2]]
        place = re.search("for column (.*) with type", where)
        named = f"the column {place[1]!r} of the DataFrame" if place else "a column of the DataFrame"
        raise UnfitResultError(f"{named} has values of several kinds: {said}") from None


def _plain(table: pa.Table) -> pa.Table:
    """Return the table with the plainest type for each column, and nothing said of it but names and types."""
    if len(set(table.column_names)) != table.num_columns:
        raise UnfitResultError("the yielded table has two columns of one name")
    columns = {name: _column(name, table.column(name)) for name in table.column_names}
    return pa.table(columns) if columns else table


def _column(name: str, column: "pa.ChunkedArray[Any]") -> "pa.ChunkedArray[Any]":
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
        storages: list[Any] = [chunk.storage for chunk in column.chunks]  # type: ignore[attr-defined]
        column = pa.chunked_array(storages, kind)  # type: ignore[call-overload]
    if isinstance(kind, pa.DictionaryType):
        kind = kind.value_type
    if name in _LISTS and not pa.types.is_null(kind):
        wanted: pa.DataType | None = pa.list_(pa.int64())
    else:
        wanted = _plainest(kind)
    if wanted is None:
        raise no_column(name, kind)
    try:
        return column if column.type.equals(wanted) else column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UnfitResultError(f"the column {name!r}: {error}") from None


def _plainest(kind: pa.DataType) -> pa.DataType | None:
    types = pa.types
    if types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if types.is_decimal(kind):
        return pa.decimal128(38, kind.scale)
    for fits, plain in _PLAINEST:
        if fits(kind):
            return plain
    return None
