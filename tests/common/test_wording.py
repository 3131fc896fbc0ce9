"""Every malformed shape of a definition: its pointer, what was expected, the allowed values, the nearest known one."""

from typing import Any, Literal

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from libs.common.http import problems
from libs.common.http.places import MOST_PROBLEMS
from libs.common.nearest import nearest_name
from libs.common.vocabulary.connections import ConnectorSpec, DestinationSpec
from libs.common.vocabulary.indicators import ThresholdSpec
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.reports import ReportSpec
from libs.common.vocabulary.rules import RuleSpec
from libs.common.vocabulary.schedules import ScheduleSpec
from libs.common.vocabulary.schemas import SchemaSpec
from tests.common.test_places import CHECK, SCHEMA, found
from tests.frugal import frugally

KINDS = "one of expression, unique, reference, sequence, aggregate, history, sql"
TYPES = "one of text, integer, decimal, boolean, date, timestamp"
LETTER = "must start with a lower-case letter"
NAME = "a name such as trade_date"
RECORD = {"records": [{"id": "1"}]}
QUERY = {"kind": "query", "connector_id": SCHEMA, "query": "SELECT 1"}


def rule(**spec: Any) -> dict[str, Any]:
    return {"schema_id": SCHEMA, "check": CHECK, **spec}


def measured(**measure: Any) -> dict[str, Any]:
    return rule(check={"kind": "aggregate", "measures": {"m": measure}, "condition": "m > 1"})


def mapping(*entries: dict[str, Any], columns: tuple[str, ...] = ("lei",)) -> dict[str, Any]:
    return {"columns": columns, "entries": list(entries)}


def report(**spec: Any) -> dict[str, Any]:
    ids = {"source_schema_id": SCHEMA, "target_schema_id": SCHEMA, "business_key": ["id"]}
    fields = {"fields": [{"field": "id", "expression": "id"}]}
    return {"source": QUERY, "transform": fields, "outputs": [{"format": "csv"}], **ids, **spec}


