"""The gate: what a transform wrote is read here, in a process of its own, and believed only as far as it is checked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from libs.common.nearest import nearest_name
from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.transforms import DROPPED, KEY, ORDINAL, ORDINALS
from libs.expressions import quote_identifier
from libs.expressions.fitting import Fitting, Misfit, fit
from services.validator.jail.accounting import Accounts, Ordinals, RefusedRowsError
from services.validator.jail.engine import Resources, open_engine

_RESERVED = (ORDINAL, ORDINALS, KEY, DROPPED)
_GROUP = 30_720
_MOST_REASON = 500
_MOST_SHOWN, _MOST_NAMED = 40, 30
_ZONED = (
    "a timestamp is an instant (pandas gives it one by .dt.tz_localize('UTC'), Polars by .dt.replace_time_zone('UTC'), "
    "Python by tzinfo=datetime.timezone.utc)"
)
_GIVE = {
    "decimal": "decimals",
    "integer": "integers",
    "boolean": "truth values",
    "date": "dates",
    "timestamp": "timestamps with a time zone",
}
_UNUSED = "The transform leaves this record out."


def _shape(*columns: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema(columns)


TRACE = _shape(("_row", pa.int64()), ("_ordinal", pa.int64()))
DROPS = _shape(("_ordinal", pa.int64()), ("reason", pa.string()))
_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}


class Gate:
    """Reads a transform's streams and writes rows, their origins and what was dropped."""

    def __init__(self, job: dict[str, Any], paths: Sequence[str]) -> None:
        records, self._result, rows, trace, drops = paths
        self._schema = SchemaSpec.model_validate(job["target"])
        self._yields: str = job["yields"]
        self._unused: str = job["unused"]
        self._names = {field.name for field in self._schema.fields}
        self._accounts = Accounts(records, self._yields)
        self._engine = open_engine(Resources(), [], "")
        self._shape = _row_shape(self._schema)
        self._rows = pq.ParquetWriter(rows, self._shape, compression="zstd")
        self._trace = pq.ParquetWriter(trace, TRACE, compression="zstd")
        self._drops = pq.ParquetWriter(drops, DROPS, compression="zstd")
        self._count = self._dropped = 0

    def pass_on(self) -> dict[str, int]:
        """Take everything through; return the counts.

        Raises:
            RefusedRowsError: the rows are not what was declared, or do not fit the target schema.
        """
        for batch in _batches(self._result):
            rest = self._drop(batch)
            if rest.num_rows:
                self._take(rest)
        if self._unused == "fail":
            self._accounts.require_all()
        left = self._accounts.unused()
        self._write_drops(left, pa.array([_UNUSED] * len(left), pa.string()))
        for writer in (self._rows, self._trace, self._drops):
            writer.close()
        return {"rows": self._count, "used": self._accounts.used(), "dropped": self._dropped}

    def _drop(self, batch: pa.Table) -> pa.Table:
        """Note the dropped records of a batch; return the rows that are left."""
        if DROPPED not in batch.column_names or batch.column(DROPPED).null_count == batch.num_rows:
            return batch
        reasons = batch.column(DROPPED)
        _require(pa.types.is_string(reasons.type), f"{DROPPED} must be text: the reason, or nothing")
        gone = batch.filter(pc.is_valid(reasons))
        flat, place = _ordinals(gone)
        new = self._accounts.drop(flat)
        first = {int(ordinal): int(row) for ordinal, row in zip(flat[::-1], place[::-1], strict=True)}
        texts = pc.utf8_slice_codeunits(gone.column(DROPPED), 0, _MOST_REASON).to_pylist()
        self._write_drops(new, pa.array([texts[first[int(ordinal)]] for ordinal in new], pa.string()))
        return batch.filter(pc.is_null(reasons))

    def _write_drops(self, ordinals: Ordinals, reasons: "pa.Array[Any]") -> None:
        self._dropped += len(ordinals)
        if len(ordinals):
            self._drops.write_table(pa.table([pa.array(ordinals, pa.int64()), reasons], schema=DROPS))

    def _take(self, batch: pa.Table) -> None:
        flat, place = _ordinals(batch)
        counts = np.bincount(place, minlength=batch.num_rows)
        _require(bool((counts > 0).all()), "a row has no record behind it")
        if self._yields != "aggregate":
            _require(
                bool((counts == 1).all()),
                f"a row has several records behind it, but `yields` is {self._yields}: `aggregate` permits it",
            )
        self._accounts.use(flat)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        firsts = np.minimum.reduceat(flat, starts)
        numbers = np.arange(self._count + 1, self._count + batch.num_rows + 1, dtype=np.int64)
        if self._yields != "one_to_one":
            self._trace.write_table(pa.table([numbers[place], flat], schema=TRACE))
        own = firsts if self._yields == "one_to_one" else numbers
        head: list[Any] = [pa.array(own, pa.int64()), pa.array(firsts, pa.int64()), self._keys(batch)]
        head += self._fitted(batch, firsts)
        self._rows.write_table(pa.table(head, schema=self._shape), row_group_size=_GROUP)
        self._count += batch.num_rows

    def _keys(self, batch: pa.Table) -> "pa.Array[Any] | pa.ChunkedArray[Any]":
        if self._yields == "one_to_one" or KEY not in batch.column_names:
            return pa.nulls(batch.num_rows, pa.string())
        column = batch.column(KEY)
        _require(pa.types.is_string(column.type) or pa.types.is_null(column.type), f"{KEY} must be text")
        return column.cast(pa.string())

    def _fitted(self, batch: pa.Table, firsts: Ordinals) -> list["pa.ChunkedArray[Any]"]:
        self._require_known(batch.column_names)
        given = [name for name in batch.column_names if name in self._names and not _is_void(batch.column(name))]
        missing = [field.name for field in self._schema.fields if field.required and field.name not in given]
        _require(not missing, f"the required field {', '.join(missing)} has no value")
        self._require_zones(batch, given)
        self._engine.register("given", batch.select(given).append_column("_first", pa.array(firsts)))
        try:
            return self._cast()
        finally:
            self._engine.unregister("given")

    def _require_known(self, columns: Sequence[str]) -> None:
        unknown = sorted(set(columns) - self._names - set(_RESERVED))
        if not unknown:
            return
        near = {name: nearest_name(name, (*self._names, *_RESERVED)) for name in unknown[:_MOST_NAMED]}
        told = ", ".join(f"{name} (did you mean {meant}?)" if meant else name for name, meant in near.items())
        fields = [field.name for field in self._schema.fields][:_MOST_NAMED]
        raise RefusedRowsError(f"the target schema has no field {told}; select those that it has: {', '.join(fields)}")

    def _require_zones(self, batch: pa.Table, given: Sequence[str]) -> None:
        zoneless = {"timestamp"}
        for field in self._schema.fields:
            kind = batch.schema.field(field.name).type if field.name in given else None
            if field.type in zoneless and kind is not None and pa.types.is_timestamp(kind):
                _require(kind.tz is not None, f"{field.name} has no time zone: {_ZONED}")

    def _cast(self) -> list["pa.ChunkedArray[Any]"]:
        bound = self._engine.sql("SELECT * FROM given")
        found = {name: str(kind) for name, kind in zip(bound.columns, bound.types, strict=True)}
        fitting = fit(self._schema, found)
        self._require_fit(fitting, found)
        columns = ", ".join(f"{cast} AS {quote_identifier(name)}" for name, cast in fitting.casts)
        table: pa.Table = self._engine.sql(f"SELECT {columns} FROM given AS v").to_arrow_table()
        return [table.column(place).cast(self._shape.field(place + 3).type) for place in range(table.num_columns)]

    def _require_fit(self, fitting: Fitting, found: Mapping[str, str]) -> None:
        if not fitting.misfits:
            return
        asked = ", ".join(
            f"count(*) FILTER ({one.sql}), min(v._first) FILTER ({one.sql}), "
            f"arg_min(CAST(v.{quote_identifier(one.field)} AS VARCHAR), v._first) FILTER ({one.sql})"
            for one in fitting.misfits
        )
        answer = self._engine.execute(f"SELECT {asked} FROM given AS v").fetchall()[0]
        wrong = [
            f"{one.message.rstrip('.')} ({self._told(one, answer[3 * place : 3 * place + 3], found[one.field])})"
            for place, one in enumerate(fitting.misfits)
            if answer[3 * place]
        ]
        _require(not wrong, "; ".join(wrong[:10]))

    def _told(self, misfit: Misfit, counted: Sequence[Any], kind: str) -> str:
        """Say in how many rows a field is wrong, and show one of them: no personal value, and no long one."""
        rows, record, value = counted
        field = self._schema.field(misfit.field)
        shown = value is not None and field is not None and not field.personal
        example = f"{_short(value)} of record {record}" if shown else f"the one of record {record}"
        told = f"{rows} {'row' if rows == 1 else 'rows'}, such as {example}"
        if field is not None and kind == "VARCHAR" and field.type in _GIVE:
            told += f"; the column holds text: give {_GIVE[field.type]}"
        return told + ("; what is absent is null, not NaN" if value in ("nan", "-nan") else "")


