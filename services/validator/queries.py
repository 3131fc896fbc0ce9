"""The SQL texts that carry out a plan. Tables: `extract` is the data; a group's table holds its flagged records."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from libs.expressions import quote_identifier, quote_literal
from services.validator.checks import Condition, Correction, Join, Plan, Question, SetCheck
from services.validator.messages import fields_sql

PER_WORD = 4
"""Codes take two bits; words are bytes, on which the engine's bit operations are fastest."""

_FAIL, _UNKNOWN = 1, 2


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions that one scan judged together; `table` holds the records for which any did not simply pass.

    Where it `carries`, it has their keys and texts as well, which saves reading them in a second scan.
    """

    table: str
    conditions: tuple[Condition, ...]
    carries: bool = False

    @property
    def words(self) -> int:
        """How many bytes the codes take."""
        return -(-len(self.conditions) // PER_WORD)

    @property
    def told(self) -> str:
        """The records as failures tell of them: codes, and `h` with key and texts."""
        return f"{self.table} AS h" if self.carries else f"{self.table} AS g JOIN held AS h USING (_ordinal)"


def typed_view(plan: Plan, broken: Collection[int] = (), more: Sequence[str] = ()) -> str:
    """Return the typed records, corrections applied one after the other, as a parenthesised SELECT.

    Corrections whose numbers are `broken` change nothing and have the code 3, an error, for every record. `more` are
    select items over the extract `r`.
    """
    view = f'(SELECT {", ".join([*plan.columns, *more])} FROM extract AS "r")'
    for number, correction in enumerate(plan.corrections):
        view = _broken(view, number, correction) if number in broken else _corrected(view, number, correction)
    return view


def probe(plan: Plan, number: int, broken: Collection[int]) -> str:
    """Return a query that fails if correction `number` cannot be applied to every record."""
    later = set(range(number + 1, len(plan.corrections)))
    return f'SELECT max(hash("?c{number}", "?n{number}")) FROM {typed_view(plan, {*broken, *later})}'


def define_view(plan: Plan, broken: Collection[int]) -> str:
    """Return the statement that makes the view `typed`, which dataset checks read."""
    return f"CREATE TEMP VIEW typed AS SELECT * FROM {typed_view(plan, broken)}"


def define_previous(plan: Plan, path: str | None) -> str:
    """Return the statement that makes the view of the previous extract's typed records; empty without one."""
    source = f"read_parquet({quote_literal(path)})" if path else "(SELECT 1) AS nothing WHERE false"
    named = f'{source} AS "r"' if path else source
    return f"CREATE VIEW typed_previous AS SELECT {', '.join(plan.previous_columns)} FROM {named}"


def define_records(plan: Plan, broken: Collection[int], *, kept: bool) -> str:
    """Return the statement that makes `records`, which tenants' queries read: ordinals and typed fields.

    It is a table where they are `kept`, else a view.
    """
    fields = ", ".join(quote_identifier(name) for name in plan.texts)
    return f"CREATE {'TABLE' if kept else 'VIEW'} records AS SELECT _ordinal, {fields} FROM {typed_view(plan, broken)}"


def define_previous_records(plan: Plan) -> str:
    """Return the statement that makes the view `previous`, which tenants' queries read."""
    fields = ", ".join(quote_identifier(name) for name in plan.texts)
    return f"CREATE VIEW previous AS SELECT _ordinal, {fields} FROM typed_previous"


def define_run(plan: Plan) -> str:
    """Return the statement that makes the view `run`, one row of what the run knows of itself."""
    day, moment = plan.business_date.isoformat(), plan.as_of.isoformat(sep=" ")
    columns = (
        f"CAST({quote_literal(day)} AS DATE) AS business_date, CAST({quote_literal(moment)} AS TIMESTAMPTZ) AS as_of"
    )
    return f"CREATE VIEW run AS SELECT {columns}"


def answer(question: Question, most: int) -> str:
    """Return the statement that keeps the distinct ordinals that a query selects, `most` at most."""
    return f"CREATE TEMP TABLE answer AS SELECT DISTINCT _ordinal FROM ({question.sql}) AS asked LIMIT {most}"


def flag(plan: Plan, group: Group, broken: Collection[int] = (), *, isolated: bool = False) -> str:
    """Return the statement that judges all conditions of `group` in one scan and keeps what did not pass.

    Most records pass everything: codes are made of the others only. The filter must not be pushed below the typed view,
    or it would type a field once for each condition: something volatile, which is always true, holds it above.
    `isolated` turns an error into code 3 instead of failing the statement.
    """
    words = ", ".join(f"{_word(chunk, isolated)} AS {_name(n)}" for n, chunk in enumerate(_chunks(group.conditions)))
    raw = _raw(plan) if group.carries else {}
    beside = [f'"r".{name} AS {alias}' for name, alias in raw.items() if alias != name]
    source = f'{typed_view(plan, broken, beside)} AS "t" {_joins(group.conditions)}'
    carried = "".join(f', "t".{alias} AS {name}' for name, alias in raw.items())
    passed = _tree([f"TRY({one.holds})" if isolated else one.holds for one in group.conditions], "AND")
    flagged = f"CASE WHEN {passed} THEN false ELSE random() >= 0 END"
    found = f'SELECT "t"._ordinal, {words}{_kept(plan, group)}{carried} FROM {source} WHERE {flagged}'
    return f"CREATE TEMP TABLE {group.table} AS {_carrying(plan, group, found) if group.carries else found}"


