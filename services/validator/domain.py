"""What makes a rule whole, and what a validation comes to. No I/O."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from libs.common.definitions.kinds import Reference
from libs.common.errors import FieldProblem
from libs.common.nearest import nearest_name
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.rules import (
    AggregateCheck,
    ExpressionCheck,
    GivenValue,
    HistoryCheck,
    ReferenceCheck,
    RuleSpec,
    SequenceCheck,
    SqlCheck,
    UniqueCheck,
)
from libs.common.vocabulary.schemas import FieldType, SchemaSpec
from libs.expressions import ExpressionError, MappingTable, Patterns, Scope, typecheck
from libs.expressions.sql import SqlError, inspect
from services.validator.aggregates import figure_of
from services.validator.history import compared_schema
from services.validator.messages import names_in
from services.validator.reading import Reading
from services.validator.tables import ORDINAL, declared_tables

_MOST_PROBLEMS = 50
_MOST_TEXTS = 2
_INEXACT = 2.0**53
"""From here on a JSON number that is no integer of ours has lost digits before we see it."""
_EXACT = "the number as a text"


def rule_references(spec: RuleSpec) -> Iterator[Reference]:
    """Name everything that a rule refers to."""
    yield Reference("schema", spec.schema_id, "/spec/schema_id")
    for alias, mapping in spec.mappings.items():
        yield Reference("mapping", mapping, f"/spec/mappings/{alias}")


def rule_problems(spec: RuleSpec, schema: SchemaSpec, mappings: Mapping[str, MappingSpec]) -> list[FieldProblem]:
    """Name what does not fit between a rule, its schema and its mappings, fifty problems at most."""
    return list(islice(_problems(spec, schema, mappings), _MOST_PROBLEMS))


def _problems(spec: RuleSpec, schema: SchemaSpec, mappings: Mapping[str, MappingSpec]) -> Iterator[FieldProblem]:
    tables = {alias: MappingTable(alias, mapping.columns) for alias, mapping in mappings.items()}
    scope, patterns = Scope(schema, tables), Patterns()
    yield from _check_problems(spec, scope, patterns)
    yield from _named(spec.fields, schema, "/spec/fields")
    yield from _message(spec, schema)
    for number, test in enumerate(spec.tests):
        for place, record in enumerate(test.records):
            yield from _record_problems(record, schema, f"/spec/tests/{number}/records/{place}")
    if spec.fix is not None:
        field = schema.field(spec.fix.field)
        if field is None:
            yield from _unknown_fields((spec.fix.field,), schema, "/spec/fix/field")
        else:
            yield from _expression(spec.fix.expression, scope, "/spec/fix/expression", field.type, patterns)


def _check_problems(spec: RuleSpec, scope: Scope, patterns: Patterns) -> Iterator[FieldProblem]:
    check, place = spec.check, "/spec/check"
    if isinstance(check, ExpressionCheck):
        yield from _expression(check.expression, scope, f"{place}/expression", "boolean", patterns)
    elif isinstance(check, UniqueCheck):
        yield from _named(check.fields, scope.schema, f"{place}/fields")
    elif isinstance(check, ReferenceCheck):
        yield from _unknown_fields((check.field,), scope.schema, f"{place}/field")
    elif isinstance(check, SequenceCheck):
        yield from _named(check.fields, scope.schema, f"{place}/fields")
        yield from _expression(check.when, scope, f"{place}/when", "boolean", patterns)
        yield from _expression(check.requires, scope, f"{place}/requires", "boolean", patterns)
    elif isinstance(check, AggregateCheck):
        yield from _aggregate(check, spec, scope, place, patterns)
    elif isinstance(check, HistoryCheck):
        yield from _named(check.key, scope.schema, f"{place}/key")
        compared = Scope(compared_schema(scope.schema), scope.mappings)
        yield from _expression(check.condition, compared, f"{place}/condition", "boolean", patterns)
    elif isinstance(check, SqlCheck):
        yield from _query(check.sql, scope, f"{place}/sql", patterns)


def _aggregate(
    check: AggregateCheck, spec: RuleSpec, scope: Scope, place: str, patterns: Patterns
) -> Iterator[FieldProblem]:
    """Name what is wrong with the parts; the condition is looked at once these are right."""
    problems = _named(check.group_by, scope.schema, f"{place}/group_by")
    reading = Reading.of(scope, spec, patterns)
    fields = [field for field in scope.schema.fields if field.name in check.group_by]
    for name, measure in check.measures.items():
        if len(problems) > _MOST_TEXTS:  # each is read twice, and may be long
            break
        at = f"{place}/measures/{name}"
        problems += _named(measure.fields, scope.schema, f"{at}/fields")
        problems += _expression(measure.where, scope, f"{at}/where", "boolean", patterns) if measure.where else []
        try:
            fields.append(figure_of(name, measure, spec, reading).field)
        except ExpressionError as error:
            problems += [FieldProblem.placed(f"{at}/value", error)] if measure.value else []
    yield from problems
    if not problems:
        measured = Scope(SchemaSpec(fields=tuple(fields)), scope.mappings, "a measure or a field of group_by")
        yield from _expression(check.condition, measured, f"{place}/condition", "boolean", patterns)


def _named(names: tuple[str, ...], schema: SchemaSpec, place: str) -> list[FieldProblem]:
    """Name the fields that are not there, and those that are named twice, by their places in the list."""
    problems = [
        problem for at, name in enumerate(names) for problem in _unknown_fields((name,), schema, f"{place}/{at}")
    ]
    problems += [
        FieldProblem.told(f"{place}/{at}", f"{name!r} is named twice", expected="each field once")
        for at, name in enumerate(names)
        if name in names[:at]
    ]
    return problems


def _record_problems(record: Mapping[str, GivenValue], schema: SchemaSpec, place: str) -> Iterator[FieldProblem]:
    """Name the fields that are not there, and the numbers that cannot be judged as they were written."""
    known = {field.name: None for field in schema.fields}
    for name in record:
        if name not in known:
            yield _unknown(name, known, f"{place}/{name}", "the schema has no field")
    yield from inexact_numbers(record, place)


def inexact_numbers(record: Mapping[str, GivenValue], place: str) -> Iterator[FieldProblem]:
    """Name the numbers of a record that have lost digits before we saw them."""
    for name, value in record.items():
        if isinstance(value, float) and abs(value) >= _INEXACT:
            yield FieldProblem.told(f"{place}/{name}", "is no exact number any more; write it as text", expected=_EXACT)


def _unknown_fields(names: Iterable[str], schema: SchemaSpec, place: str) -> list[FieldProblem]:
    known = [field.name for field in schema.fields]
    return [_unknown(name, known, place, "the schema has no field") for name in names if name not in known]


def _unknown(
    name: str, known: Iterable[str], place: str, said: str, expected: str = "a field of the schema"
) -> FieldProblem:
    return FieldProblem.told(place, f"{said} {name!r}", expected=expected, nearest=nearest_name(name, known))


def _message(spec: RuleSpec, schema: SchemaSpec) -> list[FieldProblem]:
    """Name what the message would show in its braces and there is not."""
    figures = spec.check.measures if isinstance(spec.check, AggregateCheck) else {}
    known = [*(field.name for field in schema.fields), *figures]
    wanted = "a field of the schema or a measure" if figures else "a field of the schema"
    said = "the message shows a field that is not there:"
    unknown = [name for name in names_in(spec.message) if name not in known]
    return [_unknown(name, known, "/spec/message", said, wanted) for name in unknown]


def _expression(text: str, scope: Scope, place: str, expected: FieldType, patterns: Patterns) -> list[FieldProblem]:
    try:
        typecheck(text, scope, expected, patterns)
    except ExpressionError as error:
        return [FieldProblem.placed(place, error)]
    return []


def _query(text: str, scope: Scope, place: str, patterns: Patterns) -> list[FieldProblem]:
    tables = declared_tables(scope.schema, {alias: table.columns for alias, table in scope.mappings.items()})
    try:
        columns = inspect(text, tables, patterns=patterns).columns
    except SqlError as error:
        return [FieldProblem.placed(place, error, category=error.category)]
    if columns.get(ORDINAL) == "BIGINT":
        return []
    missing = SqlError("column", f"it does not give {ORDINAL} of the failing records", expected="their ordinals")
    return [FieldProblem.placed(place, missing, category=missing.category)]
