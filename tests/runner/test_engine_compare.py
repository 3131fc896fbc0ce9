"""Two runs compared by the engine, held against a comparison written row by row."""

from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.runner.engines import compare
from services.runner.engines.compare import compare_runs
from services.runner.engines.errors import TransformError
from services.runner.engines.requests import Compared, CompareRequest, Side

_TEXTS = ("key", "rule_id", "severity", "outcome", "message")
_FAILURES = pa.schema([pa.field("_ordinal", pa.int64()), *(pa.field(name, pa.string()) for name in _TEXTS)])
_RECORDS = pa.schema([pa.field("_ordinal", pa.int64()), *(pa.field(n, pa.string()) for n in ("_key", "x", "y"))])
_ORIGINS = pa.schema([("key", pa.string()), *((name, pa.int64()) for name in ("_ordinal", "_row", "_first"))])
Row = tuple[set[int], str | None, str | None]
"""The records behind a row, the key that code gives it, its value."""
VALUES = st.sampled_from([None, "", "a", "b"])
RECORDS = st.dictionaries(st.integers(1, 8), st.tuples(VALUES, VALUES), max_size=8)
HELD = st.none() | st.dictionaries(st.integers(1, 8), st.sampled_from(["blocking", "warning", "waived"]), max_size=8)
FAILED = st.sets(st.tuples(st.integers(1, 8), st.sampled_from(["r", "s"])), max_size=8)


@pytest.fixture(params=[100_000, 2], ids=["whole", "sliced"])
def slices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare all at once, then a few records at a time, failures sorted for it."""
    monkeypatch.setattr(compare, "_SLICE", request.param)


def side(
    home: Path,
    name: str,
    records: dict[int, tuple[Any, Any]],
    failed: set[tuple[int, str]],
    held: dict[int, str] | None = None,
) -> Side:
    """Write what a run made; `held` are records that a rule over the output told of, and how severely."""
    rows = [{"_ordinal": n, "_key": f"k{n}", "x": x, "y": y} for n, (x, y) in records.items()]
    pq.write_table(pa.Table.from_pylist(rows, schema=_RECORDS), home / f"{name}-records.parquet")
    common = {"severity": "blocking", "outcome": "fail", "message": "m"}
    failures = [{"_ordinal": n, "key": f"k{n}", "rule_id": rule, **common} for n, rule in failed]
    pq.write_table(pa.Table.from_pylist(failures, schema=_FAILURES), home / f"{name}-failures.parquet")
    told = [
        {**common, "_ordinal": n, "key": f"k{n}", "rule_id": "o", "severity": how} for n, how in (held or {}).items()
    ]
    pq.write_table(pa.Table.from_pylist(told, schema=_FAILURES), home / f"{name}-told.parquet")
    output = None if held is None else home / f"{name}-told.parquet"
    return Side(records=home / f"{name}-records.parquet", input=home / f"{name}-failures.parquet", output=output)


def rows_of(found: Compared) -> list[dict[str, Any]]:
    """Return the differences as written."""
    return pq.read_table(found.file.path).to_pylist()


def expected(before: Any, after: Any) -> set[tuple[Any, ...]]:
    """Compare row by row."""
    (old, old_failed, old_held), (new, new_failed, new_held) = before, after
    found = {("newly_failing", n, rule, None) for n, rule in new_failed - old_failed}
    found |= {("newly_passing", n, rule, None) for n, rule in old_failed - new_failed}
    told_then, told_now = (held or {} for held in (old_held, new_held))
    found |= {("newly_failing", n, "o", None) for n in told_now.keys() - told_then.keys()}
    found |= {("newly_passing", n, "o", None) for n in (told_then.keys() - told_now.keys()) & new.keys()}
    old, new = ({n: values for n, values in records.items() if told.get(n) != "blocking"}
                for records, told in ((old, told_then), (new, told_now)))  # fmt: skip
    found |= {("no_longer_out", n, None, None) for n in old.keys() - new.keys()}
    found |= {("newly_out", n, None, None) for n in new.keys() - old.keys()}
    for n in old.keys() & new.keys():
        found |= {("changed", n, None, name) for place, name in enumerate("xy") if old[n][place] != new[n][place]}
    return found


@pytest.mark.usefixtures("slices")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.tuples(RECORDS, FAILED, HELD), after=st.tuples(RECORDS, FAILED, HELD))
def test_the_engine_finds_what_a_loop_finds(tmp_path: Path, before: Any, after: Any) -> None:
    """Whatever the two runs made: every difference once, no other, sorted by difference and key; counts are exact."""
    request = CompareRequest(
        before=side(tmp_path, "old", *before), after=side(tmp_path, "new", *after), target=tmp_path / "d.parquet"
    )
    found = compare_runs(request)
    rows = rows_of(found)
    told = [(row["difference"], row["_ordinal"], row["rule_id"], row["field"]) for row in rows]
    assert (set(told), len(told)) == (expected(before, after), len(set(told)))
    order = [(row["difference"], row["key"]) for row in rows]
    assert order == sorted(order)
    assert [row["position"] for row in rows] == [*range(1, len(rows) + 1)]
    assert found.counts == {name: len({n for d, n, *_ in told if d == name}) for name in {d for d, *_ in told}}
    assert sum(found.by_field.values()) == sum(1 for d, *_ in told if d == "changed")


def test_a_schema_that_gains_a_field_shows_its_values(tmp_path: Path) -> None:
    """A field that was not there before has changed from nothing; one of another type is compared by its text."""
    old, new = side(tmp_path, "old", {1: ("1", "b")}, set()), side(tmp_path, "new", {}, set())
    table = pa.table({"_ordinal": [1], "_key": ["k1"], "x": [1], "z": ["new"]})
    pq.write_table(table, new.records)
    rows = rows_of(compare_runs(CompareRequest(before=old, after=new, target=tmp_path / "d.parquet")))
    assert [(row["field"], row["before"], row["after"]) for row in rows] == [("y", "b", None), ("z", None, "new")]


def traced(home: Path, name: str, rows: list[Row], failed: set[int]) -> Side:
    """Write what a run's code made: rows in their order, each of some records; `failed` are places of rows."""
    numbered = list(enumerate(rows, start=1))
    made = [{"_ordinal": n, "_key": key or f"k{min(of)}", "x": x, "y": None} for n, (of, key, x) in numbered]
    pq.write_table(pa.Table.from_pylist(made, schema=_RECORDS), home / f"{name}-rows.parquet")
    behind = [{"key": f"k{o}", "_ordinal": o, "_row": n, "_first": min(of)} for n, (of, _, _) in numbered for o in of]
    pq.write_table(pa.Table.from_pylist(behind, schema=_ORIGINS), home / f"{name}-origins.parquet")
    common = {"severity": "blocking", "outcome": "fail", "message": "m", "rule_id": "r"}
    output = [{"_ordinal": row["_ordinal"], "key": row["_key"], **common} for row in made if row["_ordinal"] in failed]
    pq.write_table(pa.Table.from_pylist(output, schema=_FAILURES), home / f"{name}-output.parquet")
    names = ("rows", "origins", "output")
    files = dict(zip(("records", *names[1:]), (home / f"{name}-{part}.parquet" for part in names), strict=True))
    return Side(**files)


