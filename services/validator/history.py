"""Records beside the ones with the same key in the previous extract."""

from libs.common.vocabulary.rules import HistoryCheck, RuleSpec
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.expressions import Scope, compile_expression, joins, quote_identifier
from services.validator.checks import code_of
from services.validator.datasets import PREVIOUS, VIEW
from services.validator.reading import Reading

PREFIX = "previous_"
EXISTS = "previous_exists"
_LONGEST = 63


def changed_records(check: HistoryCheck, spec: RuleSpec, reading: Reading) -> str:
    """Return SQL of the records that do not meet the condition: `_ordinal`, `?code` (1 fail, 2 unknown)."""
    keys = reading.keys(check.key)
    tables = {alias: reading.mappings[mapping] for alias, mapping in spec.mappings.items()}
    schema = compared_schema(reading.subject.source)
    condition = compile_expression(check.condition, Scope(schema, tables), reading.moment, "boolean")
    before = sorted(
        name.removeprefix(PREFIX) for name in condition.fields if name not in reading.fields and name != EXISTS
    )
    reading.read([*(name for name in condition.fields if name in reading.fields), *before])
    first = f"SELECT * FROM {PREVIOUS} QUALIFY row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY _ordinal) = 1"
    equal = " AND ".join(f"a.{key} IS NOT DISTINCT FROM b.{key}" for key in keys)
    named = "".join(f", b.{quote_identifier(name)} AS {quote_identifier(PREFIX + name)}" for name in before)
    there = (
        f"CASE WHEN (SELECT count(*) FROM {PREVIOUS}) > 0 THEN b._ordinal IS NOT NULL END AS {quote_identifier(EXISTS)}"
    )
    beside = f"SELECT a.*{named}, {there} FROM {VIEW} AS a LEFT JOIN ({first}) AS b ON {equal}"
    judged = f'SELECT "t"._ordinal, {code_of(condition.sql)} AS "?code" FROM ({beside}) AS "t" {joins([condition])}'
    return f'SELECT _ordinal, "?code" FROM ({judged}) WHERE "?code" <> 0'


def compared_schema(schema: SchemaSpec) -> SchemaSpec:
    """Return the fields that the condition may name; a field of the schema's own hides a previous one of its name."""
    own = {field.name: field for field in schema.fields}
    names = [name for name in own if PREFIX + name not in own and len(PREFIX + name) <= _LONGEST]
    previous = [own[name].model_copy(update={"name": PREFIX + name, "required": False}) for name in names]
    exists = [] if EXISTS in own or "exists" in own else [SchemaField(name=EXISTS, type="boolean")]
    return SchemaSpec.model_construct(fields=(*own.values(), *previous, *exists))
