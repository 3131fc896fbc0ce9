"""Fitting values to the target schema: nothing is rounded, cut or nulled in silence."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.expressions.quoting import quote_identifier, quote_literal, without_nul

_TYPES = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}


@dataclass(frozen=True, slots=True)
class Misfit:
    """One way in which a value does not fit: rule id, field, the SQL that finds it, what people read."""

    rule_id: str
    field: str
    sql: str
    message: str


@dataclass(frozen=True, slots=True)
class Fitting:
    """How each target field is cast, and every way in which its value may not fit; over `v`."""

    casts: tuple[tuple[str, str], ...]
    misfits: tuple[Misfit, ...]

    @property
    def unfit(self) -> str:
        """SQL that is true for a record with at least one misfit, never null."""
        return " OR ".join(f"({misfit.sql})" for misfit in self.misfits) or "false"


def duckdb_type(field: SchemaField) -> str:
    """Return the DuckDB type that holds the field's values, as DuckDB itself writes it."""
    return f"DECIMAL({field.precision},{field.scale})" if field.type == "decimal" else _TYPES[field.type]


def fit(schema: SchemaSpec, found: Mapping[str, str]) -> Fitting:
    """Return the fitting of `v`, whose columns have the DuckDB types `found`, to the target schema.

    A target field that `v` lacks is null.
    """
    casts, misfits = [], []
    for field in schema.fields:
        kind = found.get(field.name)
        casts.append((field.name, _cast(field, kind)))
        misfits += _misfits(field, kind, fails=f"!{field.name}" in found)
    return Fitting(tuple(casts), tuple(misfits))


def _cast(field: SchemaField, found: str | None) -> str:
    wanted = duckdb_type(field)
    if found is None:
        return f"CAST(NULL AS {wanted})"
    column = f"v.{quote_identifier(field.name)}"
    return column if found == wanted else f"TRY_CAST({column} AS {wanted})"


def _misfits(field: SchemaField, found: str | None, *, fails: bool) -> list[Misfit]:
    if found is None:
        return []
    column = f"v.{quote_identifier(field.name)}"
    listed = []
    unfit = [f"v.{quote_identifier('!' + field.name)}"] if fails else []
    if found != duckdb_type(field):
        # cast back: what was rounded or cut differs, and what did not fit at all is null
        back = f"CAST(TRY_CAST({column} AS {duckdb_type(field)}) AS {found})"
        unfit.append(f"{column} IS NOT NULL AND {back} IS DISTINCT FROM {column}")
    if unfit:
        text = f"The value of {field.name} does not fit {_spoken(field)}."
        listed.append(Misfit(f"target:{field.name}:type", field.name, " OR ".join(f"({u})" for u in unfit), text))
    if field.required:
        absent = f"{column} IS NULL" + (f" AND NOT {unfit[0]}" if fails else "")
        listed.append(Misfit(f"target:{field.name}:required", field.name, absent, f"{field.name} has no value."))
    if field.type == "text" and field.max_length:
        text = column if found == "VARCHAR" else f"CAST({column} AS VARCHAR)"
        long = f"coalesce(length({text}) > {int(field.max_length)}, false)"
        text = f"{field.name} is longer than {field.max_length} characters."
        listed.append(Misfit(f"target:{field.name}:length", field.name, long, text))
    return listed


def misfit_rows(misfits: tuple[Misfit, ...]) -> str:
    """Return SQL of the list of the misfits that a record has, as structs of rule, field, value and message."""
    entries = ", ".join(
        f"CASE WHEN {misfit.sql} THEN {{'rule_id': {quote_literal(misfit.rule_id)}, "
        f"'field': {quote_literal(misfit.field)}, 'value': {_told(misfit.field)}, "
        f"'message': {quote_literal(misfit.message)}}} END"
        for misfit in misfits
    )
    return f"list_filter([{entries}], lambda x: x IS NOT NULL)"


def _told(name: str) -> str:
    return without_nul(f"CAST(v.{quote_identifier(name)} AS VARCHAR)")


def _spoken(field: SchemaField) -> str:
    if field.type == "decimal":
        return f"a decimal of {field.precision} digits, {field.scale} of them after the point"
    return f"the type {field.type}"
