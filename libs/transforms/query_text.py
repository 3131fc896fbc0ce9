"""A look at a SQL transform's text: accepted by the guard, bound over empty tables, its columns those of a target."""

from collections.abc import Iterator, Mapping, Sequence

from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.transforms import DROPPED, KEY, ORDINAL, ORDINALS
from libs.expressions.fitting import duckdb_type
from libs.expressions.sql import Guarded, SqlError, inspect

RECORDS = "records"
"""The table that holds the source records."""
_BESIDE = {ORDINAL, ORDINALS, KEY, DROPPED}


def guarded_query(query: str, source: SchemaSpec, mappings: Mapping[str, Sequence[str]]) -> Guarded:
    """Return the query that may run in the text's place; `mappings` gives each mapping's columns beside `key`.

    Raises:
        SqlError: it may not run, or names what is not there.
    """
    tables = {RECORDS: {ORDINAL: "BIGINT", KEY: "VARCHAR", **{f.name: duckdb_type(f) for f in source.fields}}}
    tables |= {alias: dict.fromkeys(("key", *columns), "VARCHAR") for alias, columns in mappings.items()}
    return inspect(query, tables, collecting=True)


def query_flaws(
    query: str, source: SchemaSpec, target: SchemaSpec, mappings: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Yield what is wrong with a query, each with its place where it has one."""
    if RECORDS in mappings:
        yield f"a mapping must not have the alias {RECORDS!r} beside a query: it is the table of records"
        return
    try:
        found = guarded_query(query, source, mappings)
    except SqlError as error:
        yield str(error)
        return
    yield from _column_flaws(set(found.columns), target)


def _column_flaws(columns: set[str], target: SchemaSpec) -> Iterator[str]:
    if len(columns & {ORDINAL, ORDINALS}) != 1:
        yield f"the query gives neither {ORDINAL} nor {ORDINALS} (or both): each row says which records stand behind it"
    unknown = sorted(columns - _BESIDE - {field.name for field in target.fields})
    if unknown:
        yield f"the target schema has no field {', '.join(unknown)}"
    missing = [field.name for field in target.fields if field.required and field.name not in columns]
    if missing:
        yield f"the query gives no column for the required target field {', '.join(missing)}"
