"""From rules and a schema to a plan's checks."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from libs.common.vocabulary.rules import (
    ExpressionCheck,
    Fix,
    ReferenceCheck,
    RuleSpec,
    SequenceCheck,
    UniqueCheck,
)
from libs.common.vocabulary.schemas import SchemaField
from libs.expressions import (
    Compiled,
    ExpressionError,
    MappingTable,
    Moment,
    Scope,
    TypedColumn,
    compile_expression,
    fitted,
    quote_identifier,
    typed_columns,
)
from libs.expressions.instants import timestamp_text
from services.validator import datasets
from services.validator.checks import Condition, Correction, Join, Plan, ResolvedRule, SetCheck, Subject, joins_of
from services.validator.messages import message_sql, placeholders


class Planner:
    """Collects checks and the columns that they read."""

    def __init__(self, subject: Subject, mappings: Mapping[UUID, MappingTable], moment: Moment) -> None:
        self._subject = subject
        self._mappings = mappings
        self._moment = moment
        self._fields = {field.name: field for field in subject.source.fields}
        self._typed = {column.name: column for column in typed_columns(subject.source, subject.column_types)}
        self._conditions: list[Condition] = []
        self._corrections: list[Correction] = []
        self._set_checks: list[SetCheck] = []
        self._read: set[str] = set()
        self._keyed: set[str] = set()

    def add(self, rule: ResolvedRule) -> None:
        """Plan one rule."""
        check = rule.spec.check
        if isinstance(check, ExpressionCheck):
            self._add_expression(rule, check)
        elif isinstance(check, ReferenceCheck):
            self._add_reference(rule, check)
        elif isinstance(check, UniqueCheck):
            self._add_unique(rule, check)
        else:
            self._add_sequence(rule, check)

    def finish(self) -> Plan:
        """Add what the schema implies and return the plan."""
        implied = [condition for field in self._fields.values() for condition in self._implied(field)]
        return Plan(
            columns=tuple(self._columns()),
            key=self._subject.key_sql(),
            texts={name: source_text(name, self._subject.column_types[name]) for name in self._fields},
            conditions=(*implied, *self._conditions),
            corrections=tuple(self._corrections),
            set_checks=tuple(self._set_checks),
        )

    def _compile(self, text: str, spec: RuleSpec, field: SchemaField | None = None) -> Compiled:
        tables = {alias: self._mappings[mapping] for alias, mapping in spec.mappings.items()}
        scope = Scope(schema=self._subject.source, mappings=tables)
        compiled = compile_expression(text, scope, self._moment, field.type if field else "boolean")
        self._read |= compiled.fields
        return compiled

    def _add_expression(self, rule: ResolvedRule, check: ExpressionCheck) -> None:
        compiled = self._compile(check.expression, rule.spec)
        condition = self._condition(
            rule,
            code=code_of(compiled.sql),
            joins=joins_of(compiled),
            total=compiled.total,
            unknown_fails=check.on_unknown == "fail",
            read=compiled.fields,
            default=f"does not hold: {check.expression}",
        )
        if rule.spec.fix is None:
            self._conditions.append(condition)
        else:
            self._correct(rule, rule.spec.fix, condition, compiled)

    def _correct(self, rule: ResolvedRule, fix: Fix, condition: Condition, compiled: Compiled) -> None:
        field = self._field(fix.field)
        value = self._compile(fix.expression, rule.spec, field)
        self._read.add(fix.field)
        number = len(self._corrections)
        again = any(earlier.field == fix.field for earlier in self._corrections)
        self._corrections.append(
            Correction(
                rule_id=rule.id,
                rule_version=rule.version,
                field=fix.field,
                code=condition.code,
                value=fitted(value, field),
                new=_typed_text(f'"?n{number}"', field),
                old=_typed_text(f'"?o{number}"', field) if again else None,
                joins=_distinct([*joins_of(compiled), *joins_of(value)]),
                unknown_fails=condition.unknown_fails,
            )
        )
        self._conditions.append(condition.model_copy(update={"code": f'"t"."?c{number}"', "joins": ()}))
        self._conditions.append(condition.model_copy(update={"recheck": True}))

    def _add_reference(self, rule: ResolvedRule, check: ReferenceCheck) -> None:
        field = self._field(check.field)
        self._read.add(field.name)
        value = f'"t".{quote_identifier(field.name)}'
        table = self._mappings[rule.spec.mappings[check.mapping]]
        join = Join(alias=f"ref{len(self._conditions)}", table=table.table, key_sql=_typed_text(value, field))
        condition = self._condition(
            rule,
            code=code_of(f'({value} IS NULL OR "{join.alias}"."key" IS NOT NULL)'),
            joins=(join,),
            read=[field.name],
            default=f"{field.name} {{{field.name}}} is not in {check.mapping}",
        )
        self._conditions.append(condition)

    def _add_unique(self, rule: ResolvedRule, check: UniqueCheck) -> None:
        names = self._key_fields(check.fields)
        default = "the same as an earlier record in " + ", ".join(check.fields)
        self._set_checks.append(self._set_check(rule, datasets.later_duplicates(names), check.fields, default))

    def _add_sequence(self, rule: ResolvedRule, check: SequenceCheck) -> None:
        when, requires = self._compile(check.when, rule.spec), self._compile(check.requires, rule.spec)
        find = datasets.without_counterpart(self._key_fields(check.fields), when, requires)
        default = f"no record with the same {', '.join(check.fields)} for which holds: {check.requires}"
        self._set_checks.append(self._set_check(rule, find, (*check.fields, *sorted(when.fields)), default))

    def _key_fields(self, fields: Sequence[str]) -> list[str]:
        """Return SQL of what makes records equal in `fields`: typed values, and the text where that is not of its type."""
        names: list[str] = []
        for name in fields:
            self._field(name)
            self._read.add(name)
            names.append(quote_identifier(name))
            if self._typed[name].conforms != "true":
                self._keyed.add(name)
                names.append(quote_identifier(f"?bad:{name}"))
        return names

    def _condition(
        self,
        rule: ResolvedRule,
        *,
        code: str,
        read: Iterable[str],
        default: str,
        joins: tuple[Join, ...] = (),
        total: bool = True,
        unknown_fails: bool = False,
    ) -> Condition:
        template = rule.spec.message or default
        return Condition(
            rule_id=rule.id,
            rule_version=rule.version,
            severity=rule.spec.severity,
            code=code,
            joins=joins,
            total=total,
            unknown_fails=unknown_fails,
            fields=self._shown(rule.spec, sorted(read), template),
            message=message_sql(template, list(self._fields)),
        )

    def _set_check(self, rule: ResolvedRule, find: str, read: Sequence[str], default: str) -> SetCheck:
        template = rule.spec.message or default
        return SetCheck(
            rule_id=rule.id,
            rule_version=rule.version,
            severity=rule.spec.severity,
            find=find,
            fields=self._shown(rule.spec, read, template),
            message=message_sql(template, list(self._fields)),
        )

    def _shown(self, spec: RuleSpec, read: Sequence[str], template: str) -> tuple[str, ...]:
        for name in spec.fields:
            self._field(name)
        chosen = spec.fields or read
        return tuple(dict.fromkeys([*chosen, *placeholders(template, list(self._fields))]))

    def _field(self, name: str) -> SchemaField:
        if name not in self._fields:
            raise ExpressionError(f"unknown field {name}", expected="a field of the schema")
        return self._fields[name]

    def _implied(self, field: SchemaField) -> list[Condition]:
        column, found = self._typed[field.name], []
        corrected = [
            f'("t"."?c{n}" IN {one.failing})' for n, one in enumerate(self._corrections) if one.field == field.name
        ]
        shown = f"{{{field.name}}}"
        if column.conforms != "true":
            sound = " OR ".join([f'"t"."?type:{field.name}"', *corrected])
            found.append(_implied(field, "type", sound, f"{field.name} {shown} is not of type {field.type}"))
        if field.required:
            found.append(_implied(field, "required", _given(field.name, corrected), f"{field.name} is missing"))
        if column.fits != "true":
            fits = _fits(field) if corrected else f'"t"."?length:{field.name}"'
            found.append(_implied(field, "length", fits, f"{field.name} is longer than {field.max_length} characters"))
        return found

    def _columns(self) -> Iterable[str]:
        corrected = {correction.field for correction in self._corrections}
        yield '"r"."_ordinal"'
        for name, field in self._fields.items():
            column = self._typed[name]
            if name in self._read:
                yield f"{column.sql} AS {quote_identifier(name)}"
            yield from self._checked(field, column, name in corrected)

    def _checked(self, field: SchemaField, column: TypedColumn, corrected: bool) -> Iterable[str]:  # noqa: FBT001
        text = source_text(field.name, self._subject.column_types[field.name])
        if column.conforms != "true":
            yield f'{column.conforms} AS "?type:{field.name}"'
        if field.required:
            yield f"(nullif({text}, '') IS NOT NULL) AS \"?given:{field.name}\""
        if column.fits != "true" and not corrected:
            yield f'{column.fits} AS "?length:{field.name}"'
        if field.name in self._keyed:
            yield f'CASE WHEN NOT {column.conforms} THEN {text} END AS "?bad:{field.name}"'


def code_of(condition: str) -> str:
    """Return SQL that gives a three-valued condition's code: 0 true, 1 false, 2 neither."""
    return f"coalesce(CAST(NOT ({condition}) AS UTINYINT), 2::UTINYINT)"


