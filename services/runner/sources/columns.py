"""How columns of a PostgreSQL source become columns of the extract."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.expressions.fitting import duckdb_type
from services.runner.engines.errors import SourceError

_INTEGERS = {"int2": "smallint", "int4": "integer", "int8": "bigint"}
_TEXTS = {"text", "varchar", "bpchar", "name", "citext", "uuid", "unknown"}
_EXACT = {
    "integer": set(_INTEGERS),
    "decimal": {"numeric", *_INTEGERS},
    "boolean": {"bool"},
    "date": {"date"},
    "timestamp": {"timestamptz"},
}
_READABLE = {
    **_INTEGERS, "bool": "boolean", "float4": "real", "float8": "double precision", "bpchar": "character",
    "varchar": "character varying", "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
}  # fmt: skip
_AS_TEXT = {
    "text": {*_TEXTS, *_INTEGERS, "numeric", "bool", "date", "time", "interval", "float4", "float8"},
    "integer": {*_TEXTS, "numeric"},
    "decimal": {*_TEXTS, "float4", "float8"},
    "boolean": set(_TEXTS),
    "date": set(_TEXTS),
    "timestamp": set(_TEXTS),
}
_HINTS = {
    ("timestamp", "timestamp"): " It has no time zone: say which in the query, as in x AT TIME ZONE 'Europe/Berlin'.",
    ("date", "timestamptz"): " Say in the query which day it is, as in (x AT TIME ZONE 'Europe/Berlin')::date.",
}


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column that the query returns: its name and PostgreSQL's internal name of its type."""

    name: str
    type: str
    is_enum: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """How one schema field is read: as its own type, or as the raw text."""

    field: SchemaField
    typed: bool

    @property
    def duckdb_type(self) -> str:
        """The type of the extract's column."""
        return duckdb_type(self.field) if self.typed else "VARCHAR"

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type that stands for it."""
        if not self.typed:
            return pa.string()
        if self.field.type == "decimal":
            return pa.decimal128(self.field.precision, self.field.scale)
        return _ARROW[self.field.type]


_ARROW: dict[str, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}


def match_columns(schema: SchemaSpec, columns: Sequence[SourceColumn]) -> list[Reading]:
    """Return how each schema field is read from the query's columns; columns that the schema lacks are ignored.

    Raises:
        SourceError: `missing-column`, `column-repeated`, or `type-mismatch` naming column, found and expected type.
    """
    names = [column.name for column in columns]
    missing = [field.name for field in schema.fields if field.name not in names]
    if missing:
        listed = ", ".join(map(repr, missing))
        raise SourceError(
            "missing-column", f"The query returns no column {listed}. Its columns are: {', '.join(names)}."
        )
    twice = [field.name for field in schema.fields if names.count(field.name) > 1]
    if twice:
        raise SourceError("column-repeated", f"The query returns the column {twice[0]!r} more than once.")
    found = {column.name: column for column in columns}
    return [_match(field, found[field.name]) for field in schema.fields]


def _match(field: SchemaField, column: SourceColumn) -> Reading:
    if column.type in _EXACT.get(field.type, ()):
        return Reading(field, typed=True)
    if column.is_enum or column.type in _AS_TEXT[field.type]:
        return Reading(field, typed=False)
    shown = _READABLE.get(column.type, column.type)
    hint = _HINTS.get((field.type, column.type), "")
    text = f"The column {field.name!r} is of type {shown}; the schema expects {field.type}.{hint}"
    raise SourceError("type-mismatch", text)
