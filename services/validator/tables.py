"""The tables that a rule's query may read, and their columns."""

from collections.abc import Iterable, Mapping

from libs.common.vocabulary.schemas import SchemaField, SchemaSpec

RECORDS = "records"
PREVIOUS = "previous"
RUN = "run"
ORDINAL = "_ordinal"

_TYPES = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}


def declared_tables(schema: SchemaSpec, mappings: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
    """Return what a rule's query may read, with the engine types of the columns.

    `records` are the typed records with their `_ordinal`, `previous` those of the previous extract, `run` has one row with the run's `business_date` and
    `as_of`; each of `mappings`, alias to columns, has the entries that are valid on the business date.
    """
    records = {ORDINAL: "BIGINT", **{field.name: column_type_of(field) for field in schema.fields}}
    run = {"business_date": "DATE", "as_of": "TIMESTAMP WITH TIME ZONE"}
    tables = {alias: dict.fromkeys(["key", *columns], "VARCHAR") for alias, columns in mappings.items()}
    return {RECORDS: records, PREVIOUS: records, RUN: run, **tables}


def column_type_of(field: SchemaField) -> str:
    """Return the engine's type of a field's typed values."""
    return f"DECIMAL({field.precision},{field.scale})" if field.type == "decimal" else _TYPES[field.type]