def found_as(rows: list[Row], *, by_key: bool) -> dict[tuple[Any, ...], int]:
    """Return what each row is found by in the other run → its place."""
    seen: Counter[Any] = Counter()
    found: dict[tuple[Any, ...], int] = {}
    for place, (of, key, _) in enumerate(rows, start=1):
        name = key if by_key else (min(of), key)
        seen[name] += 1
        found[name, seen[name]] = place
    return found


def rows_expected(before: list[Row], after: list[Row], failed: tuple[set[int], set[int]], *, by_key: bool) -> Any:
    """Compare rows one by one: difference, first record and key → how often."""
    old, new = (found_as(rows, by_key=by_key) for rows in (before, after))
    wanted: Counter[Any] = Counter()

    def note(difference: str, row: Row) -> None:
        wanted[difference, min(row[0]), row[1] or f"k{min(row[0])}"] += 1

    for name in old.keys() | new.keys():
        was, now = old.get(name), new.get(name)
        failed_then, fails_now = was in failed[0], now in failed[1]
        out_then, out_now = was and not failed_then, now and not fails_now
        if out_then and out_now and before[was - 1][2] != after[now - 1][2]:
            note("changed", before[was - 1])
        if out_then and not out_now:
            note("no_longer_out", before[was - 1])
        if out_now and not out_then:
            note("newly_out", after[now - 1])
        if now and fails_now and not failed_then:
            note("newly_failing", after[now - 1])
        if was and now and failed_then and not fails_now:
            note("newly_passing", before[was - 1])
    return wanted


KEYS = st.sampled_from([None, "p", "q"])
LEGS = st.lists(st.tuples(st.sets(st.integers(1, 4), min_size=1, max_size=1), KEYS, VALUES), max_size=8)
PLACES = st.sets(st.integers(1, 8))


@pytest.mark.usefixtures("slices")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=LEGS, after=LEGS, failed=st.tuples(PLACES, PLACES))
def test_rows_of_one_record_are_compared_in_their_order(tmp_path: Path, before: Any, after: Any, failed: Any) -> None:
    """Where code makes several rows of a record, the first of a key is compared with the first, wherever they stand."""
    sides = {"before": traced(tmp_path, "old", before, failed[0]), "after": traced(tmp_path, "new", after, failed[1])}
    rows = rows_of(compare_runs(CompareRequest(**sides, target=tmp_path / "d.parquet")))
    told = Counter((row["difference"], row["_ordinal"], row["key"]) for row in rows)
    assert told == rows_expected(before, after, failed, by_key=False)


