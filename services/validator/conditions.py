"""From rules and a schema to a plan's checks."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from libs.common.vocabulary.rules import (
    AggregateCheck,
    ExpressionCheck,
    Fix,
    HistoryCheck,
    ReferenceCheck,
    SequenceCheck,
    SqlCheck,
    UniqueCheck,
)
from libs.common.vocabulary.schemas import SchemaField
from libs.expressions import Compiled, MappingTable, Moment, fitted, quote_identifier
from services.validator.checks import Condition, Correction, Join, Plan, ResolvedRule, Subject, joins_of
from services.validator.implied import implied
from services.validator.messages import Said, message_sql, said_of
from services.validator.reading import Reading, told_text, typed_text
from services.validator.sets import DatasetPlanner


class Planner:
    """Collects checks and the columns that they read."""

    def __init__(self, subject: Subject, mappings: Mapping[UUID, MappingTable], moment: Moment) -> None:
        self._reading = Reading(subject, mappings, moment)
        self._sets = DatasetPlanner(self._reading)
        self._conditions: list[Condition] = []
        self._corrections: list[Correction] = []

    def add(self, rule: ResolvedRule) -> None:
        """Plan one rule."""
        check = rule.spec.check
        if isinstance(check, ExpressionCheck):
            self._add_expression(rule, check)
        elif isinstance(check, ReferenceCheck):
            self._add_reference(rule, check)
        elif isinstance(check, UniqueCheck):
            self._sets.add_unique(rule, check)
        elif isinstance(check, SequenceCheck):
            self._sets.add_sequence(rule, check)
        elif isinstance(check, AggregateCheck):
            self._sets.add_aggregate(rule, check)
        elif isinstance(check, HistoryCheck):
            self._sets.add_history(rule, check)
        elif isinstance(check, SqlCheck):
            self._sets.add_sql(rule, check)

    def finish(self) -> Plan:
        """Add what the schema implies and return the plan."""
        reading = self._reading
        corrections = tuple(one.model_copy(update={"keyed": reading.keyed(one.field)}) for one in self._corrections)
        corrected = frozenset(one.field for one in corrections)
        found = [
            one for name, field in reading.fields.items() for one in implied(field, reading.typed[name], corrections)
        ]
        return Plan(
            columns=tuple(reading.columns(corrected)),
            stored=reading.stored(corrected),
            key=reading.subject.key_sql(),
            key_columns=reading.subject.key_columns,
            texts=reading.texts(),
            conditions=(*found, *self._conditions),
            corrections=corrections,
            set_checks=tuple(self._sets.set_checks),
            questions=tuple(self._sets.questions),
            previous_columns=tuple(reading.previous()),
            business_date=reading.moment.business_date,
            as_of=reading.moment.as_of,
        )

    def _add_expression(self, rule: ResolvedRule, check: ExpressionCheck) -> None:
        compiled = self._reading.compile(check.expression, rule.spec)
        condition = self._condition(
            rule,
            holds=compiled.sql,
            joins=joins_of(compiled),
            total=compiled.total,
            unknown_fails=check.on_unknown == "fail",
            read=compiled.fields,
            default=Said(f"does not hold: {check.expression}"),
        )
        if rule.spec.fix is None:
            self._conditions.append(condition)
        else:
            self._correct(rule, rule.spec.fix, condition, compiled)

    def _correct(self, rule: ResolvedRule, fix: Fix, condition: Condition, compiled: Compiled) -> None:
        field = self._reading.field(fix.field)
        value = self._reading.compile(fix.expression, rule.spec, field.type)
        self._reading.read([fix.field])
        number = len(self._corrections)
        after = tuple(n for n, earlier in enumerate(self._corrections) if earlier.field == fix.field)
        self._corrections.append(
            Correction(
                rule_id=rule.id,
                rule_version=rule.version,
                field=fix.field,
                code=condition.code,
                value=fitted(value, field) if field.type != "text" else f"nullif({value.sql}, '')",
                new=told_text(f'"?n{number}"', field),
                old=told_text(f'"?o{number}"', field),
                after=after,
                joins=_distinct([*joins_of(compiled), *joins_of(value)]),
                unknown_fails=condition.unknown_fails,
            )
        )
        code = f'"t"."?c{number}"'
        known = {"holds": f"({code} = 0)", "outcome": code, "joins": ()}
        self._conditions.append(condition.model_copy(update=known))
        self._conditions.append(condition.model_copy(update={"recheck": True}))

    def _add_reference(self, rule: ResolvedRule, check: ReferenceCheck) -> None:
        reading = self._reading
        field = reading.field(check.field)
        reading.read([field.name])
        value = f'"t".{quote_identifier(field.name)}'
        table = reading.mappings[rule.spec.mappings[check.mapping]].table
        joins = tuple(
            Join(alias=f"ref{len(self._conditions)}_{number}", table=table, key_sql=text)
            for number, text in enumerate(self._key_texts(rule, field, value))
        )
        found = " OR ".join(f'"{join.alias}"."key" IS NOT NULL' for join in joins)
        condition = self._condition(
            rule,
            holds=f"({value} IS NULL OR {found})",
            joins=joins,
            read=[field.name],
            default=Said("", f"{field.name} {{{field.name}}} is not in {check.mapping}"),
        )
        self._conditions.append(condition)

    def _key_texts(self, rule: ResolvedRule, field: SchemaField, value: str) -> list[str]:
        """Return SQL of the texts that a value's key can have: a decimal's with the zeros of its scale, and without."""
        texts = [typed_text(value, field)]
        if field.type == "decimal" and field.scale:
            texts.append(self._reading.compile(f"to_text(field('{field.name}'))", rule.spec, "text").sql)
        return texts

    def _condition(
        self,
        rule: ResolvedRule,
        *,
        holds: str,
        read: Iterable[str],
        default: Said,
        joins: tuple[Join, ...] = (),
        total: bool = True,
        unknown_fails: bool = False,
    ) -> Condition:
        said = said_of(rule.spec.message, default)
        return Condition(
            rule_id=rule.id,
            rule_version=rule.version,
            severity=rule.spec.severity,
            holds=holds,
            joins=joins,
            total=total,
            unknown_fails=unknown_fails,
            fields=self._reading.shown(rule.spec, sorted(read), said.template),
            message=message_sql(said.template, list(self._reading.fields), plain=said.plain),
        )


def _distinct(joins: Iterable[Join]) -> tuple[Join, ...]:
    return tuple({join.alias: join for join in joins}.values())
