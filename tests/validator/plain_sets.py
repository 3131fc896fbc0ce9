"""Figures over groups, and records beside the previous ones, for the slow judge."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from libs.common.vocabulary.rules import AggregateCheck, HistoryCheck, Measure, SqlCheck
from services.validator.plan import ResolvedRule
from tests.expressions.reference_functions import half_even
from tests.validator.plain_values import Record, key, value_text

if TYPE_CHECKING:
    from tests.validator.plain import Judge

_FIGURES: dict[str, Callable[[list[Any], int], Any]] = {
    "count_distinct": lambda values, _: Fraction(len(set(values))),
    "sum": lambda values, places: _held(sum(values), places) if values else None,
    "min": lambda values, _: min(values, default=None),
    "max": lambda values, _: max(values, default=None),
    "avg": lambda values, places: _mean(values, places) if values else None,
}
"""Of values with so many decimal places."""
_SHOWN, _PLACES = 20, 10
QUERIES: dict[str, Callable[["Judge", Any, str], bool]] = {
    "SELECT _ordinal FROM records WHERE field IS NULL": lambda _, at, __: at is None,
    "SELECT r._ordinal FROM records r ANTI JOIN previous p ON p.field = r.field": lambda judge, at, name: (
        at is None or at not in [one.cells[name].value for one in judge.previous or ()]
    ),
    "SELECT r._ordinal FROM records r JOIN previous p USING (field)": lambda judge, at, name: (
        at is not None and at in [one.cells[name].value for one in judge.previous or ()]
    ),
    "SELECT r._ordinal FROM records r WHERE r.field = (SELECT max(field) FROM records)": lambda judge, at, name: (
        at is not None
        and at == max(one.cells[name].value for one in judge.records if one.cells[name].value is not None)
    ),
    "SELECT _ordinal FROM records QUALIFY count(*) OVER (PARTITION BY field) > 1": lambda judge, at, name: (
        [one.cells[name].value for one in judge.records].count(at) > 1
    ),
}
"""Queries about one field, and what they ask of a record's value."""


def judge_groups(judge: "Judge", rule: ResolvedRule, check: AggregateCheck) -> None:
    """Judge each group of this run's records by its figures."""
    now, before = grouped(judge.records, check.group_by), grouped(judge.previous or (), check.group_by)
    for group, members in now.items():
        figures = {name: _figure(judge, rule, one, members, before.get(group)) for name, one in check.measures.items()}
        cells = members[0].cells
        answer = judge.ask(
            check.condition, {**{name: cells[name].value for name in check.group_by}, **figures}, rule.id
        )
        if answer is not True:
            for record in members[:1] if check.fails == "first" else members:
                judge.note(rule.id, record, "unknown" if answer is None else "fail", rule.spec.severity)


def grouped(records: Sequence[Record], names: Sequence[str]) -> dict[tuple[Any, ...], list[Record]]:
    """Return the records by what makes them equal in these fields, in order."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(key(record, names), []).append(record)
    return groups


def _figure(
    judge: "Judge", rule: ResolvedRule, one: Measure, members: list[Record], before: list[Record] | None
) -> Any:
    if one.fields:
        return _missing(judge, one, before)
    records = members if one.of == "records" else before
    if records is None:
        return None
    chosen = [record for record in records if one.where is None or judge.ask(one.where, record, rule.id) is True]
    if one.value is None:
        return Fraction(len(chosen))
    values = [judge.ask(one.value, record, rule.id) for record in chosen]
    field = judge.schema.field(one.value)
    if one.function != "count_distinct" and field is None:
        values = [_rounded(value) for value in values]
    places = field.scale if field is not None and field.type == "decimal" else 0 if field is not None else _PLACES
    return _FIGURES[one.function]([value for value in values if value is not None], places)


def _rounded(value: Any) -> Any:
    """Numbers that are worked out enter figures with ten places."""
    return _held(half_even(value, _PLACES), _PLACES) if isinstance(value, Fraction) else value


def _mean(values: list[Any], places: int) -> Any:
    total = _held(sum(values), places)
    return None if total is None else _held(half_even(total / len(values), _PLACES), _PLACES)


def _held(number: Any, places: int) -> Any:
    """Return the number if 38 digits hold it with so many places, else nothing."""
    return number if abs(number) * 10**places < 10**38 else None


def _missing(judge: "Judge", one: Measure, before: list[Record] | None) -> Any:
    if before is None:
        return None
    there = grouped(judge.records, one.fields)
    gone = {same: records[0] for same, records in grouped(before, one.fields).items() if same not in there}
    if one.function == "missing":
        return Fraction(len(gone))
    fields = [judge.schema.field(name) for name in one.fields]
    texts = sorted(
        "|".join(value_text(record.cells[f.name].value, f) or "" for f in fields if f) for record in gone.values()
    )
    return ", ".join(texts[:_SHOWN])


def judge_query(judge: "Judge", rule: ResolvedRule, check: SqlCheck) -> None:
    """Judge each record by the meaning of one of the queries, whose field is found in its text."""
    for query, asks in QUERIES.items():
        for name in judge.records[0].cells if judge.records else ():
            if query.replace("field", name) == check.sql:
                for record in judge.records:
                    if asks(judge, record.cells[name].value, name):
                        judge.note(rule.id, record, "fail", rule.spec.severity)


def judge_changes(judge: "Judge", rule: ResolvedRule, check: HistoryCheck) -> None:
    """Judge each record beside the first previous one with its key."""
    before = {same: records[0] for same, records in grouped(judge.previous or (), check.key).items()}
    for same, records in grouped(judge.records, check.key).items():
        then = before.get(same)
        values: Mapping[str, Any] = {
            f"previous_{name}": then.cells[name].value if then else None for name in judge.records[0].cells
        }
        there = then is not None if judge.previous else None
        for record in records:
            now = {name: one.value for name, one in record.cells.items()}
            answer = judge.ask(check.condition, {**now, **values, "previous_exists": there}, rule.id)
            if answer is not True:
                judge.note(rule.id, record, "unknown" if answer is None else "fail", rule.spec.severity)
