"""The engine's own parser and binder, in memory, without data: nothing is ever executed here."""

import json
import re
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import duckdb

from libs.common.nearest import nearest_name
from libs.expressions.quoting import quote_identifier
from libs.expressions.sql.binding import words
from libs.expressions.sql.errors import SqlError, position
from libs.expressions.sql.slips import several, unreadable

Tables = Mapping[str, Mapping[str, str]]

_ONE_AT_A_TIME = threading.Lock()
_SHOWN = re.compile(r"\nLINE (\d+): (.*)\n( *)\^", re.DOTALL)
_DESCRIBE = "DESCRIBE "
_WANTED = 'one SELECT; a column called like a word of SQL stands in double quotes, as in "from"'
_HINTS = re.compile(r"(?:Candidate bindings: |Did you mean )\"([^\"]+)\"")


def parsed(text: str) -> list[Any]:
    """Return the engine's parse trees of the statements in `text`; SqlError where it cannot be read."""
    with _ONE_AT_A_TIME:
        answer = _one("SELECT json_serialize_sql($1)", text)
    try:
        found = json.loads(answer)
    except RecursionError:
        raise SqlError("size", "it is nested too deep", expected="a flatter query") from None
    if not found["error"]:
        statements: list[Any] = found["statements"]
        return statements
    message = str(found.get("error_message", "it cannot be read"))
    if found.get("error_type") == "not implemented":
        raise several(text, "only a query can stand here")
    raise unreadable(text, *position(text, int(found.get("position") or 0)), message.partition("\n")[0])


def written(statement: Any) -> str:
    """Return the text that the engine writes for a parse tree."""
    with _ONE_AT_A_TIME:
        return _one("SELECT json_deserialize_sql($1)", json.dumps({"error": False, "statements": [statement]}))


def bound(text: str, shown: str, tables: Tables) -> dict[str, str]:
    """Return the columns and engine types that `text` gives over tables of these columns; all are empty here.

    Raises:
        SqlError: names or types do not fit; the place is looked up in `shown`, the text that its author knows.
    """
    with _ONE_AT_A_TIME, _engine().cursor() as connection:
        for name, columns in tables.items():
            connection.execute(_twin(name, columns))
        try:
            rows = _described(connection, text)
        except duckdb.Error as error:
            raise _refusal(_told(connection, shown, error), shown) from None
    return {row[0]: row[1] for row in rows}


def _one(query: str, value: str) -> str:
    try:
        row = _engine().execute(query, [value]).fetchone()
    except (duckdb.ParserException, duckdb.InvalidInputException, duckdb.NotImplementedException) as error:
        raise SqlError("syntax", str(error).partition("\n")[0][:200], expected=_WANTED) from None
    return str(row[0]) if row else ""


def _twin(name: str, columns: Mapping[str, str]) -> str:
    listed = ", ".join(f"{quote_identifier(column)} {kind}" for column, kind in columns.items())
    return f"CREATE TEMP TABLE {quote_identifier(name)} ({listed})"


def _described(connection: duckdb.DuckDBPyConnection, text: str) -> Sequence[tuple[Any, ...]]:
    return connection.execute(_DESCRIBE + text).fetchall()


def _told(connection: duckdb.DuckDBPyConnection, shown: str, error: duckdb.Error) -> str:
    """Return what the engine says of the author's own text, or of what it wrote itself where that one binds."""
    try:
        _described(connection, shown)
    except duckdb.Error as own:
        return str(own)
    return str(error).partition("\n\nLINE ")[0]


def _refusal(told: str, shown: str) -> SqlError:
    first = told.partition("\n")[0]
    message = first.partition(": ")[2] or first
    hint = _HINTS.search(told)
    line, column = _place(told, shown)
    wanted = re.search(r"Referenced (?:column|table) \"([^\"]+)\"", told)
    nearest = nearest_name(wanted[1], [hint[1]]) if hint and wanted else None
    said, expected = words(message, told)
    return SqlError("binding", said, line=line, column=column, expected=expected, nearest=nearest)


def _place(told: str, shown: str) -> tuple[int, int]:
    found = _SHOWN.search(told)
    if not found:
        return 1, 1
    line, snippet = int(found[1]), found[2].strip("\r")
    caret = len(found[3]) - len(f"LINE {line}: ")
    before = _DESCRIBE if line == 1 else ""
    cut = snippet.startswith("...")
    start = (before + shown.split("\n")[line - 1]).find(snippet.removeprefix("...").removesuffix("...")) if cut else 0
    return line, max(max(start, 0) + caret - (3 if cut else 0) - len(before) + 1, 1)


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "async_threads": 0,
            "memory_limit": "256MB",
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        },
    )
    connection.execute("SET TimeZone = 'UTC'; SET enable_external_access = false; SET lock_configuration = true")
    return connection
