"""What a body's validation says is told by the place in the body, without the names of our models."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from libs.common.errors import FieldProblem
from libs.common.http.places import problems_in, problems_of, unstorable
from services.validator.api.trying import Try

CHECK = {"kind": "expression", "expression": "true"}
SCHEMA = "019b0000-0000-7000-8000-000000000000"


def found(body: Any, model: Any = Try) -> list[FieldProblem]:
    """Return what is wrong with a body, of a try if nothing else is said."""
    adapter: TypeAdapter[Any] = TypeAdapter(model)
    with pytest.raises(ValidationError) as caught:
        adapter.validate_json(json.dumps(body))
    return problems_in(problems_of(caught.value), body, adapter.core_schema)


def told(body: Any) -> list[tuple[str, str]]:
    """Return the places and sentences of what is wrong with the body of a try."""
    return [(one.field, one.message) for one in found(body)]


def rule(**spec: Any) -> dict[str, Any]:
    """Return the body of a try of one rule."""
    return {"rules": [{"schema_id": SCHEMA, "check": CHECK, **spec}], "records": [{"id": "1"}]}


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (rule(check={**CHECK, "expression": ""}), "/rules/0/check/expression", "at least 1 character"),
        (rule(check={**CHECK, "on_unkown": "fail"}), "/rules/0/check/on_unkown", "not permitted"),
        (rule(check={"kind": "expression"}), "/rules/0/check/expression", "required"),
        (rule(check={"kind": "nope"}), "/rules/0/check/kind", "one of expression"),
        (
            rule(check={"kind": "reference", "field": "id", "mapping": "x"}),
            "/rules/0/check/mapping",
            "check.mapping names 'x'",
        ),
        (
            {"rules": [{"schema_id": SCHEMA, "check": {"kind": "unique", "fields": ["Id"]}}]},
            "/rules/0/check/fields/0",
            "lower",
        ),
        (
            {"rules": [{"schema_id": SCHEMA, "check": {"kind": "unique", "fields": []}}]},
            "/rules/0/check/fields",
            "at least 1",
        ),
        (rule(severity="correctable"), "/rules/0/fix", "a correctable rule declares a fix"),
        (rule(severity="bloking"), "/rules/0/severity", "did you mean 'blocking'?"),
        (rule(**{"a/b~c": 1}), "/rules/0/a~1b~0c", "not permitted"),
        (rule(mappings={"Bad": SCHEMA}), "/rules/0/mappings/Bad", "lower-case letter"),
        ({"rules": ["nonsense"], "records": [{"id": "1"}]}, "/rules/0", "valid UUID"),
        ({"rules": [SCHEMA], "records": [{"id": []}]}, "/records/0/id", "a text"),
        ({"records": [{"id": "1"}]}, "/rules", "required"),
    ],
)
def test_a_problem_is_told_by_its_place_in_the_body(body: Any, field: str, message: str) -> None:
    """A pointer into what was sent, and nothing of unions, tags or validators."""
    problems = told(body)
    assert {place for place, _ in problems} == {field}
    assert any(message in said for _, said in problems), problems
    assert not any(said.startswith("Value error") for _, said in problems)


def test_a_text_that_cannot_be_kept_is_named() -> None:
    """A NUL is found wherever it stands, and a text that only writes one is none."""
    assert unstorable({"a": [{"b": "x"}, {"b": "\\u0000 \\\\u0000"}]}) is None
    for value, place in (
        ({"a": [{"b": "x"}, {"b": "\0"}]}, "/spec/a/1/b"),
        ({"a": "\\\0"}, "/spec/a"),
        ({"a": {"\0": 1}}, "/spec/a"),
    ):
        problem = unstorable(value, "/spec")
        assert problem is not None
        assert problem.field == place
