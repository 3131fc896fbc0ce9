"""What the binder would work out by itself stays small: it runs where the credentials are, before any jail (S7, S18)."""

import resource

import duckdb
import pytest

from libs.expressions.sql import SqlError, inspect
from libs.expressions.sql.meaning import GROWING
from libs.expressions.sql.names import OPERATORS, SCALARS
from tests.expressions.sql.test_sql_guard import TABLES, refusal
from tests.frugal import frugally

SWOLLEN = "replace(replace(lpad('a', 1000, 'a'), 'a', lpad('b', 1000, 'b')), 'b', lpad('c', 1000, 'c'))"
PLACES = [
    "strftime(booked, {})", "strptime(id, {})", "date_trunc({}, booked)", "date_part({}, booked)", "string_agg(id, {})",
    "id LIKE {}", "datediff({}, booked, booked)", "epoch(CAST({} AS TIMESTAMP))", "INTERVAL (length({})) DAY",
    "CASE WHEN length({}) > 1 THEN 1 END", "lag(id, length({})) OVER (ORDER BY id)", "quantile_cont(version, length({}) / 1e12)",
    "substring(id, length({}))", "coalesce(id, {})", "(SELECT {})", "max({})",
]  # fmt: skip
HONEST = [
    "SELECT _ordinal, replace(replace(id, ' ', ''), '-', '') AS id FROM records",
    "SELECT _ordinal, concat_ws('/', id, ccy) AS id FROM records WHERE replace(id, '.', '') <> ''",
    "SELECT _ordinal, version + 1 AS a, a * 2 AS b, b + a AS c, CASE WHEN c > b THEN c ELSE b END AS d FROM records WHERE d > 1 ORDER BY d",
    "SELECT _ordinal, 'EUR' AS home, replace(ccy, home, '') AS other FROM records",
    "WITH p AS (SELECT 'x' AS mark) SELECT r._ordinal, replace(p.mark, 'x', 'y') AS m FROM records AS r JOIN p ON p.mark = r.id",
    "SELECT _ordinal, regexp_replace(id, '(', '', 'l') AS id FROM records",
    "SELECT _ordinal, regexp_extract(id, '([A-Z]+)([0-9]+)', 2) AS id FROM records",
]


@pytest.mark.parametrize("place", PLACES)
def test_nothing_large_is_worked_out(place: str) -> None:
    """A thousand million characters out of literals, wherever they stand: refused, and never made."""
    refusal("SELECT 1")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert frugally(refusal, f"SELECT {place.format(SWOLLEN)} AS a FROM records") is not None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 50_000


@pytest.mark.parametrize("step", ["{0} || {0}", "coalesce({0}, {0})", "CASE WHEN {0} = 'a' THEN {0} END"])
@pytest.mark.parametrize("first", ["id", "'a'"])
@pytest.mark.parametrize("count", range(4, 40, 4))
def test_names_that_stand_for_names_cost_little(first: str, step: str, count: int) -> None:
    """Each name is twice the one before: accepted or refused, it takes no time."""
    refusal("SELECT 1")
    named = "".join(f", {step.format(f'x{n}')} AS x{n + 1}" for n in range(count))
    told = frugally(refusal, f"SELECT _ordinal, {first} AS x0{named} FROM records")
    assert told is not None or count < 12


@pytest.mark.parametrize("text", HONEST)
def test_honest_texts_are_accepted(text: str) -> None:
    """Names used again, literals beside columns, and patterns that are found as they are written."""
    assert inspect(text, TABLES).sql


@pytest.mark.parametrize("name", sorted(SCALARS - GROWING))
def test_no_other_function_grows_out_of_literals(name: str) -> None:
    """In the pinned engine, what a listed function makes of literals is about as long as they are."""
    long = "'" + "a" * 500 + "'"
    for count in range(1, 5):
        for place in range(count):
            for filler in ("1", long):
                values = [filler] * count
                values[place] = long
                assert _length(f"{name}({', '.join(values)})") < 500 * (count + 1) * 5


def _length(call: str) -> int:
    try:
        inspect(f"SELECT {call} AS a", TABLES)
    except SqlError:
        return 0
    try:
        row = duckdb.execute(f"SELECT length(CAST({call} AS VARCHAR))").fetchone()
    except duckdb.Error:
        return 0
    return int(row[0] or 0) if row else 0


def test_operators_only_join() -> None:
    """The only operator that makes text of texts is `||`."""
    made = {name for name in OPERATORS if _length(f"'a' {name} 'b'") > 1 and not name.startswith(("~", "!", "^@"))}
    assert made <= {"||"}
