"""What is wrong in a report's parts is told with its place within the text, what was expected and what was meant."""

from typing import Any
from uuid import UUID

import pytest

from libs.common.vocabulary.reports import ReportSpec
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from services.catalog.domain import report_problems

ID = str(UUID(int=1))
SOURCE = SchemaSpec(fields=(SchemaField(name="id", type="text"), SchemaField(name="price", type="decimal")))
TARGET = SchemaSpec(fields=(SchemaField(name="id", type="text"), SchemaField(name="amount", type="decimal")))
FIELDS = {"fields": [{"field": "id", "expression": "id"}]}
XML = {"format": "xml", "document": "<a xmlns:r='urn:regent:template'><r:records/></a>", "record": "<r>{id}</r>"}


def problems(**spec: Any) -> list[dict[str, Any]]:
    ids = {"source_schema_id": ID, "target_schema_id": ID, "business_key": ["id"]}
    source = {"kind": "query", "connector_id": ID, "query": "SELECT 1"}
    body = {"source": source, "transform": FIELDS, "outputs": [{"format": "csv"}], **ids, **spec}
    return [one.as_dict() for one in report_problems(ReportSpec.model_validate(body), SOURCE, TARGET, {})]


@pytest.mark.parametrize(
    ("spec", "field", "line", "column", "nearest", "told"),
    [
        ({"business_key": ["idd"]}, "business_key/0", None, None, "id", "the source schema has no field 'idd'"),
        ({"transform": {"fields": [{"field": "amuont", "expression": "price"}]}}, "transform/fields/0/field", None, None, "amount", "the target schema has no field 'amuont'"),
        ({"transform": {"fields": [{"field": "amount", "expression": "1 +\nprise"}]}}, "transform/fields/0/expression", 2, 1, "price", "line 2, column 1: unknown field 'prise'"),
        ({"transform": {**FIELDS, "where": "price = 1"}}, "transform/where", 1, 7, None, "line 1, column 7: `=` is not part"),
        ({"transform": {"kind": "sql", "yields": "one_to_one", "query": "SELECT _ordinal, id\nFROM record"}}, "transform/query", 2, 6, "records", "line 2, column 6: unknown table 'record'"),
        ({"transform": {"kind": "sql", "yields": "one_to_one", "query": "SELECT _ordinal,\n price AS amuont FROM records"}}, "transform/query", 2, 11, "amount", "line 2, column 11: the target schema has no field amuont"),
        ({"transform": {"kind": "python", "yields": "one_to_one", "code": "import o\ndef transform(b, p): x ="}}, "transform/code", 2, 25, None, "line 2, column 25: invalid syntax"),
        ({"transform": {"kind": "python", "yields": "one_to_one", "code": "import jsn\ndef transform(b, p): pass"}}, "transform/code", 1, 8, "json", "line 1, column 8: 'jsn' cannot be imported"),
        ({"outputs": [{**XML, "record": "<r>{amuont}</r>"}]}, "outputs/0/record", None, None, "amount", "names what is not there: amuont"),
        ({"outputs": [{**XML, "record": "<r>\n <a></r>"}]}, "outputs/0/record", 2, 9, None, "is no well-formed XML"),
        ({"outputs": [{**XML, "record": "<r xmlns:r='urn:regent:template' r:when='amount = 1'/>"}]}, "outputs/0/record", 1, 8, None, "line 1, column 8: `=` is not part"),
    ],
)  # fmt: skip
def test_a_reports_part_is_told_by_its_place(
    spec: dict[str, Any], field: str, line: int | None, column: int | None, nearest: str | None, told: str
) -> None:
    """The field, the place within its text, the nearest known name, and what was expected as a member (S27)."""
    [problem] = problems(**spec)
    assert problem["field"] == f"/spec/{field}"
    assert (problem.get("line"), problem.get("column"), problem.get("nearest")) == (line, column, nearest)
    assert problem["message"].startswith(told)
    assert problem.get("expected") or "well-formed" in told
