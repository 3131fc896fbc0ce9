"""A look at a SQL transform's text: accepted by the guard, bound over empty tables, its columns those of a target."""

from collections.abc import Iterator, Mapping, Sequence

from libs.common.nearest import nearest_name
from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.transforms import DROPPED, KEY, ORDINAL, ORDINALS
from libs.expressions.fitting import duckdb_type
from libs.expressions.sql import Guarded, SqlError, inspect
from libs.expressions.sql.slips import named_at

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
) -> Iterator[SqlError]:
    """Yield what is wrong with a query, each with its place."""
    if RECORDS in mappings:
        said = f"a mapping must not have the alias {RECORDS!r} beside a query: it is the table of records"
        yield SqlError("table", said, expected="another alias")
        return
    try:
        found = guarded_query(query, source, mappings)
    except SqlError as error:
        yield error
        return
    yield from _column_flaws(query, set(found.columns), target)


def _column_flaws(query: str, columns: set[str], target: SchemaSpec) -> Iterator[SqlError]:
    if len(columns & {ORDINAL, ORDINALS}) != 1:
        said = (
            f"the query gives neither {ORDINAL} nor {ORDINALS} (or both): each row says which records stand behind it"
        )
        yield SqlError("column", said, expected=f"one of {ORDINAL}, {ORDINALS}")
    fields = [field.name for field in target.fields]
    unknown = sorted(columns - _BESIDE - set(fields))
    if unknown:
        line, column = named_at(query, unknown[0])
        said, near = f"the target schema has no field {', '.join(unknown)}", nearest_name(unknown[0], fields)
        yield SqlError("column", said, line=line, column=column, expected="a field of the target schema", nearest=near)
    missing = [field.name for field in target.fields if field.required and field.name not in columns]
    if missing:
        said = f"the query gives no column for the required target field {', '.join(missing)}"
        yield SqlError("column", said, expected=f"a column {missing[0]}")
