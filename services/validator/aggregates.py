"""Figures over groups of records, and the records of the groups that do not meet their condition."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from libs.common.vocabulary.rules import AggregateCheck, Measure, RuleSpec
from libs.common.vocabulary.schemas import FieldType, SchemaField, SchemaSpec
from libs.expressions import (
    Compiled,
    ExpressionError,
    Scope,
    compile_expression,
    fitted,
    joins,
    quote_identifier,
)
from services.validator.checks import code_of
from services.validator.datasets import PREVIOUS, VIEW
from services.validator.reading import Reading, told_text, typed_text

_WIDER = 10
"""Digits that a sum has before those of its values: enough for ten thousand million records."""
_WIDEST, _INTEGER_DIGITS, _PLACES, _SHOWN_KEYS = 38, 19, 10, 20
_LOW, _HIGHEST = 18, 10**20 - 10**9
"""A wide number's lower digits, which are summed by themselves, and what the sum of the others may come to."""
_ALL = '"?one"'
_ONE = f"1 AS {_ALL}"
"""All records are one group. What begins with a `?` is called as no field and no measure can be."""
_SOURCES = MappingProxyType({"records": VIEW, "previous": PREVIOUS})


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure in two steps: `columns` over the typed records `t` of a group, then `result` over these as `t`.

    `joined` are the joins that the first step needs, `field` is what the condition sees.
    """

    columns: str
    result: str
    joined: str
    field: SchemaField


def failing_groups(check: AggregateCheck, spec: RuleSpec, reading: Reading) -> str:
    """Return SQL of the failing records: `_ordinal`, `?code` (1 fail, 2 unknown) and the measures of their group."""
    keys = reading.keys(check.group_by)
    figures = {name: figure_of(name, measure, spec, reading) for name, measure in check.measures.items()}
    sides = {of: _side(check, keys, figures, of, reading) for of in _SOURCES}
    judged = _judged(check, spec, reading, keys, sides)
    shown = "".join(f", {_told('j', one.field)} AS {quote_identifier(name)}" for name, one in figures.items())
    place = f"row_number() OVER (PARTITION BY {', '.join(keys) or '1'} ORDER BY _ordinal)"
    ranked = f'SELECT *, {place} AS "?place" FROM {VIEW}'
    source = f"({ranked})" if check.fails == "first" else VIEW
    first = ' AND a."?place" = 1' if check.fails == "first" else ""
    joined = f"{source} AS a JOIN ({judged}) AS j ON {_equal('a', 'j', keys)}"
    return f'SELECT a._ordinal, j."?code"{shown} FROM {joined} WHERE j."?code" <> 0{first}'


def measured_schema(check: AggregateCheck, spec: RuleSpec, reading: Reading) -> SchemaSpec:
    """Return the fields that the condition may name: the group's and the measures."""
    grouped = [reading.field(name) for name in check.group_by]
    return SchemaSpec(
        fields=(*grouped, *(figure_of(name, one, spec, reading).field for name, one in check.measures.items()))
    )


def figure_of(name: str, measure: Measure, spec: RuleSpec, reading: Reading) -> Figure:
    """Compile a measure; ExpressionError where its value cannot be measured so."""
    where = reading.compile(measure.where, spec) if measure.where else None
    value = reading.compile(measure.value, spec, None) if measure.value else None
    only = f" FILTER (WHERE {where.sql})" if where else ""
    joined = joins([one for one in (where, value) if one])
    if value is None or measure.function == "count_distinct":
        counted = f"DISTINCT {value.sql}" if value else "*"
        kind: FieldType = "text" if measure.function == "missing_keys" else "integer"
        return _plain(f"count({counted}){only}", joined, SchemaField(name=name, type=kind))
    field, sql = _valued(name, value, reading)
    if measure.function in ("min", "max"):
        return _plain(f"{measure.function}({sql}){only}", joined, field)
    total = _total(field)
    summed = _sum(sql, only, field, total)
    if measure.function == "sum":
        return _plain(summed, joined, total)
    number = SchemaField.model_construct(name="?number", type="integer")
    parts = Scope(SchemaSpec.model_construct(fields=(total.model_copy(update={"name": "?total"}), number)))
    mean = compile_expression("field('?total') / field('?number')", parts, reading.moment, "decimal").sql
    columns = f'{summed} AS "?total", count({sql}){only} AS "?number"'
    return Figure(columns, mean, joined, SchemaField(name=name, type="decimal", precision=_WIDEST, scale=_PLACES))


def _plain(sql: str, joined: str, field: SchemaField) -> Figure:
    return Figure(f'{sql} AS "?figure"', '"t"."?figure"', joined, field)


def _valued(name: str, value: Compiled, reading: Reading) -> tuple[SchemaField, str]:
    """Return a field of the value's type, and its SQL: a decimal that is no plain field is rounded to ten places."""
    plain = next((reading.fields[one] for one in value.fields if value.sql == f'"t".{quote_identifier(one)}'), None)
    if plain is not None:
        return plain.model_copy(update={"name": name, "required": False, "max_length": None}), value.sql
    field = SchemaField(name=name, type=value.type, precision=_WIDEST)
    return field, fitted(value, field)


