"""From a raw column to its typed value: total conversions with anchored patterns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.expressions.instants import FIRST_INSTANT, LAST_INSTANT, date_sql, timestamp_sql, timestamp_text
from libs.expressions.quoting import quote_identifier, without_nul
from libs.expressions.scope import Compiled

_INTEGERS = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "HUGEINT",
    "UHUGEINT",
}
_NARROW = _INTEGERS - {"UBIGINT", "HUGEINT", "UHUGEINT"}
_TIMESTAMPS = {"TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_ORDERED = {("text", "VARCHAR"), ("date", "DATE")}
_INTEGER_PATTERN = "[+-]?[0-9]{1,18}"


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """A field's typed value and three conditions on its raw column, as SQL over `"r"."name"`.

    `given` is false for null and the empty string, which pass the others: `conforms` is false for a value that is not of
    the field's type, `fits` for text that is too long. None of the four is ever an error, no condition is ever null.
    """

    name: str
    sql: str
    given: str
    conforms: str
    fits: str


def stored_column(field: SchemaField, physical: str) -> TypedColumn | None:
    """Return how a field is read where every stored value is known to be one of its type: as it is stored.

    That is to know of text that it is never empty, and of days and instants that they lie in the years 1 to 9999. None
    for other columns, which would be read no differently or not known by their least and largest values.
    """
    kind, raw = physical.upper(), _raw(field.name)
    if (field.type, kind) in _ORDERED or (field.type == "timestamp" and kind in _TIMESTAMPS):
        return TypedColumn(field.name, raw, f"({raw} IS NOT NULL)", "true", _fits(field, raw))
    return None


def typed_columns(schema: SchemaSpec, column_types: Mapping[str, str]) -> list[TypedColumn]:
    """Return how each field of `schema` is read from raw columns of the given DuckDB types; KeyError for a missing one."""
    return [_typed_column(field, column_types[field.name]) for field in schema.fields]


def business_key(schema: SchemaSpec, fields: Sequence[str], column_types: Mapping[str, str]) -> str:
    r"""Return SQL of the business key: the fields' source text, `|` between them, `\` before a `|` or `\` inside.

    A NUL is told by its sign.
    """
    unknown = [name for name in fields if schema.field(name) is None]
    if unknown:
        raise KeyError(unknown[0])
    parts = [_key_part(_raw(name), column_types[name]) for name in fields]
    return "(" + " || '|' || ".join(parts) + ")"


def fitted(compiled: Compiled, field: SchemaField) -> str:
    """Return SQL of an expression's value in the DuckDB type of `field`: rounded half-even to its scale, null if too large."""
    if field.type != "decimal" or compiled.type not in ("integer", "decimal"):
        return compiled.sql
    return f"TRY_CAST(round_even({compiled.sql}, {field.scale}) AS DECIMAL({field.precision},{field.scale}))"


def _typed_column(field: SchemaField, physical: str) -> TypedColumn:
    raw = _raw(field.name)
    text = text_of(raw, physical)
    typed = _direct(field, raw, physical.upper()) or _from_text(field, text)
    given = f"(nullif({text}, '') IS NOT NULL)" if physical.upper() == "VARCHAR" else f"({raw} IS NOT NULL)"
    sure = field.type == "text" or _is_lossless(field, physical.upper())
    conforms = "true" if sure else f"({given} = ({typed} IS NOT NULL))"
    return TypedColumn(field.name, typed, given, conforms, _fits(field, text))


def _fits(field: SchemaField, text: str) -> str:
    if field.type != "text" or field.max_length is None:
        return "true"
    return f"coalesce(length({text}) <= {field.max_length}, true)"


def _is_lossless(field: SchemaField, physical: str) -> bool:
    """Say whether the field's type has every value that a column of the physical type can have."""
    if field.type in ("integer", "boolean"):
        return physical in (_NARROW if field.type == "integer" else {"BOOLEAN"})
    decimal = _DECIMAL.fullmatch(physical) if field.type == "decimal" else None
    if decimal is None:
        return False
    precision, scale = int(decimal[1]), int(decimal[2])
    return scale <= field.scale and precision - scale <= field.precision - field.scale


