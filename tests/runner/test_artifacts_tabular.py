import csv
import json
import os
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.runner.artifacts.render import render
from tests.runner.datapath import render_request, rows_of, schema, write_failures, write_rows

TARGET = schema(
    ref="text", qty="integer", px={"type": "decimal", "precision": 18, "scale": 5}, ok="boolean", day="date",
    at="timestamp",
)  # fmt: skip
ARROW = {
    "_key": pa.string(), "ref": pa.string(), "qty": pa.int64(), "px": pa.decimal128(18, 5), "ok": pa.bool_(),
    "day": pa.date32(), "at": pa.timestamp("us", "UTC"),
}  # fmt: skip
MANY = 150_000
AT = datetime(2025, 3, 10, 9, 45, 48, 892677, tzinfo=UTC)
ROWS: list[tuple[Any, ...]] = [
    ("k1", 'a,"b"\nc', 7, Decimal("10.50000"), True, date(2025, 3, 10), AT),
    ("k2", None, None, None, None, None, None),
    ("k3", "ü", -1, Decimal("-0.00010"), False, date(1, 1, 1), AT.replace(microsecond=500_000)),
    ("k4", "d", 0, Decimal("100.00000"), False, date(9999, 12, 31), AT.replace(microsecond=0)),
]
TEXTS = [
    ['a,"b"\nc', "7", "10.5", "true", "2025-03-10", "2025-03-10T09:45:48.892677Z"],
    ["", "", "", "", "", ""],
    ["ü", "-1", "-0.0001", "false", "0001-01-01", "2025-03-10T09:45:48.5Z"],
    ["d", "0", "100", "false", "9999-12-31", "2025-03-10T09:45:48Z"],
]  # fmt: skip


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a directory with transformed records."""
    write_rows(tmp_path / "transformed.parquet", ARROW, ROWS)
    return tmp_path


def test_csv_is_what_any_reader_reads(work: Path) -> None:
    """Values are plain text, quoted where RFC 4180 asks for it; null is nothing; lines end in a line feed."""
    artifact = render(render_request(work, TARGET, {"format": "csv"}))
    text = artifact.path.read_bytes().decode()
    rows = list(csv.reader(text.splitlines(keepends=True)))
    assert rows == [["ref", "qty", "px", "ok", "day", "at"], *TEXTS]
    assert "\r" not in text
    assert text.endswith("Z\n")
    assert artifact.rows == 4


def test_a_number_without_places_before_its_point_has_a_zero_there(tmp_path: Path) -> None:
    """A decimal of as many places as digits is written as any other: nought is `0`, not nothing."""
    target = schema(rate={"type": "decimal", "precision": 3, "scale": 3})
    rows = [("k", Decimal(text)) for text in ("0.000", "0.500", "-0.025")]
    write_rows(tmp_path / "transformed.parquet", {"_key": pa.string(), "rate": pa.decimal128(3, 3)}, rows)
    lines = render(render_request(tmp_path, target, {"format": "csv"})).path.read_text().splitlines()
    assert lines == ["rate", "0", "0.5", "-0.025"]


def test_csv_takes_other_delimiters(work: Path) -> None:
    """The declared delimiter separates, and values that hold it are quoted."""
    artifact = render(render_request(work, TARGET, {"format": "csv", "delimiter": ";"}))
    assert list(csv.reader(artifact.path.read_text().splitlines(keepends=True), delimiter=";"))[1] == TEXTS[0]


def test_json_is_one_array_with_exact_numbers(work: Path) -> None:
    """The array holds an object a record, decimals as exact numbers, instants and dates as text."""
    artifact = render(render_request(work, TARGET, {"format": "json"}))
    found = json.loads(artifact.path.read_bytes(), parse_float=Decimal)
    assert len(found) == artifact.rows == 4
    assert found[0] == {
        "ref": 'a,"b"\nc', "qty": 7, "px": Decimal("10.5"), "ok": True, "day": "2025-03-10",
        "at": "2025-03-10T09:45:48.892677Z",
    }  # fmt: skip
    assert set(found[1].values()) == {None}


def test_ndjson_is_one_object_a_line(work: Path) -> None:
    """Every line is an object; the file ends with its last line's end."""
    artifact = render(render_request(work, TARGET, {"format": "ndjson"}))
    lines = artifact.path.read_text().splitlines()
    assert [json.loads(line)["ref"] for line in lines] == ['a,"b"\nc', None, "ü", "d"]
    assert artifact.path.read_bytes().endswith(b"}\n")