def _row_shape(schema: SchemaSpec) -> pa.Schema:
    columns: list[tuple[str, pa.DataType]] = [("_ordinal", pa.int64()), ("_first", pa.int64()), ("_key", pa.string())]
    for field in schema.fields:
        kind = pa.decimal128(field.precision, field.scale) if field.type == "decimal" else _TYPES[field.type]
        columns.append((field.name, kind))
    return _shape(*columns)


def run(job: dict[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
    """Check `job`'s streams against its declaration; rows, origins and drops go to their files."""
    try:
        return Gate(job, [f"/proc/self/fd/{descriptor}" for descriptor in descriptors]).pass_on()
    except RefusedRowsError as error:
        return {"error": {"kind": "rows", "message": str(error)[:2000], "lines": []}}
    except UnicodeDecodeError:
        return {"error": {"kind": "rows", "message": "a column's name or type is no text", "lines": []}}
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, OSError, duckdb.Error) as error:
        message = f"the rows cannot be read: {str(error)[:500]}"
        return {"error": {"kind": "rows", "message": message, "lines": []}}


def _batches(path: str) -> Iterator[pa.Table]:
    """Yield what the file's streams hold, each batch validated in full; together they are no larger than the file."""
    with pa.OSFile(path, "rb") as file:
        size, told = file.size(), 0
        while file.tell() < size:
            with pa.ipc.open_stream(file) as stream:
                _require_plain(stream.schema)
                for batch in stream:
                    batch.validate(full=True)
                    told += batch.nbytes
                    _require(told <= size, "they are compressed, or share their bytes")
                    if batch.num_rows:
                        yield pa.Table.from_batches([batch])


def _require_plain(schema: pa.Schema) -> None:
    _require(len(set(schema.names)) == len(schema.names), "two columns have one name")
    for field in schema:
        kind = field.type
        if field.name == ORDINALS and kind.equals(pa.list_(pa.int64())):
            continue
        plain = (
            pa.types.is_boolean(kind) or kind in (pa.int64(), pa.float64(), pa.string(), pa.date32())
            or pa.types.is_null(kind) or pa.types.is_decimal128(kind)
            or (pa.types.is_timestamp(kind) and kind.unit == "us")
        )  # fmt: skip
        _require(plain, f"the column {field.name!r} holds {kind}")


def _ordinals(batch: pa.Table) -> tuple[Ordinals, Ordinals]:
    """Return the ordinals behind the rows, and beside each the place of its row."""
    names = [name for name in (ORDINAL, ORDINALS) if name in batch.column_names]
    _require(len(names) > 0, f"the rows say in no column {ORDINAL} or {ORDINALS} which records stand behind them")
    _require(len(names) == 1, f"the rows have both {ORDINAL} and {ORDINALS}")
    column: Any = batch.column(names[0]).combine_chunks()
    _require(column.null_count == 0, f"{names[0]} is empty in some rows: each row needs the record behind it")
    if names[0] == ORDINAL:
        said = f"{ORDINAL} must be the number of a record, but holds {column.type}: a join makes other numbers of it"
        _require(pa.types.is_integer(column.type), said)
        return column.to_numpy(zero_copy_only=False).astype(np.int64), np.arange(len(column), dtype=np.int64)
    _require(pa.types.is_list(column.type), f"{ORDINALS} must be lists of the numbers of records")
    values = column.flatten()
    _require(values.null_count == 0, f"{ORDINALS} holds an empty number")
    place = pc.list_parent_indices(column).to_numpy(zero_copy_only=False).astype(np.int64)
    return values.to_numpy(zero_copy_only=False).astype(np.int64), place


def _short(value: str) -> str:
    return repr(value if len(value) <= _MOST_SHOWN else value[:_MOST_SHOWN] + "...")


def _is_void(column: "pa.ChunkedArray[Any]") -> bool:
    return pa.types.is_null(column.type)


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition
    if not holds:
        raise RefusedRowsError(otherwise)