def _kept(plan: Plan, group: Group) -> str:
    ids = {condition.rule_id for condition in group.conditions}
    made = [n for n, one in enumerate(plan.corrections) if one.rule_id in ids]
    before = sorted({earlier for n in made for earlier in plan.corrections[n].after})
    return "".join([*(f', "t"."?o{n}", "t"."?n{n}"' for n in made), *(f', "t"."?c{n}"' for n in before)])


def _raw(plan: Plan) -> dict[str, str]:
    """Return what keys and texts are made of, by column: they are made later, as most records need neither.

    A column that the typed view has as it is stored is not carried twice.
    """
    changed = {correction.field for correction in plan.corrections}
    raw: dict[str, str] = {}
    for name in sorted({*plan.key_columns, *_shown(plan)}):
        quoted = quote_identifier(name)
        as_stored = name not in changed and f'"r".{quoted} AS {quoted}' in plan.columns
        raw[quoted] = quoted if as_stored else quote_identifier(f"?raw:{name}")
    return raw


def _carrying(plan: Plan, group: Group, found: str) -> str:
    """Make key and texts of the records that will be reported, from columns that are named as the extract's are."""
    texts = "".join(
        f', CASE WHEN "?told" THEN {plan.texts[name]} END AS {quote_identifier(name)}' for name in _shown(plan)
    )
    words = "".join(f", {_name(n)}" for n in range(group.words))
    kept = _kept(plan, group).replace('"t".', "")
    judged = f'SELECT *, {_reported(group)} AS "?told" FROM ({found})'
    return (
        f'SELECT _ordinal{words}{kept}, CASE WHEN "?told" THEN {plan.key} END AS "?key"{texts} FROM ({judged}) AS "r"'
    )


def _shown(plan: Plan) -> list[str]:
    shown = {name for condition in plan.conditions for name in condition.fields}
    return sorted(shown | {correction.field for correction in plan.corrections})


def _reported(group: Group) -> str:
    masks = enumerate(map(_mask, _chunks(group.conditions)))
    return _tree([f"({_name(n)} & {mask}) <> 0" for n, mask in masks if mask], "OR")


def count(group: Group) -> str:
    """Return the query that counts the flagged records by each word's values, and by whether they are to be reported.

    A row has one of these, all others are null, and the count.
    """
    names = [*(_name(n) for n in range(group.words)), '"?told"']
    sets = ", ".join(f"({name})" for name in names)
    judged = f'SELECT *, {_reported(group)} AS "?told" FROM {group.table}'
    return f"SELECT {', '.join(names)}, count(*) FROM ({judged}) GROUP BY GROUPING SETS ({sets})"


def narrow(group: Group) -> str:
    """Return the statement that leaves only records to be reported in `group`'s table."""
    return f"CREATE OR REPLACE TEMP TABLE {group.table} AS SELECT * FROM {group.table} WHERE {_reported(group)}"


def find(check: SetCheck, table: str) -> str:
    """Return the statement that keeps the ordinals that fail a dataset check."""
    return f"CREATE TEMP TABLE {table} AS {check.find}"


def hold(plan: Plan, fields: Iterable[str], sources: Sequence[str]) -> str:
    """Return the statement that fetches key and texts of every record whose ordinal one of `sources` selects."""
    texts = "".join(f", {plan.texts[name]} AS {quote_identifier(name)}" for name in sorted(set(fields)))
    ordinals = " UNION ".join(sources)
    return f'CREATE TEMP TABLE held AS SELECT "r"._ordinal, {plan.key} AS "?key"{texts} FROM extract AS "r" WHERE "r"._ordinal IN ({ordinals})'


def failures_of(group: Group, index: int, *, mixed: bool) -> str:
    """Return the query of one condition's failures; where they are `mixed`, some are unknown or errors."""
    condition, code = group.conditions[index], code_sql(index)
    outcome = f"CASE {code} WHEN 1 THEN 'fail' WHEN 2 THEN 'unknown' ELSE 'error' END" if mixed else "'fail'"
    severity = quote_literal(condition.severity)
    if index + 1 < len(group.conditions) and group.conditions[index + 1].recheck:
        again = _failing(index + 1, group.conditions[index + 1])
        severity = f"CASE WHEN {again} THEN 'blocking' ELSE {severity} END"
    return f"{_failure(condition, severity, outcome)} FROM {group.told} WHERE {_failing(index, condition)}"


