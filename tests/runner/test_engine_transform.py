import hashlib
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.runner.engines.errors import TransformError
from services.runner.engines.requests import Transformed
from services.runner.engines.transform import run_transform
from tests.runner.datapath import CORRECTIONS, rows_of, schema, transform_request, write_failures, write_rows

SOURCE = schema(id="text", side="text", price="decimal", venue="text")
TYPES = {"id": "VARCHAR", "side": "VARCHAR", "price": "VARCHAR", "venue": "VARCHAR"}
TARGET = schema(
    ref={"type": "text", "required": True, "max_length": 4}, px={"type": "decimal", "precision": 8, "scale": 2}
)
FIELDS = {"ref": "id", "px": "price"}
ROWS = [("b", "S", "1.50", "XLON"), ("a", "B", "2", "XOFF"), ("c", "S", "3.25", None)]


def _run(work: Path, rows: list[tuple[Any, ...]] = ROWS, **more: Any) -> Transformed:
    extract = write_rows(work / "extract.parquet", dict.fromkeys(TYPES, pa.string()), rows)
    options = {"fields": FIELDS, "key": ("id",), **more}
    target = options.pop("target", TARGET)
    return run_transform(transform_request(work, extract, TYPES, SOURCE, target, **options))


def _refs(result: Transformed) -> list[tuple[int, str]]:
    return [(row["_ordinal"], row["ref"]) for row in rows_of(result.output.path)]


def test_records_come_out_typed_with_ordinal_and_key(tmp_path: Path) -> None:
    """A record keeps its source ordinal and key; its values have the target's types."""
    result = _run(tmp_path)
    assert rows_of(result.output.path)[0] == {"_ordinal": 1, "_key": "b", "ref": "b", "px": Decimal("1.50")}
    assert pq.read_schema(result.output.path).field("px").type == pa.decimal128(8, 2)
    assert (result.rows_in, result.output.rows, result.held, result.filtered, result.unfit) == (3, 3, 0, 0, 0)


def test_without_order_the_source_order_stays(tmp_path: Path) -> None:
    """Many records in several row groups come out in source order."""
    rows = [(str(n), "B", "1", None) for n in range(1, 300_001)]
    target = schema(ref="text", px="decimal")
    result = _run(tmp_path, rows, target=target, where="id != '7'")
    ordinals = pq.read_table(result.output.path, columns=["_ordinal"]).column(0).to_pylist()
    assert ordinals == [n for n in range(1, 300_001) if n != 7]


def test_order_is_by_the_keys_then_by_source(tmp_path: Path) -> None:
    """Sort keys decide, descending ones too; ties keep source order; nulls come last."""
    assert [o for o, _ in _refs(_run(tmp_path, order_by=[{"expression": "side", "descending": True}]))] == [1, 3, 2]
    assert [o for o, _ in _refs(_run(tmp_path, order_by=[{"expression": "venue"}]))] == [1, 2, 3]


@pytest.mark.parametrize("distance", [0, 5_000, 100_000])
def test_many_records_are_ordered_however_far_they_have_to_go(tmp_path: Path, distance: int) -> None:
    """Records that are near their place and records that lie all over the source come in the same order."""
    rng = random.Random(distance)  # noqa: S311 - a shuffle, no secret
    places = sorted(range(100_000), key=lambda n: n + rng.randint(0, distance))
    rows = [(_spread(n), "BS"[n % 2], "1", f"{n // 3:06}" if n < 96_000 else None) for n in places]
    order = [{"expression": "venue"}, {"expression": "side", "descending": True}]
    failures = (write_failures(tmp_path / "f.parquet", 1, 40_000),)
    result = _run(
        tmp_path, rows, target=schema(ref="text", px="decimal"), order_by=order, failures=failures, where="id != 'x'"
    )
    expected = sorted(
        (n for n in range(1, 100_001) if n not in (1, 40_000)),
        key=lambda n: (rows[n - 1][3] is None, rows[n - 1][3] or "", rows[n - 1][1] == "B", n),
    )
    assert (tmp_path / "extract.parquet").stat().st_size > 4 * 1024 * 1024  # smaller ones are sorted at once
    assert _refs(result) == [(n, rows[n - 1][0]) for n in expected]


