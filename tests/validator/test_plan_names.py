"""Fields may be called like anything that our own SQL has names for."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from libs.common.jail import JobServer
from libs.common.vocabulary.schemas import SchemaSpec
from services.validator.plan import Subject, build_plan
from tests.validator.judging import MOMENT, TABLES, judge_table, rule

NAMES = ("w0", "r", "t", "h", "g", "g0", "held", "extract", "above", "code", "key", "failures")
SCHEMA = SchemaSpec.model_validate({"fields": [{"name": name, "type": "integer", "required": True} for name in NAMES]})


@pytest.mark.parametrize("unique", [False, True])
async def test_no_field_name_is_taken(jail: JobServer, tmp_path: Path, unique: bool) -> None:  # noqa: FBT001
    """Values, keys and messages are those of the fields, with one scan and with the second that dataset checks need."""
    rules = [rule(name, f"{name} > 1", message=f"{name} is {{{name}}}") for name in NAMES]
    rules += [rule("unique", {"kind": "unique", "fields": ["w0"]})] * unique
    types = dict.fromkeys(NAMES, "VARCHAR")
    plan = build_plan(Subject(source=SCHEMA, column_types=types, business_key=("r", "w0")), rules, TABLES, MOMENT)
    columns: dict[str, Any] = {"_ordinal": pa.array([1, 2], pa.int64())}
    columns |= {name: pa.array([str(place), "2"], pa.string()) for place, name in enumerate(NAMES, -10)}
    judged = await judge_table(jail, tmp_path, plan, pa.table(columns))
    assert judged.outcome.errored == ()
    told = {one["rule_id"]: (one["key"], one["message"], one["fields"]) for one in judged.failures}
    assert told == {
        name: ("-9|-10", f"{name} is {place}", f'{{"{name}":"{place}"}}')
        for place, name in enumerate(NAMES, -10)
        if place < 2
    }


@pytest.mark.parametrize("name", ["code", "place", "one", "present", "figure", "total", "number", "t", "n", "p", "key"])
async def test_no_name_of_a_group_or_a_figure_is_taken(jail: JobServer, tmp_path: Path, name: str) -> None:
    """Groups and figures may be called like anything too: by the field, over the field, and of the field."""
    fields = [{"name": name, "type": "integer"}, {"name": "other", "type": "text"}]
    mean, counted = {"function": "avg", "value": name}, {"function": "count"}
    grouped = {"kind": "aggregate", "group_by": [name], "measures": {"mean": mean, "many": counted}, "fails": "first"}
    named = {"kind": "aggregate", "group_by": ["other"], "measures": {name: mean}, "fails": "first"}
    rules = [
        rule("grouped", {**grouped, "condition": "many == 1"}, message="{mean} of {many}"),
        rule("named", {**named, "condition": f"{name} == 2"}, message=f"mean {{{name}}}"),
        rule("all", {**named, "group_by": [], "condition": f"{name} == 2"}, message=f"mean {{{name}}}"),
    ]
    schema = SchemaSpec.model_validate({"fields": fields})
    plan = build_plan(Subject(source=schema, column_types={name: "VARCHAR", "other": "VARCHAR"}), rules, {}, MOMENT)
    columns: dict[str, Any] = {"_ordinal": pa.array([1, 2, 3, 4], pa.int64()), name: ["7", "2", "2", "2"]}
    judged = await judge_table(jail, tmp_path, plan, pa.table({**columns, "other": ["x", "x", "x", "y"]}))
    assert judged.outcome.errored == ()
    told = {(one["rule_id"], one["_ordinal"]): one["message"] for one in judged.failures}
    assert told == {
        ("grouped", 2): "2.0000000000 of 3",
        ("named", 1): "mean 3.6666666667",
        ("all", 1): "mean 3.2500000000",
    }
