import hashlib

from libs.common.nearest import nearest_name
from libs.expressions.errors import Refusal
from libs.expressions.functions.registry import Context, function
from libs.expressions.quoting import quote_identifier
from libs.expressions.scope import Lookup, MappingTable
from libs.expressions.values import Value

_GROUP = "Mappings and fields"


@function(
    "lookup(mapping: constant text, key: text, column: constant text)",
    "text",
    "The value in `column` of the mapping's entry for `key`; null if there is none.",
    group=_GROUP,
    needs_context=True,
)
def _lookup(context: Context, mapping: Value, key: Value, column: Value) -> Value:
    table = _table(context, str(mapping.constant))
    name = str(column.constant)
    if name not in table.columns:
        raise Refusal(
            f"the mapping has no column {name[:80]!r}",
            expected="a column of the mapping",
            nearest=nearest_name(name, table.columns),
            argument=2,
        )
    alias = _join(context, table, key)
    return Value(f"{quote_identifier(alias)}.{quote_identifier(name)}", "text", physical="VARCHAR")


@function(
    "has(mapping: constant text, key: text)",
    "boolean",
    "Whether the mapping has an entry for `key`; null for a null key.",
    group=_GROUP,
    needs_context=True,
)
def _has(context: Context, mapping: Value, key: Value) -> Value:
    alias = _join(context, _table(context, str(mapping.constant)), key)
    found = f'{quote_identifier(alias)}."key" IS NOT NULL'
    return Value(f"(CASE WHEN {key.sql} IS NOT NULL THEN {found} END)", "boolean", key.weight + 2)


@function(
    "field(name: constant text)",
    "the field's type",
    "The field of that name; for names that the language uses itself, such as `from`.",
    group=_GROUP,
    needs_context=True,
)
def _field(context: Context, name: Value) -> Value:
    return context.field(str(name.constant))


def _table(context: Context, alias: str) -> MappingTable:
    table = context.scope.mappings.get(alias)
    if table is None:
        raise Refusal(
            f"unknown mapping {alias[:80]!r}",
            expected="an alias of a mapping",
            nearest=nearest_name(alias, context.scope.mappings),
            argument=0,
        )
    return table


def _join(context: Context, table: MappingTable, key: Value) -> str:
    """Note the join and return its alias; equal keys on one table share a join, also between expressions."""
    alias = "m_" + hashlib.sha256(f"{table.table}\0{key.sql}".encode()).hexdigest()[:16]
    context.lookups.setdefault(alias, Lookup(alias, table.table, key.sql))
    return alias