SHAPES: list[tuple[Any, Any, str, str, str, str | None]] = [
    # rules
    (RuleSpec, {"check": CHECK}, "/schema_id", "is required and missing", "a UUID", None),
    (RuleSpec, {"schema_id": SCHEMA}, "/check", "is required and missing", f"an object with kind: {KINDS}", None),
    (RuleSpec, rule(check="price > 1"), "/check", "is no valid object", f"an object with kind: {KINDS}", None),
    (RuleSpec, rule(check={"expression": "a"}), "/check/kind", "is required and missing", KINDS, None),
    (RuleSpec, rule(check={"kind": "exprssion", "expression": "a"}), "/check/kind", "is not known here", KINDS, "expression"),
    (RuleSpec, rule(check={"kind": "Unique", "fields": ["a"]}), "/check/kind", "is not known here", KINDS, "unique"),
    (RuleSpec, rule(check={"kind": "lookup"}), "/check/kind", "is not known here", KINDS, "reference"),
    (RuleSpec, rule(check={"kind": 5}), "/check/kind", "is not known here", KINDS, None),
    (RuleSpec, rule(check={"kind": "expression"}), "/check/expression", "is required and missing", "a text", None),
    (RuleSpec, rule(check={**CHECK, "on_unkown": "fail"}), "/check/on_unkown", "is not permitted", "one of kind, expression, on_unknown", "on_unknown"),
    (RuleSpec, rule(check={**CHECK, "on_unknown": "fial"}), "/check/on_unknown", "is not known here", "one of fail, pass", "fail"),
    (RuleSpec, rule(check={**CHECK, "expression": ["a"]}), "/check/expression", "is no valid text", "a text", None),
    (RuleSpec, rule(chek=CHECK), "/chek", "is not permitted", "one of schema_id, phase, severity, check, mappings, fields, message, external_id, owner, fix, tests", "check"),
    (RuleSpec, rule(examples=[]), "/examples", "is not permitted", "one of schema_id, phase, severity, check, mappings, fields, message, external_id, owner, fix, tests", "tests"),
    (RuleSpec, rule(severity="error"), "/severity", "is not known here", "one of blocking, warning, correctable", "blocking"),
    (RuleSpec, rule(severity="warn"), "/severity", "is not known here", "one of blocking, warning, correctable", "warning"),
    (RuleSpec, rule(schema_id="x"), "/schema_id", "is no valid UUID", "a UUID", None),
    (RuleSpec, rule(fields="price"), "/fields", "is no valid list", "a list", None),
    (RuleSpec, rule(fields=["Trade Date"]), "/fields/0", LETTER, NAME, "trade_date"),
    (RuleSpec, rule(mappings={"CP": SCHEMA}), "/mappings/CP", LETTER, NAME, "cp"),
    (RuleSpec, rule(severity="correctable"), "/fix", "a correctable rule declares a fix", "a field and an expression", None),
    (RuleSpec, rule(fix={"field": "a", "expression": "b"}), "/fix", "a correctable rule declares a fix", "nothing", None),
    (RuleSpec, rule(check={"kind": "history", "key": ["a"], "condition": "b"}, phase="output"), "/phase", "a rule that reads the previous", "input", None),
    (RuleSpec, rule(check={"kind": "reference", "field": "id", "mapping": "venus"}, mappings={"venues": SCHEMA}), "/check/mapping", "check.mapping names 'venus'", "an alias in mappings", "venues"),
    (RuleSpec, rule(check={"kind": "sql", "sql": "SELECT"}, mappings={"run": SCHEMA}), "/mappings/run", "a query has a table", "another alias", None),
    (RuleSpec, measured(function="average", value="a"), "/check/measures/m/function", "is not known here", "one of count, count_distinct, sum, min, max, avg, missing, missing_keys", "avg"),
    (RuleSpec, measured(function="sum"), "/check/measures/m/value", "sum takes a value", "an expression", None),
    (RuleSpec, measured(function="count", value="a"), "/check/measures/m/value", "count takes no value", "nothing", None),
    (RuleSpec, rule(tests=[{**RECORD, "failing": [2]}]), "/tests/0/failing/0", "failing names a record", "a place from 1 to 1", None),
    (RuleSpec, rule(tests=[{**RECORD, "failing": ["one"]}]), "/tests/0/failing/0", "is no valid whole number", "a whole number", None),
    (RuleSpec, rule(tests=[{"records": [{"id": [1]}]}]), "/tests/0/records/0/id", "has none of the types", "a text or true or false or a whole number or a number", None),
    (RuleSpec, rule(tests=[{"records": [{"id": 1e400}]}]), "/tests/0/records/0/id", "is too large for a number", "a number of at most 15 digits, or the number as a text", None),
    (RuleSpec, rule(tests=[{**RECORD, "business_date": "31.12.2025"}]), "/tests/0/business_date", "is no valid date", "a date as 2025-01-31", None),
    (RuleSpec, rule(tests=[{**RECORD, "as_of": "2025-01-31T10:00:00"}]), "/tests/0/as_of", "is no valid moment", "a moment as 2025-01-31T10:00:00Z", None),
    # schemas and mappings
    (SchemaSpec, {"fields": [{"name": "a", "type": "string"}]}, "/fields/0/type", "is not known here", TYPES, "text"),
    (SchemaSpec, {"fields": [{"name": "a", "type": "datetime"}]}, "/fields/0/type", "is not known here", TYPES, "timestamp"),
    (SchemaSpec, {"fields": [{"name": "a", "type": "desimal"}]}, "/fields/0/type", "is not known here", TYPES, "decimal"),
    (SchemaSpec, {"fields": [{"name": "a"}]}, "/fields/0/type", "is required and missing", TYPES, None),
    (SchemaSpec, {"fields": [{"name": "a", "type": "text", "maxlength": 3}]}, "/fields/0/maxlength", "is not permitted", "one of name, type, required, max_length, precision, scale, personal, description", "max_length"),
    (SchemaSpec, {"fields": [{"name": "a", "type": "text", "required": "perhaps"}]}, "/fields/0/required", "is neither true nor false", "true or false", None),
    (SchemaSpec, {"fields": [{"name": "TradeId", "type": "text"}]}, "/fields/0/name", LETTER, NAME, "tradeid"),
    (SchemaSpec, {"fields": [{"name": "a", "type": "decimal", "precision": 5}]}, "/fields/0/scale", "scale 10 is larger", "at most 5", None),
    (SchemaSpec, {"fields": [{"name": "a", "type": "text"}, {"name": "a", "type": "date"}]}, "/fields/1/name", "fields named twice: a", "each name once", None),
    (MappingSpec, mapping({"key": "a", "values": {"lie": "x"}}), "/entries/0/values/lie", "entry 0 (a) has undeclared", "one of lei", "lei"),
    (MappingSpec, mapping({"key": "a"}, {"key": "b"}, {"key": "a"}), "/entries/2", "entries of key 'a' overlap", "one entry of a key for each day", None),
    (MappingSpec, mapping({"key": "a", "valid_from": "2025-01-02", "valid_to": "2025-01-01"}), "/entries/0/valid_to", "valid_to 2025-01-01 lies before", "2025-01-02 or later", None),
    (MappingSpec, mapping(columns=("lei", "lei")), "/columns/1", "columns differ", "another name", None),
    # connectors, destinations, reports, schedules, thresholds
    (ConnectorSpec, {"kind": "postgres", "host": "h"}, "/kind", "is not known here", "one of postgresql, file", "postgresql"),
    (ConnectorSpec, {"host": "h"}, "/kind", "is required and missing", "one of postgresql, file", None),
    (ConnectorSpec, {"kind": "file", "rot": "a", "root": "b"}, "/rot", "is not permitted", "one of kind, root, path", "root"),
    (DestinationSpec, {"kind": "dirctory", "root": "a"}, "/kind", "is not known here", "directory", "directory"),
    (ReportSpec, report(source={**QUERY, "kind": "qurey"}), "/source/kind", "is not known here", "one of query, file", "query"),
    (ReportSpec, report(transform={"kind": "pyhton", "code": "x"}), "/transform/kind", "is not known here", "one of sql, python, no kind at all, for expressions", "python"),
    (ReportSpec, report(outputs=[{"format": "cvs"}]), "/outputs/0/format", "is not known here", "one of csv, parquet, json, ndjson, xml", "csv"),
    (ReportSpec, report(outputs=[{"format": "csv"}, {"format": "csv"}]), "/outputs/1/name", "two outputs have", "another name", None),
    (ReportSpec, report(rules=[SCHEMA, SCHEMA]), "/rules/1", "rules lists an id twice", "each id once", None),
    (ScheduleSpec, {"report_id": SCHEMA, "cron": "0 8 * * *", "time_zone": "Europe/Berln"}, "/time_zone", "'Europe/Berln' is no time zone", "a time zone such as Europe/Berlin", "Europe/Berlin"),
    (ScheduleSpec, {"report_id": SCHEMA, "cron": "0 8 * * *", "business_date": {"kind": "prev"}}, "/business_date/kind", "is not known here", "one of same, previous", "previous"),
    (ThresholdSpec, {"metric": "error_rat", "warning": 0.1}, "/metric", "is not known here", "one of error_rate, warning_rate, correction_rate, rule_failure_rate, field_completeness, field_failure_rate, lateness", "error_rate"),
    (ThresholdSpec, {"metric": "error_rate", "warning": 0.2, "critical": 0.1}, "/critical", "critical must not be reached", "at least 0.2", None),
]  # fmt: skip