def _sum(sql: str, only: str, field: SchemaField, total: SchemaField) -> str:
    """Return SQL of an exact sum as `total`, null where 38 digits do not hold it.

    The engine's own sum goes wrong then: numbers that are so wide are summed in two parts, of 20 and of 18 digits.
    """
    if field.type == "integer" or field.precision + _WIDER <= _WIDEST:
        return f"CAST(sum({sql}){only} AS DECIMAL({total.precision},{total.scale}))"
    unit = f"{Decimal(1).scaleb(_LOW - field.scale):f}"
    wide = f"DECIMAL({_WIDEST},{field.scale})"
    low = f"CAST({sql} AS {wide}) % CAST({unit} AS {wide})"
    high = (
        f"sum(CAST(decimal_division(CAST({sql} AS {wide}) - {low}, CAST({unit} AS {wide}), 0) AS DECIMAL(20,0))){only}"
    )
    whole = f"CAST(CAST({high} AS DECIMAL(20,0)) * {unit} AS {wide})"
    return f"(CASE WHEN abs({high}) < {_HIGHEST} THEN {whole} + sum({low}){only} END)"


def _total(field: SchemaField) -> SchemaField:
    if field.type == "integer":
        return SchemaField(name=field.name, type="decimal", precision=_INTEGER_DIGITS + _WIDER, scale=0)
    if field.type != "decimal":
        raise ExpressionError(f"a sum of {field.type} cannot be taken", expected="a number")
    return field.model_copy(update={"precision": min(field.precision + _WIDER, _WIDEST)})


def _side(check: AggregateCheck, keys: Sequence[str], figures: dict[str, Figure], of: str, reading: Reading) -> str:
    """Return the figures over one of the two datasets, a row a group that it has."""
    named = ", ".join(keys)
    sides = [f'SELECT {named or _ONE}, count(*) AS "?present" FROM {_SOURCES[of]} GROUP BY ALL HAVING count(*) > 0']
    for name, measure in check.measures.items():
        if measure.of == of:
            sides.append(_one(name, measure, figures[name], keys, reading))
    joined = sides[0]
    for side in sides[1:]:
        joined = f"SELECT a.*, b.* EXCLUDE ({named or _ALL}) FROM ({joined}) AS a LEFT JOIN ({side}) AS b ON {_equal('a', 'b', keys)}"
    return joined


def _one(name: str, measure: Measure, figure: Figure, keys: Sequence[str], reading: Reading) -> str:
    if measure.fields:
        return _missing(name, measure, keys, reading)
    group = "".join(f'"t".{key} AS {key}, ' for key in keys) or f"{_ONE}, "
    source = f'{_SOURCES[measure.of]} AS "t" {figure.joined}'
    grouped = f"SELECT {group}{figure.columns} FROM {source} GROUP BY ALL HAVING count(*) > 0"
    return f'SELECT {group}{figure.result} AS {quote_identifier(name)} FROM ({grouped}) AS "t"'


def _missing(name: str, measure: Measure, keys: Sequence[str], reading: Reading) -> str:
    fields = reading.keys(measure.fields)
    group = ", ".join(keys)
    before = f"SELECT DISTINCT {', '.join([*keys, *(one for one in fields if one not in keys)])} FROM {PREVIOUS}"
    gone = " AND ".join(f"a.{one} IS NOT DISTINCT FROM b.{one}" for one in fields)
    lost = f"SELECT a.* FROM ({before}) AS a ANTI JOIN {VIEW} AS b ON {gone}"
    parts = [f"coalesce({typed_text(quote_identifier(one), reading.field(one))}, '')" for one in measure.fields]
    shown = f"concat_ws('|', {', '.join(parts)})"
    figure = (
        "count(*)"
        if measure.function == "missing"
        else f"array_to_string(list_sort(min({shown}, {_SHOWN_KEYS})), ', ')"
    )
    return (
        f"SELECT {group or _ONE}, {figure} AS {quote_identifier(name)} FROM ({lost}) GROUP BY ALL HAVING count(*) > 0"
    )


def _judged(check: AggregateCheck, spec: RuleSpec, reading: Reading, keys: Sequence[str], sides: dict[str, str]) -> str:
    measures = "".join(
        f", {_shown(name, measure)} AS {quote_identifier(name)}" for name, measure in check.measures.items()
    )
    columns = ", ".join(f"n.{key}" for key in keys) or _ONE
    both = f"({sides['records']}) AS n LEFT JOIN ({sides['previous']}) AS p ON {_equal('n', 'p', keys)}"
    tables = {alias: reading.mappings[mapping] for alias, mapping in spec.mappings.items()}
    condition = compile_expression(
        check.condition, Scope(measured_schema(check, spec, reading), tables), reading.moment, "boolean"
    )
    return f'SELECT "t".*, {code_of(condition.sql)} AS "?code" FROM (SELECT {columns}{measures} FROM {both}) AS "t" {joins([condition])}'


def _shown(name: str, measure: Measure) -> str:
    """Return a measure of the joined sides: nothing missing is none where there is something to compare with."""
    column = f"{'n' if measure.of == 'records' else 'p'}.{quote_identifier(name)}"
    none = {"missing": "0", "missing_keys": "''"}.get(measure.function)
    return f'CASE WHEN p."?present" IS NOT NULL THEN coalesce({column}, {none}) END' if none else column


def _told(side: str, field: SchemaField) -> str:
    """Return SQL of a figure as it is told: an instant in ISO 8601, a NUL by its sign, as everywhere."""
    return told_text(f"{side}.{quote_identifier(field.name)}", field)


def _equal(left: str, right: str, keys: Iterable[str]) -> str:
    return " AND ".join(f"{left}.{key} IS NOT DISTINCT FROM {right}.{key}" for key in keys) or "true"
