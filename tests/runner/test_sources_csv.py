import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from services.runner.engines.errors import SourceError
from services.runner.sources.csv_file import parse_csv
from services.runner.sources.requests import CsvRequest

SCHEMA = SchemaSpec(fields=(SchemaField(name="id", type="integer"), SchemaField(name="note", type="text")))


def _rows(tmp_path: Path, content: bytes, delimiter: str = ",") -> list[dict[str, object]]:
    source, target = tmp_path / "in.csv", tmp_path / "out.parquet"
    source.write_bytes(content)
    descriptor = os.open(source, os.O_RDONLY)
    try:
        request = CsvRequest.model_validate(
            {"name": "in.csv", "delimiter": delimiter, "source_schema": SCHEMA, "target": target}
        )
        extract = parse_csv(request, [descriptor])
    finally:
        os.close(descriptor)
    rows: list[dict[str, object]] = pq.read_table(target).to_pylist()
    assert extract.rows == len(rows)
    assert extract.column_types == {"id": "VARCHAR", "note": "VARCHAR"}
    return rows


def _error(tmp_path: Path, content: bytes) -> SourceError:
    with pytest.raises(SourceError) as failed:
        _rows(tmp_path, content)
    return failed.value


def test_rows_keep_the_files_order_and_their_text(tmp_path: Path) -> None:
    """Ordinals count from 1 in file order; values stay the text that they were."""
    rows = _rows(tmp_path, b"id,note\n007,a\nx, b \n")
    assert rows == [{"_ordinal": 1, "id": "007", "note": "a"}, {"_ordinal": 2, "id": "x", "note": " b "}]


def test_quotes_line_breaks_and_the_byte_order_mark_are_read(tmp_path: Path) -> None:
    """Quoted delimiters, doubled quotes, breaks inside values, CRLF and a BOM are RFC 4180 and UTF-8."""
    rows = _rows(tmp_path, '\ufeff"id","note"\r\n1,"a,""b""\r\nc"\r\n2,ü\r\n'.encode())
    assert [row["note"] for row in rows] == ['a,"b"\r\nc', "ü"]


def test_nothing_is_null_and_quoted_nothing_is_empty(tmp_path: Path) -> None:
    """An absent value is null; a quoted empty one is the empty text."""
    assert [row["note"] for row in _rows(tmp_path, b'id,note\n1,\n2,""\n')] == [None, ""]


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    """Order and additional columns do not matter; the schema's order comes out."""
    rows = _rows(tmp_path, b"extra,note,id\nz,a,1\n")
    assert list(rows[0]) == ["_ordinal", "id", "note"]


def test_other_delimiters_are_taken(tmp_path: Path) -> None:
    """A declared delimiter separates values; the comma is then a character like any other."""
    assert _rows(tmp_path, b"id;note\n1;a,b\n", ";")[0]["note"] == "a,b"


def test_a_file_without_rows_is_an_empty_extract(tmp_path: Path) -> None:
    """A header alone is a dataset of nothing."""
    assert _rows(tmp_path, b"id,note\n") == []


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    """The message names the column that is missing and those that are there."""
    error = _error(tmp_path, b"id,text\n1,a\n")
    assert error.code == "missing-column"
    assert "'note'" in error.message
    assert "id, text" in error.message


@pytest.mark.parametrize("content", [b"", b"\n", b"id,,note\n1,2,3\n", b"id,note,id\n1,2,3\n"])
def test_a_header_that_names_nothing_or_one_thing_twice_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty files, nameless and repeated columns are refused."""
    assert _error(tmp_path, content).code == "header-malformed"


def test_a_ragged_row_is_named_by_its_line(tmp_path: Path) -> None:
    """The line is the one that an editor shows, values with line breaks before it counted."""
    error = _error(tmp_path, b'id,note\n1,"a\nb"\n2,x,y\n')
    assert error.code == "file-malformed"
    assert "Line 4" in error.message
    assert "3 values, the header names 2" in error.message
    assert "Line 3" in _error(tmp_path, b"id,note\n1,a\n2\n").message


@pytest.mark.parametrize("content", [b'id,note\n1,"a\n', b'id,note\n1,"a"b\n'])
def test_quotes_that_do_not_end_are_refused(tmp_path: Path, content: bytes) -> None:
    """A quoted value that runs on is a broken file, not a long value."""
    assert _error(tmp_path, content).code == "file-malformed"


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    """Latin-1 is not guessed: the message says that the file is not UTF-8."""
    error = _error(tmp_path, b"id,note\n1,\xfc\n")
    assert error.code == "not-utf8"
    assert "row 2" in error.message


def test_messages_carry_no_values(tmp_path: Path) -> None:
    """What stands in a broken row stays out of the message: it may be personal."""
    for content in (b"id,note\n1,geheim,x\n", b'id,note\n1,"geheim\n', b"id,note\n1,geheim\xff\n"):
        assert "geheim" not in _error(tmp_path, content).message