@pytest.mark.parametrize(("model", "body", "field", "message", "expected", "nearest"), SHAPES)
def test_a_malformed_definition_is_told_with_what_to_write(
    model: Any, body: Any, field: str, message: str, expected: str, nearest: str | None
) -> None:
    """One problem, at the very field, in words of our own, with what is allowed there and what was meant."""
    [problem] = found(body, model)
    assert problem.field == field
    assert problem.message.startswith(message)
    assert (problem.place["expected"], problem.place.get("nearest")) == (expected, nearest)
    assert f"expected {expected}" in problem.message
    assert nearest is None or f"did you mean {nearest!r}?" in problem.message
    assert not any(word in problem.message for word in ("Input", "discriminator", "tag", "Field required", "Extra"))


def test_a_body_of_strangers_costs_little() -> None:
    """Of twenty thousand unknown fields fifty are told, and no more are looked at (S27)."""
    body = rule(**{f"x{number}": 1 for number in range(20_000)})
    assert len(frugally(lambda one: found(one, RuleSpec), body, 1.0)) == MOST_PROBLEMS


def test_the_nearest_of_many_long_names_is_found_at_once() -> None:
    """Five hundred names of 63 letters that are much alike are compared in a few milliseconds, not in hundreds."""
    names = [f"{'abcde_' * 9}{number:09d}" for number in range(500)]
    wanted = (names[77][:-1] + "x", "x" * 1_000_000)
    near, none = frugally(lambda both: [nearest_name(one, names) for one in both], wanted, 0.05)
    assert near in names
    assert none is None


class Draft(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    spec: RuleSpec


async def test_the_door_knows_the_names_of_its_model() -> None:
    """A request's answer has the allowed values and the nearest name as members, for the body and for parameters."""
    app = FastAPI()
    problems.install(app)

    @app.post("/rules")
    async def create(body: Draft, mode: Literal["fast", "slow"] = "fast") -> None:
        pytest.fail(f"{body} was taken {mode}")

    body = {"name": "x", "spec": rule(check={"kind": "expresion", "expression": "a"}, sverity="warning")}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door") as client:
        answer = await client.post("/rules?mode=fats", json=body)
    assert answer.status_code == 422
    errors = {one["field"]: one for one in answer.json()["errors"]}
    assert errors.keys() == {"mode", "/spec/check/kind", "/spec/sverity"}
    assert (errors["mode"]["nearest"], errors["mode"]["expected"]) == ("fast", "one of fast, slow")
    assert (errors["/spec/check/kind"]["nearest"], errors["/spec/check/kind"]["expected"]) == ("expression", KINDS)
    assert errors["/spec/sverity"]["nearest"] == "severity"