def test_parquet_has_the_targets_types_only(work: Path) -> None:
    """Parquet has the target's columns with their types, and nothing of ours."""
    artifact = render(render_request(work, TARGET, {"format": "parquet"}))
    found = pq.read_schema(artifact.path)
    assert found.names == [field.name for field in TARGET.fields]
    assert found.field("px").type == pa.decimal128(18, 5)
    assert rows_of(artifact.path)[0]["at"] == AT


@pytest.mark.parametrize("kind", ["csv", "json", "ndjson", "parquet"])
def test_held_records_stay_out_and_order_stays(work: Path, kind: str) -> None:
    """Records with a blocking failure of the output phase are not in the artifact; the others keep their order."""
    failures = (write_failures(work / "f.parquet", 2, 3), write_failures(work / "w.parquet", 1, severity="warning"))
    artifact = render(render_request(work, TARGET, {"format": kind}, failures=failures))
    assert artifact.rows == 2
    text = str(rows_of(artifact.path)) if kind == "parquet" else artifact.path.read_text()
    assert "ü" not in text
    assert text.index("b") < text.index("9999" if kind != "parquet" else "'d'")


@pytest.fixture(scope="module")
def long_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table of three row groups, which as many threads read at once."""
    rows = [
        (f"k{n}", f"{n:06}{n * 7919 % 999983:016}", n, Decimal(n) / 8, n % 2 == 0, date(2025, 3, 10), AT)
        for n in range(MANY)
    ]
    return write_rows(tmp_path_factory.mktemp("long") / "transformed.parquet", ARROW, rows)


@pytest.fixture
def long_work(long_table: Path, tmp_path: Path) -> Path:
    """Return a directory with many transformed records."""
    os.link(long_table, tmp_path / "transformed.parquet")
    return tmp_path


@pytest.mark.parametrize("kind", ["csv", "json", "ndjson", "parquet"])
def test_the_same_records_give_the_same_bytes(long_work: Path, kind: str) -> None:
    """Rendering again, on as many threads as there are, gives the same hash."""
    first = render(render_request(long_work, TARGET, {"format": kind}))
    second = render(render_request(long_work, TARGET, {"format": kind}))
    assert (first.sha256, first.size, first.rows) == (second.sha256, second.size, MANY)


@pytest.mark.parametrize("kind", ["csv", "json", "ndjson", "parquet"])
def test_many_records_keep_their_order_where_some_are_held(long_work: Path, kind: str) -> None:
    """Records of several row groups come in order although the held ones are joined out."""
    failures = (write_failures(long_work / "f.parquet", 5, 100_000),)
    artifact = render(render_request(long_work, TARGET, {"format": kind}, failures=failures))
    if kind == "parquet":
        found = [ref[:6] for ref in pq.read_table(artifact.path, columns=["ref"])["ref"].to_pylist()]
    else:
        found = re.findall(r"\b(\d{6})\d{16}\b", artifact.path.read_text())
    assert found == [f"{n:06}" for n in range(MANY) if n not in (4, 99_999)]


@pytest.mark.parametrize(("kind", "content"), [("json", "[\n\n]\n"), ("ndjson", ""), ("csv", "ref,qty,px,ok,day,at\n")])
def test_no_records_are_a_valid_artifact(tmp_path: Path, kind: str, content: str) -> None:
    """An artifact of nothing is still what its format says."""
    write_rows(tmp_path / "transformed.parquet", ARROW, [])
    artifact = render(render_request(tmp_path, TARGET, {"format": kind}))
    assert artifact.rows == 0
    assert artifact.path.read_text() == content