def settle(table: str) -> str:
    """Return the query that counts a coded check's outcomes: failed, unknown."""
    return f'SELECT count(*) FILTER (WHERE "?code" = 1), count(*) FILTER (WHERE "?code" = 2) FROM {table}'


def failures_of_set(check: SetCheck | Question, table: str) -> str:
    """Return the query of one dataset check's failures."""
    coded = isinstance(check, SetCheck) and check.coded
    outcome = "CASE g.\"?code\" WHEN 2 THEN 'unknown' ELSE 'fail' END" if coded else quote_literal("fail")
    which = ' WHERE g."?code" = 1' if isinstance(check, SetCheck) and coded and not check.unknown_fails else ""
    return f"{_failure(check, quote_literal(check.severity), outcome)} FROM {table} AS g JOIN held AS h USING (_ordinal){which}"


def corrections_of(plan: Plan, group: Group, index: int) -> str:
    """Return the query of the corrections that correctable condition `index` made."""
    condition = group.conditions[index]
    made = next(one for one in plan.corrections if one.rule_id == condition.rule_id)
    again = " OR ".join(f'"?c{n}" IN {plan.corrections[n].failing}' for n in made.after) or "false"
    old = f"CASE WHEN {again} THEN {made.old} ELSE h.{quote_identifier(made.field)} END"
    return (
        f'SELECT h._ordinal, h."?key" AS key, {quote_literal(made.field)} AS field, {old} AS old_value, {made.new} AS new_value, '
        f"{quote_literal(made.rule_id)} AS rule_id, {made.rule_version}::INTEGER AS rule_version "
        f"FROM {group.told} WHERE {_failing(index, condition)}"
    )


def code_sql(index: int) -> str:
    """Return SQL of a condition's code in its group's table."""
    return f"(({_name(index // PER_WORD)} >> {2 * (index % PER_WORD)}) & 3)"


def _failing(index: int, condition: Condition) -> str:
    mask = (_FAIL | (_UNKNOWN if condition.unknown_fails else 0)) << (2 * (index % PER_WORD))
    return f"({_name(index // PER_WORD)} & {mask}) <> 0"


def _name(word: int) -> str:
    return f'"?w{word}"'  # no field has such a name


def _failure(check: Condition | SetCheck | Question, severity: str, outcome: str) -> str:
    return (
        f'SELECT h._ordinal, h."?key" AS key, {quote_literal(check.rule_id)} AS rule_id, {check.rule_version}::INTEGER AS rule_version, '
        f"{severity} AS severity, {outcome} AS outcome, {fields_sql(check.fields)} AS fields, {check.message} AS message"
    )


def _corrected(view: str, number: int, correction: Correction) -> str:
    field = quote_identifier(correction.field)
    judged = f'SELECT "t".*, {correction.code} AS "?c{number}", {correction.value} AS "?n{number}" FROM {view} AS "t" {_join_texts(correction.joins)}'
    value = f'CASE WHEN "?c{number}" IN {correction.failing} THEN "?n{number}" ELSE {field} END AS {field}'
    if correction.keyed:
        bad = quote_identifier(f"?bad:{correction.field}")
        value += f', CASE WHEN "?c{number}" NOT IN {correction.failing} THEN {bad} END AS {bad}'
    return f'(SELECT * REPLACE ({value}), {field} AS "?o{number}" FROM ({judged}))'


def _broken(view: str, number: int, correction: Correction) -> str:
    field = quote_identifier(correction.field)
    return f'(SELECT *, 3::UTINYINT AS "?c{number}", {field} AS "?n{number}", {field} AS "?o{number}" FROM {view})'


def _joins(conditions: Iterable[Condition]) -> str:
    return _join_texts(join for condition in conditions for join in condition.joins)


def _join_texts(joins: Iterable[Join]) -> str:
    once = {join.alias: join for join in joins}.values()
    return " ".join(
        f'LEFT JOIN {quote_identifier(join.table)} AS {quote_identifier(join.alias)} ON {quote_identifier(join.alias)}."key" = ({join.key_sql})'
        for join in once
    )


def _chunks(conditions: Sequence[Condition]) -> list[Sequence[Condition]]:
    return [conditions[start : start + PER_WORD] for start in range(0, len(conditions), PER_WORD)]


def _word(conditions: Sequence[Condition], isolated: bool) -> str:  # noqa: FBT001
    codes = [f"coalesce(TRY({one.code}), 3::UTINYINT)" if isolated else one.code for one in conditions]
    return _tree([f"({code} * {4**place}::UTINYINT)" for place, code in enumerate(codes)], "|")


def _mask(conditions: Sequence[Condition]) -> int:
    return sum(
        (_FAIL | (_UNKNOWN if one.unknown_fails else 0)) << (2 * place)
        for place, one in enumerate(conditions)
        if not one.recheck
    )


def _tree(terms: Sequence[str], operator: str) -> str:
    """Join terms as a balanced tree: a chain of hundreds would be too deep an expression."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return f"({_tree(terms[:middle], operator)} {operator} {_tree(terms[middle:], operator)})"