def _spread(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()


def test_records_that_where_does_not_take_are_filtered(tmp_path: Path) -> None:
    """False and unknown are both not true: such records are filtered and counted."""
    result = _run(tmp_path, where="venue == 'XLON'")
    assert _refs(result) == [(1, "b")]
    assert result.filtered == 2
    assert [(r["_ordinal"], r["disposition"]) for r in rows_of(result.dispositions.path)] == [
        (2, "filtered"),
        (3, "filtered"),
    ]


def test_blocking_failures_hold_their_records(tmp_path: Path) -> None:
    """A record with a blocking failure is held even where `where` would filter it; a warning holds nothing."""
    blocking = write_failures(tmp_path / "f1.parquet", 2)
    warning = write_failures(tmp_path / "f2.parquet", 1, severity="warning")
    result = _run(tmp_path, failures=(blocking, warning), where="side == 'S'")
    assert [ordinal for ordinal, _ in _refs(result)] == [1, 3]
    assert (result.held, result.filtered) == (1, 0)
    assert rows_of(result.dispositions.path) == [{"_ordinal": 2, "key": "K2", "disposition": "held", "rule_id": "r"}]


def test_foreign_ordinals_are_refused(tmp_path: Path) -> None:
    """A failure of a record that the extract does not have stops the step."""
    with pytest.raises(TransformError) as refused:
        _run(tmp_path, failures=(write_failures(tmp_path / "f.parquet", 4),))
    assert refused.value.code == "unbalanced"


def test_the_last_correction_counts(tmp_path: Path) -> None:
    """A corrected field takes its new value, the last of several; the key stays what the source says."""
    rows = [
        {"_ordinal": 1, "field": "id", "new_value": "x"},
        {"_ordinal": 1, "field": "id", "new_value": "y"},
        {"_ordinal": 2, "field": "price", "new_value": "9.99"},
        {"_ordinal": 3, "field": "price", "new_value": None},
    ]
    path = tmp_path / "corrections.parquet"
    pq.write_table(pa.Table.from_pylist(rows, CORRECTIONS), path)
    found = rows_of(_run(tmp_path, corrections=path).output.path)
    assert (found[0]["ref"], found[0]["_key"]) == ("y", "b")
    assert [row["px"] for row in found] == [Decimal("1.50"), Decimal("9.99"), None]


def test_what_a_correction_leaves_alone_is_as_it_was(tmp_path: Path) -> None:
    """A decimal of as many places as digits is no other number in the records that a correction of its field passed by."""
    extract = write_rows(tmp_path / "extract.parquet", {"rate": pa.decimal128(3, 3)}, [(Decimal("0.500"),)] * 2)
    source = schema(rate={"type": "decimal", "precision": 3, "scale": 3})
    path = tmp_path / "corrections.parquet"
    pq.write_table(pa.Table.from_pylist([{"_ordinal": 2, "field": "rate", "new_value": "0.1"}], CORRECTIONS), path)
    options: dict[str, Any] = {"fields": {"rate": "rate"}, "key": ("rate",), "corrections": path}
    asked = transform_request(tmp_path, extract, {"rate": "DECIMAL(3,3)"}, source, source, **options)
    assert [row["rate"] for row in rows_of(run_transform(asked).output.path)] == [Decimal("0.500"), Decimal("0.100")]


def test_lookups_read_the_mapping_tables(tmp_path: Path) -> None:
    """A lookup takes its value from the mapping's file; an absent key gives null."""
    mapping = tmp_path / "venues.parquet"
    pq.write_table(pa.table({"key": ["XLON"], "country": ["GB"]}), mapping)
    fields = {"ref": "id", "px": "price", "country": "lookup('venues', venue, 'country')"}
    target = schema(ref="text", px="decimal", country="text")
    result = _run(
        tmp_path, target=target, fields=fields, mappings={"venues": {"path": mapping, "columns": ("country",)}}
    )
    assert [row["country"] for row in rows_of(result.output.path)] == ["GB", None, None]


@pytest.mark.parametrize(
    ("row", "rule", "value"),
    [
        ((None, "S", "1", None), "target:ref:required", None),
        (("abcde", "S", "1", None), "target:ref:length", "abcde"),
        (("a", "S", "1.005", None), "target:px:type", "1.0050000000"),
        (("a", "S", "1000000", None), "target:px:type", "1000000.0000000000"),
    ],
)
def test_values_that_do_not_fit_hold_their_record(
    tmp_path: Path, row: tuple[Any, ...], rule: str, value: str | None
) -> None:
    """Nothing is cut, rounded or nulled: the record is held under a rule that names field and reason."""
    result = _run(tmp_path, [*ROWS, row])
    assert (result.output.rows, result.unfit, result.filtered) == (3, 1, 0)
    fault = rows_of(result.faults.path)[0]
    assert (fault["_ordinal"], fault["rule_id"], fault["severity"], fault["outcome"]) == (4, rule, "blocking", "fail")
    field = rule.split(":")[1]
    assert fault["fields"] == (f'{{"{field}":"{value}"}}' if value else f'{{"{field}":null}}')
    assert rows_of(result.dispositions.path)[0]["disposition"] == "held"


def test_a_record_with_two_misfits_is_held_once(tmp_path: Path) -> None:
    """Two reasons are two faults of one held record: the balance counts records."""
    result = _run(tmp_path, [("abcde", "S", "1.005", None)])
    assert (result.rows_in, result.output.rows, result.unfit, result.faults.rows) == (1, 0, 1, 2)


def test_an_empty_extract_balances(tmp_path: Path) -> None:
    """Nothing in, nothing out, and every file is there."""
    result = _run(tmp_path, [])
    assert (result.rows_in, result.output.rows, result.dispositions.rows, result.faults.rows) == (0, 0, 0, 0)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """A transform can be derived again, byte for byte."""
    rows = [(str(n % 1000), "B", "1.25", "XLON") for n in range(200_000)]
    options: dict[str, Any] = {"order_by": [{"expression": "id"}], "where": "id != '5'"}
    first = _run(tmp_path, rows, **options)
    second = _run(tmp_path, rows, **options)
    assert first.output.sha256 == second.output.sha256
    assert first.dispositions.sha256 == second.dispositions.sha256


def test_expressions_that_are_refused_name_field_and_place(tmp_path: Path) -> None:
    """A bad expression stops the step with the field and the column of the mistake."""
    with pytest.raises(TransformError) as refused:
        _run(tmp_path, fields={"ref": "nope", "px": "price"})
    assert refused.value.code == "expression-refused"
    assert "field ref" in refused.value.message
    assert "column 1" in refused.value.message


def test_required_fields_must_be_mapped(tmp_path: Path) -> None:
    """A required target field without an expression is a definition that cannot work."""
    with pytest.raises(TransformError) as refused:
        _run(tmp_path, fields={"px": "price"})
    assert refused.value.code == "field-unmapped"


def test_unmapped_optional_fields_are_null(tmp_path: Path) -> None:
    """A target field without an expression is there, and null."""
    assert rows_of(_run(tmp_path, fields={"ref": "id"}).output.path)[0]["px"] is None


def test_text_that_is_no_number_is_null_not_an_error(tmp_path: Path) -> None:
    """Bad text was judged by the schema's own checks: here it is an absent value."""
    result = _run(tmp_path, [("a", "B", "abc", None)])
    assert rows_of(result.output.path)[0]["px"] is None


def test_files_of_nothing_have_the_columns_of_files_of_something(tmp_path: Path) -> None:
    """Where every record came out, the files of those that did not are empty tables of the same shape."""
    failures = (write_failures(tmp_path / "f.parquet", 2),)
    for place in ("all", "some"):
        (tmp_path / place).mkdir()
    all_out, some_held = _run(tmp_path / "all"), _run(tmp_path / "some", failures=failures)
    assert (all_out.dispositions.rows, some_held.dispositions.rows) == (0, 1)
    for name in ("dispositions", "faults"):
        nothing, something = (pq.read_schema(getattr(made, name).path) for made in (all_out, some_held))
        assert (nothing.names, nothing.types) == (something.names, something.types)
