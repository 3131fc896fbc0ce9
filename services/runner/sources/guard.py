"""The statement guard: one SELECT and nothing that reaches beyond the tables it names."""

import logging
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from services.runner.engines.errors import SourceError

BINDINGS: Final = {"business_date": "date", "as_of": "timestamptz"}
"""The names that a query may bind, and their PostgreSQL types."""

_SETTING = "regent."
_FORBIDDEN_NODES = (
    exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.DDL, exp.Command, exp.Copy, exp.Into, exp.Lock, exp.Set,
    exp.Parameter, exp.SessionParameter,
)  # fmt: skip
_FORBIDDEN_PREFIXES = ("pg_", "lo_", "dblink", "binary_upgrade_", "has_", "crosstab", "xpath_table")
_FORBIDDEN_FUNCTIONS = frozenset({
    "set_config", "current_setting", "query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema",
    "cursor_to_xml", "cursor_to_xmlschema", "table_to_xml", "table_to_xmlschema", "table_to_xml_and_xmlschema",
    "schema_to_xml", "schema_to_xmlschema", "schema_to_xml_and_xmlschema", "database_to_xml",
    "database_to_xmlschema", "database_to_xml_and_xmlschema", "nextval", "setval", "copy", "connectby", "ts_stat",
    "ts_rewrite", "loread", "lowrite", "txid_current", "fsync", "system",
})  # fmt: skip

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it prints statements that it cannot parse


def guard(query: str) -> str:
    """Return the text to execute: the checked statement, written anew, its bindings read from transaction settings.

    Bindings become `CAST(current_setting('regent.<name>') AS <type>)`, because COPY takes no parameters; the values
    are bound when the settings are made.

    Raises:
        SourceError: `query-refused` with the reason.
    """
    statement = _only_statement(query)
    for node in statement.walk():
        _check_node(node)
    return _with_bindings(statement).sql(dialect="postgres", comments=False)


def setting_of(binding: str) -> str:
    """Return the name of the transaction setting that carries a binding's value."""
    return _SETTING + binding


def _only_statement(query: str) -> exp.Query:
    try:
        statements = [one for one in sqlglot.parse(query, dialect="postgres") if one is not None]
    except (SqlglotError, RecursionError) as error:
        raise _refused(f"it cannot be read as SQL ({_first_line(error)})") from error
    if len(statements) != 1:
        raise _refused("it must be exactly one statement")
    statement = statements[0]
    if not isinstance(statement, exp.Query):
        raise _refused("it must be a SELECT")
    return statement


def _check_node(node: exp.Expr) -> None:
    if isinstance(node, _FORBIDDEN_NODES):
        raise _refused(f"{node.key.upper()} is not allowed in it")
    if isinstance(node, exp.Placeholder) and node.name not in BINDINGS:
        known = ", ".join(f":{name}" for name in BINDINGS)
        raise _refused(f"it binds {node.name or '?'!r}; known are {known}")
    if isinstance(node, exp.Func):
        _check_function(node)


def _check_function(node: exp.Func) -> None:
    names = {node.name.lower(), *(name.lower() for name in node.sql_names())} if _is_named(node) else _names(node)
    for name in names:
        if name in _FORBIDDEN_FUNCTIONS or name.startswith(_FORBIDDEN_PREFIXES):
            raise _refused(f"the function {name} is not allowed in it")


def _is_named(node: exp.Func) -> bool:
    return isinstance(node, exp.Anonymous | exp.AnonymousAggFunc)


def _names(node: exp.Func) -> set[str]:
    return {name.lower() for name in node.sql_names()}


def _with_bindings(statement: exp.Expr) -> exp.Expr:
    def replaced(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Placeholder):
            return node
        setting = exp.Anonymous(this="current_setting", expressions=[exp.Literal.string(setting_of(node.name))])
        return exp.cast(setting, BINDINGS[node.name], dialect="postgres")

    return statement.transform(replaced)


def _refused(reason: str) -> SourceError:
    return SourceError("query-refused", f"The query is refused: {reason}.")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].replace("\x1b[4m", "").replace("\x1b[0m", "")[:200]
