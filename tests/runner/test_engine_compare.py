"""Two runs compared by the engine, held against a comparison written row by row."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.runner.engines.compare import compare_runs
from services.runner.engines.requests import Compared, CompareRequest, Side

_TEXTS = ("key", "rule_id", "severity", "outcome", "message")
_FAILURES = pa.schema([pa.field("_ordinal", pa.int64()), *(pa.field(name, pa.string()) for name in _TEXTS)])
_RECORDS = pa.schema([pa.field("_ordinal", pa.int64()), *(pa.field(n, pa.string()) for n in ("_key", "x", "y"))])
VALUES = st.sampled_from([None, "", "a", "b"])
RECORDS = st.dictionaries(st.integers(1, 8), st.tuples(VALUES, VALUES), max_size=8)
FAILED = st.sets(st.tuples(st.integers(1, 8), st.sampled_from(["r", "s"])), max_size=8)


def side(home: Path, name: str, records: dict[int, tuple[Any, Any]], failed: set[tuple[int, str]]) -> Side:
    """Write what a run made."""
    rows = [{"_ordinal": n, "_key": f"k{n}", "x": x, "y": y} for n, (x, y) in records.items()]
    pq.write_table(pa.Table.from_pylist(rows, schema=_RECORDS), home / f"{name}-records.parquet")
    common = {"severity": "blocking", "outcome": "fail", "message": "m"}
    failures = [{"_ordinal": n, "key": f"k{n}", "rule_id": rule, **common} for n, rule in failed]
    pq.write_table(pa.Table.from_pylist(failures, schema=_FAILURES), home / f"{name}-failures.parquet")
    return Side(records=home / f"{name}-records.parquet", input=home / f"{name}-failures.parquet")


def rows_of(found: Compared) -> list[dict[str, Any]]:
    """Return the differences as written."""
    return pq.read_table(found.file.path).to_pylist()


def expected(before: Any, after: Any) -> set[tuple[Any, ...]]:
    """Compare row by row."""
    (old, old_failed), (new, new_failed) = before, after
    found = {("newly_failing", n, rule, None) for n, rule in new_failed - old_failed}
    found |= {("newly_passing", n, rule, None) for n, rule in old_failed - new_failed}
    found |= {("no_longer_out", n, None, None) for n in old.keys() - new.keys()}
    found |= {("newly_out", n, None, None) for n in new.keys() - old.keys()}
    for n in old.keys() & new.keys():
        found |= {("changed", n, None, name) for place, name in enumerate("xy") if old[n][place] != new[n][place]}
    return found


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.tuples(RECORDS, FAILED), after=st.tuples(RECORDS, FAILED))
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


def test_records_of_one_source_record_are_compared_in_their_order(tmp_path: Path) -> None:
    """Where a transform makes several records of one, the first is compared with the first."""
    sides = []
    for name, values in (("old", "abc"), ("new", "axc")):
        table = pa.table({"_ordinal": [1, 1, 1], "_key": ["k"] * 3, "x": list(values)})
        pq.write_table(table, tmp_path / f"{name}.parquet")
        sides.append(Side(records=tmp_path / f"{name}.parquet"))
    found = compare_runs(CompareRequest(before=sides[0], after=sides[1], target=tmp_path / "d.parquet"))
    assert [(row["before"], row["after"]) for row in rows_of(found)] == [("b", "x")]


@pytest.mark.parametrize("phase", ["output", "faults"])
def test_who_was_not_judged_has_not_passed(tmp_path: Path, phase: str) -> None:
    """A record that is held before the output rules is no newly passing one there."""
    old, new = (side(tmp_path, name, {1: ("a", "b")} if name == "old" else {}, {(1, "r")} if name == "old" else set())
                for name in ("old", "new"))  # fmt: skip
    before = Side(records=old.records, **{phase: old.input})
    rows = rows_of(compare_runs(CompareRequest(before=before, after=new, target=tmp_path / "d.parquet")))
    assert [row["difference"] for row in rows] == ["no_longer_out"]


def test_slices_leave_nothing_out(tmp_path: Path) -> None:
    """Records far apart are compared slice by slice, each once."""
    ordinals = [0, 99_999, 100_000, 250_000]
    old = side(tmp_path, "old", dict.fromkeys(ordinals, ("a", "b")), set())
    new = side(tmp_path, "new", dict.fromkeys(ordinals, ("a", "c")), {(n, "r") for n in ordinals})
    found = compare_runs(CompareRequest(before=old, after=new, target=tmp_path / "d.parquet"))
    assert (found.counts, found.records) == ({"changed": 4, "newly_failing": 4}, 4)