def _direct(field: SchemaField, raw: str, physical: str) -> str | None:
    """Return the cast for a column that is of the field's kind already, or None."""
    decimal = _DECIMAL.fullmatch(physical)
    if field.type == "integer" and physical in _INTEGERS:
        return f"TRY_CAST({raw} AS BIGINT)"
    if field.type == "decimal" and (physical in _INTEGERS or (decimal and int(decimal[2]) <= field.scale)):
        return f"TRY_CAST({raw} AS DECIMAL({field.precision},{field.scale}))"
    if field.type == "boolean" and physical == "BOOLEAN":
        return raw
    if field.type == "date" and physical == "DATE":
        return f"(CASE WHEN {raw} BETWEEN DATE '0001-01-01' AND DATE '9999-12-31' THEN {raw} END)"
    if field.type == "timestamp" and physical in _TIMESTAMPS:
        return f"(CASE WHEN {raw} BETWEEN {FIRST_INSTANT} AND {LAST_INSTANT} THEN {raw} END)"
    return None


def _from_text(field: SchemaField, text: str) -> str:
    if field.type == "text":
        return f"nullif({text}, '')"
    if field.type == "integer":
        return _matching(text, _INTEGER_PATTERN, "BIGINT")
    if field.type == "decimal":
        return _matching(text, _decimal_pattern(field), f"DECIMAL({field.precision},{field.scale})")
    if field.type == "boolean":
        return _matching(text, "true|false", "BOOLEAN")
    return date_sql(text) if field.type == "date" else timestamp_sql(text)


def _matching(text: str, pattern: str, physical: str) -> str:
    """Cast where the pattern holds. The cast is outermost, so that value and `conforms` share its work."""
    return f"TRY_CAST(CASE WHEN regexp_full_match({text}, '{pattern}') THEN {text} END AS {physical})"


def _decimal_pattern(field: SchemaField) -> str:
    """Plain notation that loses nothing: zeros may lead and trail beyond precision and scale."""
    whole = field.precision - field.scale
    before = f"0*[0-9]{{1,{whole}}}" if whole else "0+"
    after = f"[0-9]{{1,{field.scale}}}0*" if field.scale else "0+"
    return rf"[+-]?{before}(\.{after})?"


def text_of(value: str, physical: str) -> str:
    """Return SQL of the text of a value of a DuckDB type: plain or ISO 8601."""
    kind = physical.upper()
    if kind == "VARCHAR":
        return value
    if kind in _TIMESTAMPS:
        return timestamp_text(value)
    text, decimal = f"CAST({value} AS VARCHAR)", _DECIMAL.fullmatch(kind)
    if decimal and decimal[1] == decimal[2]:  # the engine writes `.5` then, which no reader of numbers of ours takes
        return rf"regexp_replace({text}, '^(-?)\.', '\10.')"
    return text


def _key_part(raw: str, physical: str) -> str:
    text = text_of(raw, physical)
    if _is_plain(physical.upper()):
        return f"coalesce({text}, '')"
    # few texts have any: looking is cheaper than replacing nothing
    special = f"contains({text}, '\\') OR contains({text}, '|') OR contains({text}, chr(0))"
    escaped = without_nul(f"replace(replace({text}, '\\', '\\\\'), '|', '\\|')")
    return f"CASE WHEN {special} THEN {escaped} ELSE coalesce({text}, '') END"


def _is_plain(physical: str) -> bool:
    """Say whether texts of the type are digits and a few marks, so that nothing in them is to be escaped."""
    return physical in {*_INTEGERS, *_TIMESTAMPS, "DATE", "BOOLEAN"} or _DECIMAL.fullmatch(physical) is not None


def _raw(name: str) -> str:
    return f'"r".{quote_identifier(name)}'