TOTALS = st.lists(
    st.tuples(st.sets(st.integers(1, 9), min_size=1, max_size=3), st.sampled_from("pqr"), VALUES), max_size=6
)


@pytest.mark.usefixtures("slices")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=TOTALS, after=TOTALS, failed=st.tuples(PLACES, PLACES))
def test_rows_of_several_records_are_compared_by_their_key(
    tmp_path: Path, before: Any, after: Any, failed: Any
) -> None:
    """Whichever records are behind a row, and wherever it stands: it is the row with its key."""
    sides = {"before": traced(tmp_path, "old", before, failed[0]), "after": traced(tmp_path, "new", after, failed[1])}
    rows = rows_of(compare_runs(CompareRequest(**sides, target=tmp_path / "d.parquet", by_key=True)))
    told = Counter((row["difference"], row["_ordinal"], row["key"]) for row in rows)
    assert told == rows_expected(before, after, failed, by_key=True)


def test_rows_of_which_nothing_is_known_are_not_compared(tmp_path: Path) -> None:
    """A past run that does not say what its rows came of is no basis."""
    old, new = (traced(tmp_path, name, [({1}, None, "a")], set()) for name in ("old", "new"))
    request = CompareRequest(before=old.model_copy(update={"origins": None}), after=new, target=tmp_path / "d.parquet")
    with pytest.raises(TransformError, match="ask for the backtest again"):
        compare_runs(request)


@pytest.mark.parametrize(("phase", "told"), [("output", []), ("faults", ["no_longer_out"])])
def test_who_was_not_judged_has_not_passed(tmp_path: Path, phase: str, told: list[str]) -> None:
    """A record that is held before the output rules is no newly passing one there; who was held there was not out."""
    old, new = (side(tmp_path, name, {1: ("a", "b")} if name == "old" else {}, {(1, "r")} if name == "old" else set())
                for name in ("old", "new"))  # fmt: skip
    before = Side(records=old.records, **{phase: old.input})
    rows = rows_of(compare_runs(CompareRequest(before=before, after=new, target=tmp_path / "d.parquet")))
    assert [row["difference"] for row in rows] == told


def test_slices_leave_nothing_out(tmp_path: Path) -> None:
    """Records far apart are compared slice by slice, each once."""
    ordinals = [0, 99_999, 100_000, 250_000]
    old = side(tmp_path, "old", dict.fromkeys(ordinals, ("a", "b")), set())
    new = side(tmp_path, "new", dict.fromkeys(ordinals, ("a", "c")), {(n, "r") for n in ordinals})
    found = compare_runs(CompareRequest(before=old, after=new, target=tmp_path / "d.parquet"))
    assert (found.counts, found.records) == ({"changed": 4, "newly_failing": 4}, 4)


def test_much_that_code_made_of_each_record_fits_into_little_memory(tmp_path: Path) -> None:
    """Three rows of each record, a third of them failing: a slice has so many rows, not so many records."""
    records, rows = 250_000, 750_000
    sides = {name: _threefold(tmp_path, name, rows, changed) for name, changed in (("before", 0), ("after", 1))}
    found = compare_runs(CompareRequest(**sides, target=tmp_path / "d.parquet", memory="128MiB"))
    assert found.counts == {"changed": records // 10, "newly_passing": 1, "newly_out": 1}
    assert found.by_field == {"x": records // 10}


def _threefold(home: Path, name: str, rows: int, changed: int) -> Side:
    """Write rows of which one in thirty, of different records, is another when `changed`; then one more passes."""
    record, text = "range // 3 + 1", "'the value is not what it should be'"
    queries = {
        "records": f"SELECT range + 1 AS _ordinal, 'k' || ({record}) AS _key, "
        f"sha256(CAST(range + if(range % 30 = 0, {changed}, 0) AS VARCHAR)) AS x FROM range({rows})",
        "origins": f"SELECT 'k' || ({record}) AS key, {record} AS _ordinal, range + 1 AS _row, {record} AS _first FROM range({rows})",
        "output": f"SELECT range + 1 AS _ordinal, 'k' || ({record}) AS key, 'r' AS rule_id, 'blocking' AS severity, "
        f"'fail' AS outcome, {text} AS message FROM range({rows}) WHERE range % 3 = 1 AND range >= {3 * changed}",
    }
    for part, query in queries.items():
        duckdb.sql(f"COPY ({query}) TO '{home}/{name}-{part}.parquet' (FORMAT parquet)")
    return Side(**{part: home / f"{name}-{part}.parquet" for part in queries})
