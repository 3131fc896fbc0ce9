"""A tenant's SQL over declared tables: what of it may run, and the text that runs instead.

Two parsers with an allow-list each must accept it; the text that runs is written anew from the engine's own parse
tree, so that what was checked is what is executed; names and types are bound over empty tables when it is saved.
It is never executed here: that is done by a confined job, on a locked connection, within limits.
"""

import re
from dataclasses import dataclass

from libs.expressions.patterns import Patterns
from libs.expressions.sql.engine import Tables, bound, parsed, written
from libs.expressions.sql.errors import Category, SqlError
from libs.expressions.sql.meaning import check_meaning
from libs.expressions.sql.patterns import check_patterns, without_patterns
from libs.expressions.sql.second import check_again
from libs.expressions.sql.slips import no_query, several
from libs.expressions.sql.tree import Node, nodes_of
from libs.expressions.sql.widths import columns_made

__all__ = ["MAX_BYTES", "Category", "Guarded", "SqlError", "Tables", "guarded", "inspect"]

MAX_BYTES = 8192
MAX_BRACKETS = 60
MAX_COLUMNS = 10_000
VERSION = 1
"""Goes up whenever something else is accepted."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_PLAIN_TYPE = re.compile(r"[A-Z][A-Z0-9 ]*(\(\d+,\d+\))?")
_STARTS = re.compile(r"[\s(]*(?:SELECT|WITH)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A query that may run: its text as the engine writes it, its columns with their types, the columns it reads."""

    sql: str
    columns: dict[str, str]
    reads: frozenset[str]


def guarded(sql: str, tables: Tables) -> str:
    """Return the text to run instead of `sql`; `tables` are the ones it may read, with the engine types of their columns.

    Raises:
        SqlError: with category, line, column, what was expected and the nearest known name.
    """
    return inspect(sql, tables).sql


def inspect(sql: str, tables: Tables, *, collecting: bool = False, patterns: Patterns | None = None) -> Guarded:
    """Do as `guarded`, and say which columns the query gives.

    `collecting` permits `list(_ordinal)`, given as the column `_ordinals`: the records behind a row. `patterns` is what
    its patterns may come to, shared with other texts; without it the query has all of it.
    """
    _check_text(sql)
    statements = parsed(sql)
    if len(statements) != 1:
        raise several(sql, f"it holds {len(statements)} statements")
    nodes = nodes_of(statements[0], sql)
    check_meaning(nodes, tables, sql, collecting=collecting)
    _check_width(statements[0], tables)
    check_patterns(nodes, sql, patterns or Patterns())
    check_again(sql, collecting=collecting)
    text = written(statements[0])
    reads = frozenset(node["column_names"][-1].lower() for node in nodes if node.get("class") == "COLUMN_REF")
    shown = without_patterns(nodes, sql)
    columns = bound(written(statements[0]), shown, tables)
    _check_result({name: kind for name, kind in columns.items() if not (collecting and (name, kind) == _COLLECTED)})
    return Guarded(text, columns, reads)


def _check_width(statement: Node, tables: Tables) -> None:
    made = columns_made(statement, {name.lower(): len(columns) for name, columns in tables.items()})
    if made > MAX_COLUMNS:
        raise SqlError("size", f"it makes {made} columns on its way", expected=f"at most {MAX_COLUMNS}: fewer stars")


def _check_result(columns: dict[str, str]) -> None:
    for name, kind in columns.items():
        if not _PLAIN_TYPE.fullmatch(kind):
            raise SqlError("type", f"the column {name[:80]!r} is {kind[:80]}", expected="a plain type")


_COLLECTED = ("_ordinals", "BIGINT[]")


def _check_text(sql: str) -> None:
    size = len(sql.encode(errors="replace"))
    if size > MAX_BYTES:
        raise SqlError("size", f"it has {size} bytes", expected=f"at most {MAX_BYTES}")
    stray = _CONTROL.search(sql)
    if stray:
        line, column = sql.count("\n", 0, stray.start()) + 1, stray.start() - sql.rfind("\n", 0, stray.start())
        raise SqlError("syntax", f"character U+{ord(stray[0]):04X} is not allowed", line=line, column=column)
    if not _STARTS.match(sql):
        raise no_query(sql)
    _check_brackets(sql)


def _check_brackets(sql: str) -> None:
    """Refuse what the parser would take long to read; brackets in texts count too, which only makes it stricter."""
    depth = 0
    for place, char in enumerate(sql):
        depth += (char in "([{") - (char in ")]}")
        if depth > MAX_BRACKETS:
            line, column = sql.count("\n", 0, place) + 1, place - sql.rfind("\n", 0, place)
            raise SqlError("size", f"more than {MAX_BRACKETS} brackets are open", line=line, column=column)
