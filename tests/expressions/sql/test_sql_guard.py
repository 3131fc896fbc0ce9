"""Which SQL texts of tenants may run (S7, S33): two corpora, bombs, places of refusals, and what is written instead."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from libs.expressions.sql import SqlError, guarded, inspect
from libs.expressions.sql.engine import parsed, written
from libs.expressions.sql.names import AGGREGATES, FUNCTIONS, SCALARS, WINDOWS
from libs.expressions.sql.second import check_again
from libs.expressions.sql.widths import columns_made
from services.validator.tables import declared_tables
from tests.expressions.sql.legitimate import QUERIES, SCHEMA
from tests.frugal import CPU_SECONDS, frugally

TABLES = declared_tables(SCHEMA, {"venues": ("mic", "country"), "rates": ("rate",)})
BOMBS = {
    "open brackets": "SELECT " + "(" * 3000,
    "balanced brackets": "SELECT " + "(" * 2000 + "1" + ")" * 2000,
    "sixty brackets": "SELECT " + "(" * 61 + "1" + ")" * 61,
    "functions": "SELECT " + "abs(" * 1000 + "1" + ")" * 1000,
    "few functions": "SELECT " + "abs(" * 59 + "1" + ")" * 59,
    "cases": "SELECT " + "CASE WHEN ok THEN " * 300 + "1" + " END" * 300,
    "open cases": "SELECT " + "CASE WHEN " * 700,
    "nested queries": "SELECT * FROM " + "(SELECT * FROM " * 250 + "records" + ")" * 250,
    "some nested queries": "SELECT * FROM " + "(SELECT * FROM " * 50 + "records" + ")" * 50,
    "signs": "SELECT " + " -" * 3500 + "1",
    "nots": "SELECT " + "NOT " * 1900 + "true",
    "a long sum": "SELECT 1" + "+1" * 4000,
    "a long list": "SELECT _ordinal FROM records WHERE version IN (" + ",".join(["1"] * 4000) + ")",
    "many columns": "SELECT " + ",".join(["id"] * 900) + " FROM records",
    "many ands": "SELECT _ordinal FROM records WHERE ok" + " AND ok" * 900,
    "named queries": "WITH " + ",".join(f"a{n} AS (SELECT 1)" for n in range(300)) + " SELECT 1",
    "nine named queries": "WITH " + ",".join(f"a{n} AS (SELECT 1)" for n in range(9)) + " SELECT 1",
    "doubling": "WITH a0 AS (SELECT 'x' AS x), "
    + ", ".join(f"a{n} AS (SELECT concat((SELECT x FROM a{n - 1}), (SELECT x FROM a{n - 1})) AS x)" for n in range(1, 9))
    + " SELECT x FROM a8",
    "unions": " UNION ALL ".join(["SELECT _ordinal FROM records"] * 200),
    "thirteen tables": " UNION ALL ".join(["SELECT _ordinal FROM records"] * 13),
    "five joins": "SELECT r._ordinal FROM records r " + " ".join(f"JOIN venues v{n} ON v{n}.key = r.venue" for n in range(5)),
    "a long text": "SELECT '" + "x" * 9000 + "'",
    "wide characters": "SELECT '" + "ü" * 4100 + "'",
    "select select": "SELECT " * 1100,
    "intervals": "SELECT " + "INTERVAL (" * 70 + "1" + ") DAY" * 70,
    "lists": "SELECT " + "[" * 300 + "1" + "]" * 300,
    "structs": "SELECT " + "{'a': " * 300 + "1" + "}" * 300,
    "quotes": "SELECT " + "'" * 8001,
    "comments": "SELECT " + "/*" * 4000,
    "dollars": "SELECT " + "$a$" * 2001,
    "casts": "SELECT 1" + "::INTEGER" * 850,
    "windows": "SELECT " + ",".join(["sum(amount) OVER (PARTITION BY id)"] * 200) + " FROM records",
    "betweens": "SELECT ok BETWEEN " + "ok AND ok BETWEEN " * 400 + "ok AND ok",
    "dots": "SELECT " + "a." * 3000 + "b",
    "casing": "SELECT " + "case " * 1500,
    "a cube": "SELECT max(_ordinal) AS _ordinal FROM records GROUP BY CUBE (" + ",".join(f"version + {n}" for n in range(15)) + ")",
    "a small cube": "SELECT max(_ordinal) AS _ordinal FROM records GROUP BY CUBE (" + ",".join(f"version + {n}" for n in range(7)) + ")",
    "roll-ups": "SELECT max(_ordinal) AS _ordinal FROM records GROUP BY " + ",".join(f"ROLLUP (version + {n}, id, ccy)" for n in range(4)),
    "cubes of cubes": "SELECT 1 AS _ordinal FROM records GROUP BY " + ",".join(["CUBE (id, ccy, venue)"] * 5),
    "a cube in a query": "SELECT 1 AS _ordinal WHERE EXISTS (SELECT 1 FROM records GROUP BY CUBE (id, ccy, venue, action, version, ok, booked))",
    "stars of stars": "SELECT 1 AS _ordinal FROM " + "(SELECT *, * FROM " * 14 + "records" + ")" * 14,
    "ten stars of ten": "SELECT 1 AS _ordinal FROM " + "(SELECT *, *, *, *, *, *, *, *, *, * FROM " * 4 + "records" + ")" * 4,
    "stars of named queries": "WITH a0 AS (SELECT *, *, *, * FROM records), "
    + ", ".join(f"a{n} AS (SELECT *, *, *, * FROM a{n - 1})" for n in range(1, 8))
    + " SELECT 1 AS _ordinal FROM a7",
    "stars of joins": "SELECT r._ordinal FROM records r "
    + " ".join(f"JOIN (SELECT {', '.join(['*'] * 99)} FROM (SELECT *, *, *, * FROM records)) t{n} ON r.id = t{n}.id" for n in range(4)),
    "stars where nobody looks": "SELECT _ordinal FROM records WHERE EXISTS (SELECT * FROM " + "(SELECT *, *, *, * FROM " * 8 + "records" + ")" * 9,
    "stars of names that are alike": "SELECT 1 AS _ordinal FROM " + ("(SELECT " + ", ".join(["* LIKE '%'"] * 8) + " FROM ") * 4 + "records" + ")" * 4,
    "stars of names that are not": "SELECT 1 AS _ordinal FROM " + ("(SELECT " + ", ".join(["* NOT ILIKE 'x'"] * 8) + " FROM ") * 4 + "records" + ")" * 4,
    "stars in an order": "SELECT 1 AS _ordinal FROM (SELECT *, *, * FROM records) ORDER BY *",
    "a long chain": "SELECT " + " || ".join(["id"] * 390) + " FROM records",
    "patterns": "SELECT " + ", ".join(f"regexp_matches(id, '((a{{1,50}}){{1,19}}){n}')" for n in range(100)) + " FROM records",
    "at signs": "SELECT " + "@" * 8000,
}  # fmt: skip


def hostile() -> Iterator[str]:
    """Yield the texts of the corpus; control characters stand escaped in it."""
    for line in (Path(__file__).parent / "hostile.txt").read_text(encoding="utf-8").splitlines():
        yield line.replace("\\0", "\0").replace("\\x1b", "\x1b").replace("\\n", "\n")


def refusal(text: str) -> SqlError | None:
    """Return why a text is refused, or None."""
    try:
        inspect(text, TABLES)
    except SqlError as error:
        return error
    return None


def test_every_hostile_text_is_refused() -> None:
    """S7: each of over 500 texts is refused with category, reason and a place inside of it, in under 100 ms of CPU."""
    texts = list(hostile())
    assert len(set(texts)) == len(texts) > 500
    refusal("SELECT 1")
    assert [text for text in texts if not _refused_well(text)] == []


def _refused_well(text: str) -> bool:
    told, lines = frugally(refusal, text), text.split("\n")
    if told is None or not told.message:
        return False
    return 1 <= told.line <= len(lines) and 1 <= told.column <= len(lines[told.line - 1]) + 2


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_at_once(name: str) -> None:
    """S18: texts that are too long, too deep or that multiply are refused before any parser suffers."""
    refusal("SELECT 1")
    assert frugally(refusal, BOMBS[name], 2.5 * CPU_SECONDS) is not None


def test_every_legitimate_text_is_accepted() -> None:
    """What reporting teams write passes, is written anew, and reads the same when it is read again."""
    assert len(QUERIES) >= 50
    for text, _ in QUERIES:
        sql = guarded(text, TABLES)
        assert guarded(sql, TABLES) == sql
        assert written(parsed(sql)[0]) == sql


PLACES = [
    ("SELECT _ordinal FROM records\nWHERE prise > 1", "column", 2, 7, None),
    ("SELECT _ordinal FROM records\nWHERE amonut > 1", "column", 2, 7, "amount"),
    ("SELECT _ordinal FROM recrods", "table", 1, 22, "records"),
    ("SELECT 'é', uper(id) FROM records", "function", 1, 13, "upper"),
    ("SELECT _ordinal FROM records WHERE today() > now()", "function", 1, 36, None),
    ("SELECT r.id FROM records x", "table", 1, 8, None),
    ("SELECT CAST(id AS INTEGR) FROM records", "type", 1, 19, "integer"),
    ("SELECT _ordinal\nFROM records\nWHERE id >", "syntax", 3, 10, None),
    ("SELECT _ordinal FROM records\nWHERE 'é' = id AND id > 1 + amount", "binding", 2, 20, None),
    ("SELECT _ordinal FROM records r JOIN venues v ON true", "join", 1, 32, None),
    ("DROP TABLE records", "statement", 1, 1, None),
]


@pytest.mark.parametrize(("text", "category", "line", "column", "nearest"), PLACES)
def test_a_refusal_points_at_the_place(text: str, category: str, line: int, column: int, nearest: str | None) -> None:
    """A refusal has its category, line and column in characters, what was expected, and the nearest known name."""
    told = refusal(text)
    assert told is not None
    assert (told.category, told.line, told.column, told.nearest) == (category, line, column, nearest)
    assert told.expected


def test_the_list_of_functions_is_what_was_decided() -> None:
    """About 150 functions and none that reads, waits, draws lots, runs text or swells."""
    names = {name for name in FUNCTIONS | WINDOWS if name[:1].isalpha()}
    assert 130 <= len(names) <= 230
    assert not names & {"getenv", "query", "query_table", "repeat", "printf", "format", "random", "now", "read_text", "sleep_ms", "glob"}  # fmt: skip


def test_every_listed_function_exists_in_the_engine() -> None:
    """A name that the pinned engine lacks would be a promise that nobody keeps."""
    with duckdb.connect() as engine:  # of its own: others leave results on the common one
        known = {row[0] for row in engine.execute("SELECT function_name FROM duckdb_functions()").fetchall()}
    spoken = {"nullif", "if", "count_if", "row"} | WINDOWS
    assert (FUNCTIONS - known) - spoken - {"date_add"} == set()


@pytest.mark.parametrize("name", sorted(SCALARS | AGGREGATES | WINDOWS))
def test_both_parsers_know_every_listed_function(name: str) -> None:
    """Whatever the list has passes the second parser too, in one of the ways in which it is called."""
    called = ["", "a", "a, b", "'day', a", "a, b, c", "'day', a, b"]
    assert any(_passes(f"SELECT {name}({arguments}) FROM t") for arguments in called)


def _passes(text: str) -> bool:
    try:
        check_again(text)
    except SqlError:
        return False
    return True


def test_results_are_plain() -> None:
    """What a query gives has plain types only: nested values are no verdict and no cell."""
    told = refusal("SELECT (id, ccy) AS pair FROM records")
    assert told is not None
    assert told.category == "type"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("SELECT 1 AS _ordinal", 1),
        ("SELECT * FROM records", 10),
        ("SELECT *, r.* FROM records r JOIN venues v ON r.venue = v.key", 26),
        ("WITH a AS (SELECT *, * FROM records) SELECT * FROM a", 40),
        ("WITH A AS (SELECT 1 AS x), b AS (SELECT * FROM a) SELECT * FROM B", 3),
        ("SELECT id FROM records WHERE EXISTS (SELECT * FROM venues)", 4),
        ("SELECT (SELECT max(id) FROM records) FROM venues UNION ALL SELECT 'a'", 3),
        ("SELECT * FROM (VALUES (1, 2)) AS v (a, b)", 4),
        ("SELECT id FROM records r JOIN venues v ON r.venue = (SELECT max(key) FROM venues)", 2),
    ],
)
def test_columns_are_counted_as_the_binder_makes_them(text: str, columns: int) -> None:
    """A star is as wide as what it stands for, wherever that comes from."""
    widths = {name: len(columns) for name, columns in TABLES.items()}
    assert columns_made(parsed(text)[0], widths) == columns