def source_text(name: str, physical: str) -> str:
    """Return SQL over `r` of a field's text as the source has it; ISO 8601 for instants."""
    raw, kind = f'"r".{quote_identifier(name)}', physical.upper()
    if kind in ("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"):
        return timestamp_text(raw)
    return raw if kind == "VARCHAR" else f"CAST({raw} AS VARCHAR)"


def _typed_text(value: str, field: SchemaField) -> str:
    if field.type == "text":
        return value
    return timestamp_text(value) if field.type == "timestamp" else f"CAST({value} AS VARCHAR)"


def _given(name: str, corrected: Sequence[str]) -> str:
    if not corrected:
        return f'"t"."?given:{name}"'
    return (
        f'CASE WHEN {" OR ".join(corrected)} THEN "t".{quote_identifier(name)} IS NOT NULL ELSE "t"."?given:{name}" END'
    )


def _fits(field: SchemaField) -> str:
    return f'coalesce(length("t".{quote_identifier(field.name)}) <= {field.max_length}, true)'


def _implied(field: SchemaField, kind: str, condition: str, message: str) -> Condition:
    return Condition(
        rule_id=f"schema:{field.name}:{kind}",
        rule_version=1,
        severity="blocking",
        code=code_of(condition),
        fields=(field.name,),
        message=message_sql(message, [field.name]),
    )


def _distinct(joins: Iterable[Join]) -> tuple[Join, ...]:
    return tuple({join.alias: join for join in joins}.values())
