"""Mappings as tables, and the joins that expressions' lookups come to."""

from datetime import date

import pytest

from libs.common.vocabulary.mappings import MappingEntry, MappingSpec
from libs.expressions import (
    compile_expression,
    joins,
    mapping_rows,
)
from tests.expressions.conftest import MOMENT, SCOPE


def test_mapping_rows_of_the_day() -> None:
    """Only entries valid on the business date appear, both end days included; absent values are null."""
    spec = MappingSpec(
        columns=("lei", "country"),
        entries=(
            MappingEntry(key="A", values={"lei": "old"}, valid_to=date(2025, 3, 9)),
            MappingEntry(key="A", values={"lei": "new"}, valid_from=date(2025, 3, 10)),
            MappingEntry(key="B", values={"country": "DE"}, valid_from=date(2025, 3, 11)),
            MappingEntry(key="C", values={"lei": "c", "country": "FR"}),
        ),
    )
    assert mapping_rows(spec, date(2025, 3, 10)).to_pylist() == [
        {"key": "A", "lei": "new", "country": None},
        {"key": "C", "lei": "c", "country": "FR"},
    ]
    assert mapping_rows(spec, date(2025, 3, 9)).column("lei").to_pylist() == ["old", "c"]


def test_mapping_column_named_key_is_refused() -> None:
    """`key` is the table's own column."""
    with pytest.raises(ValueError, match="key"):
        mapping_rows(MappingSpec(columns=("key",), entries=()), date(2025, 3, 10))


def test_equal_lookups_share_one_join() -> None:
    """Two expressions that look the same key up need one join; another key needs another; inner lookups come first."""
    texts = [
        "lookup('cp', code, 'lei')",
        "lookup('cp', code, 'country') == 'DE' and has('cp', code)",
        "lookup('cp', lookup('cp', code, 'lei'), 'lei')",
    ]
    compiled = [compile_expression(text, SCOPE, MOMENT) for text in texts]
    sql = joins(compiled)
    assert sql.count("LEFT JOIN") == 2
    outer = compiled[2].lookups
    assert [outer[0].key_sql, outer[0].alias in outer[1].key_sql] == ['"t"."code"', True]
    assert joins([compile_expression("code", SCOPE, MOMENT)]) == ""
