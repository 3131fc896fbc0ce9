"""Queries that cannot be read or name what is not there: each with its place, what is wrong, what to write, what is near."""

import pytest

from libs.expressions.sql import SqlError, inspect

TABLES = {
    "records": {
        "_ordinal": "BIGINT",
        "code": "VARCHAR",
        "price": "DECIMAL(18,4)",
        "trade_date": "DATE",
        "active": "BOOLEAN",
    },
    "run": {"business_date": "DATE", "as_of": "TIMESTAMP WITH TIME ZONE"},
    "venues": {"key": "VARCHAR", "name": "VARCHAR"},
}
ANY = 'one SELECT; a column called like a word of SQL stands in double quotes, as in "from"'

FOREIGN: list[tuple[str, str, int, int, str, str, str | None]] = [
    ("", "statement", 1, 1, "it does not begin with SELECT or WITH: it is empty", "one SELECT", None),
    ("SELEC _ordinal FROM records", "statement", 1, 1, "it does not begin with SELECT or WITH: `SELEC` stands first", "one SELECT", "SELECT"),
    ("SELECT _ordinal FORM records", "syntax", 1, 17, "`FORM` is followed by `records`", ANY, "FROM"),
    ("SELECT _ordinal FROM record", "table", 1, 22, "unknown table 'record'", "a declared table", "records"),
    ("SELECT _ordinal FROM recrds WHERE price > 1", "table", 1, 22, "unknown table 'recrds'", "a declared table", "records"),
    ("SELECT _ordinal FROM records WHERE prise > 1", "column", 1, 36, "unknown column 'prise'", "a column of the tables", "price"),
    ("SELECT r._ordinal FROM records r WHERE x.price > 1", "table", 1, 40, "unknown table 'x'", "a declared table", None),
    ("SELECT _ordinal\nFROM records\nWHERE uper(code) = 'A'", "function", 3, 7, "the function 'uper' cannot be used", "a function of the list", "upper"),
    ("SELECT _ordinal FROM records; SELECT 1", "statement", 1, 31, "it holds 2 statements", "one SELECT", None),
    ("SELECT _ordinal FROM records; DROP TABLE records", "statement", 1, 31, "only a query can stand here", "one SELECT", None),
    ("DROP TABLE records", "statement", 1, 1, "it does not begin with SELECT or WITH: `DROP` stands first", "one SELECT", None),
    ("DELETE FROM records", "statement", 1, 1, "it does not begin with SELECT or WITH: `DELETE` stands first", "one SELECT", None),
    ("UPDATE records SET price = 1", "statement", 1, 1, "it does not begin with SELECT or WITH: `UPDATE` stands first", "one SELECT", None),
    ("INSERT INTO records VALUES (1)", "statement", 1, 1, "it does not begin with SELECT or WITH: `INSERT` stands first", "one SELECT", None),
    ("CREATE TABLE x AS SELECT 1", "statement", 1, 1, "it does not begin with SELECT or WITH: `CREATE` stands first", "one SELECT", None),
    ("COPY records TO 'x'", "statement", 1, 1, "it does not begin with SELECT or WITH: `COPY` stands first", "one SELECT", None),
    ("ATTACH 'x'", "statement", 1, 1, "it does not begin with SELECT or WITH: `ATTACH` stands first", "one SELECT", None),
    ("PRAGMA version", "statement", 1, 1, "it does not begin with SELECT or WITH: `PRAGMA` stands first", "one SELECT", None),
    ("EXPLAIN SELECT 1", "statement", 1, 1, "it does not begin with SELECT or WITH: `EXPLAIN` stands first", "one SELECT", None),
    ("-- note\nSELECT _ordinal FROM records", "statement", 1, 1, "it does not begin with SELECT or WITH: a note stands first", "the note further down", None),
    ("/* x */ SELECT _ordinal FROM records", "statement", 1, 1, "it does not begin with SELECT or WITH: a note stands first", "the note further down", None),
    ("  DELETE FROM records", "statement", 1, 3, "it does not begin with SELECT or WITH: `DELETE` stands first", "one SELECT", None),
    ("WITH x AS (DELETE FROM records) SELECT 1", "shape", 1, 12, "delete query node cannot be used here", "a plain query", None),
    ("(SELECT _ordinal FROM records", "syntax", 1, 1, "`(` is never closed", "balanced parentheses", None),
    ("SELECT _ordinal FROM records WHERE (price > 1", "syntax", 1, 36, "`(` is never closed", "balanced parentheses", None),
    ("SELECT _ordinal FROM records WHERE price > 1)", "syntax", 1, 45, "a parenthesis closes before it opens", "balanced parentheses", None),
    ("SELECT _ordinal FROM records WHERE code = 'A", "syntax", 1, 43, "the text has no end", "a quote that ends the text", None),
    ('SELECT _ordinal FROM records WHERE code = "A"', "column", 1, 43, "unknown column 'a'", "a column of the tables, or a text in single quotes", None),
    ("SELECT _ordinal FROM records WHERE price > 1 and", "syntax", 1, 46, "something is missing after `and`, or it does not belong here", "a whole SELECT", None),
    ("SELECT _ordinal FROM records WHERE lower(code, code) = 'a'", "syntax", 1, 52, "the function has too many arguments", "fewer arguments", None),
    ("SELECT _ordinal FROM records WHERE lower() = 'a'", "syntax", 1, 42, "an argument or a part is missing before this", "the arguments that the function needs", None),
    ("SELECT _ordinal FROM records WHERE substring(code) = 'a'", "binding", 1, 36, "substring does not take (VARCHAR)", "substring(string VARCHAR, start BIGINT, length BIGINT) or substring(string VARCHAR, start BIGINT)", None),
    ("SELECT _ordinal FROM records WHERE NVL(code,'a') = 'a'", "function", 1, 36, "the function 'nvl' cannot be used", "a function of the list", "coalesce"),
    ("SELECT _ordinal FROM records WHERE ISNULL(code)", "function", 1, 36, "the function 'isnull' cannot be used", "a function of the list", "coalesce"),
    ("SELECT _ordinal FROM records WHERE getdate() > trade_date", "function", 1, 36, "the function 'getdate' cannot be used", "as_of or business_date of the table run", None),
    ("SELECT _ordinal FROM records WHERE now() > trade_date", "function", 1, 36, "the function 'now' cannot be used", "as_of or business_date of the table run", None),
    ("SELECT _ordinal FROM records WHERE current_date > trade_date", "column", 1, 36, "unknown column 'current_date'", "business_date or as_of of the table run", None),
    ("SELECT TOP 10 _ordinal FROM records", "syntax", 1, 8, "`TOP` is not part of the language", "LIMIT at the end", None),
    ("SELECT _ordinal FROM records LIMIT 10 ROWS", "syntax", 1, 39, "something is missing after `ROWS`, or it does not belong here", "a whole SELECT", None),
    ("SELECT _ordinal FROM main.records", "shape", 1, 22, "names with a schema cannot be used here", "a plain query", None),
    ("SELECT _ordinal FROM records, venues", "shape", 1, 17, "a comma between tables cannot be used here", "JOIN ... ON or USING", None),
    ("SELECT _ordinal FROM records CROSS JOIN venues", "join", 1, 30, "a cross join cannot be used", "JOIN ... ON or USING", None),
    ("SELECT _ordinal FROM records JOIN venues", "syntax", 1, 35, "something is missing after `venues`, or it does not belong here", "ON a.x = b.y, or USING (x)", None),
    ("SELECT _ordinal FROM records JOIN venus ON key = code", "table", 1, 35, "unknown table 'venus'", "a declared table", "venues"),
    ("SELECT _ordinal FROM records JOIN venues v ON v.kye = code", "column", 1, 47, "unknown column 'kye'", "a column of the tables", "key"),
    ("SELECT _ordinal FROM records GROUP BY code", "binding", 1, 8, 'column "_ordinal" must appear in the GROUP BY clause or must be part of an aggregate function.', "it in GROUP BY, or in an aggregate such as any_value(...)", None),
    ("SELECT _ordinal, count(*) FROM records", "binding", 1, 8, 'column "_ordinal" must appear in the GROUP BY clause or must be part of an aggregate function.', "it in GROUP BY, or in an aggregate such as any_value(...)", None),
    ("SELECT _ordinal FROM records WHERE count(*) > 1", "binding", 1, 36, "WHERE clause cannot contain aggregates!", "HAVING for a condition on aggregates", None),
    ("SELECT _ordinal FROM records HAVING price > 1", "binding", 1, 37, 'column "price" must appear in the GROUP BY clause or be used in an aggregate function', "it in GROUP BY, or in an aggregate such as any_value(...)", None),
    ("SELECT _ordinal FROM read_csv('x')", "shape", 1, 22, "functions after FROM cannot be used here", "a plain query", None),
    ("SELECT _ordinal FROM 'x.csv'", "table", 1, 22, "unknown table 'x.csv'", "a declared table", None),
    ("SELECT _ordinal FROM records WHERE code LIKE", "syntax", 1, 36, "`code` is followed by `LIKE`", ANY, "ORDER"),
    ("SELECT _ordinal FROM records WHERE price::money > 1", "type", 1, 43, "the type 'money' cannot be used", "a plain type", None),
    ("SELECT _ordinal FROM records WHERE CAST(price AS MONEY) > 1", "type", 1, 50, "the type 'money' cannot be used", "a plain type", None),
    ("SELECT _ordinal FROM records WHERE price > ?", "shape", 1, 44, "parameters cannot be used here", "a literal, or business_date or as_of of the table run", None),
    ("SELECT _ordinal FROM records WHERE price > :x", "syntax", 1, 44, "`:` does not belong here", "business_date or as_of of the table run, or a literal", None),
    ("SELECT _ordinal FROM records WHERE price > @x", "column", 1, 45, "unknown column 'x'", "a column of the tables, or a text in single quotes", None),
    ("SELECT [_ordinal] FROM [records]", "syntax", 1, 24, "`[` does not belong here", "a name alone, or in double quotes", None),
    ("SELECT `_ordinal` FROM records", "syntax", 1, 17, "it cannot be read with certainty", "a name alone, or in double quotes", None),
    ("SELECT _ordinal FROM records WHERE price > 1 &&  active", "function", 1, 44, "the function '&&' cannot be used", "a function of the list", None),
    ("SELECT _ordinal FROM records WHERE IIF(price > 1, true, false)", "function", 1, 36, "the function 'iif' cannot be used", "a function of the list", "if"),
    ("SELECT _ordinal FROM records WHERE DATEDIFF(trade_date, trade_date) > 1", "syntax", 1, 67, "an argument or a part is missing before this", "the arguments that the function needs", None),
    ("SELECT _ordinal FROM records WHERE LEN(code) > 1", "function", 1, 36, "the function 'len' cannot be used", "a function of the list", "length"),
    ("SELECT _ordinal FROM records WHERE code + 'x' = 'ax'", "binding", 1, 41, "+ does not take (VARCHAR, text)", "|| to join texts", None),
    ("SELECT _ordinal FROM records WHERE trade_date + 'x' > 1", "binding", 1, 47, "+ does not take (DATE, text)", "|| to join texts", None),
    ("SELECT _ordinal FROM records ORDER BY", "syntax", 1, 36, "something is missing after `BY`, or it does not belong here", "a whole SELECT", None),
    ("SELECT price FROM records WHERE", "syntax", 1, 27, "something is missing after `WHERE`, or it does not belong here", "a whole SELECT", None),
    ("SELECT", "syntax", 1, 1, "the SELECT names nothing", "columns after it", None),
    ("SELECT FROM records", "syntax", 1, 1, "the SELECT names nothing", "columns after it", None),
    ("SELECT * FROM", "syntax", 1, 10, "something is missing after `FROM`, or it does not belong here", "a whole SELECT", None),
    ("SELECT é FROM records", "column", 1, 8, "unknown column 'é'", "a column of the tables, or a text in single quotes", None),
    ("WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT 1 FROM a) SELECT * FROM a", "shape", 1, 6, "recursion cannot be used here", "a plain query", None),
    ("SELECT _ordinal FROM records TABLESAMPLE 10%", "shape", 1, 22, "samples cannot be used here", "a plain query", None),
    ("SELECT _ordinal FROM records r WHERE EXISTS (SELECT 1 FROM venues WHERE nam = r.code)", "column", 1, 73, "unknown column 'nam'", "a column of the tables", "name"),
    ("SELECT _ordinal FROM records WHERE list_sum([1]) > 1", "function", 1, 36, "the function 'list_sum' cannot be used", "a function of the list", None),
    ("SELECT _ordinal, row_numbr() OVER () FROM records", "function", 1, 18, "the function 'row_numbr' cannot be used", "a function of the list", "row_number"),
    ("SELECT _ordinal FROM records QUALIFY rank() > 1", "function", 1, 38, "the function 'rank' cannot be used", "OVER (...) after it", None),
    ("SELECT _ordinal FROM records WHERE price > 1,5", "syntax", 1, 45, "a comma stands between two numbers", "a point in a number", None),
    ("SELECT max(max(price)), _ordinal FROM records", "binding", 1, 12, "aggregate function calls cannot be nested", "one aggregate, or a named query for the inner one", None),
    ("SELECT 'a;b', _ordinal FROM records -- x;y\n; SELECT 1", "statement", 2, 3, "it holds 2 statements", "one SELECT", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "category", "line", "column", "message", "expected", "nearest"), FOREIGN)
def test_what_cannot_run_is_told(
    text: str, category: str, line: int, column: int, message: str, expected: str, nearest: str | None
) -> None:
    """The place is the very thing, and there is always something to write instead."""
    with pytest.raises(SqlError) as caught:
        inspect(text, TABLES)
    error = caught.value
    assert (error.category, error.line, error.column, error.message) == (category, line, column, message)
    assert (error.expected, error.nearest) == (expected, nearest)
    assert error.expected
