"""A slow judge of plans, written apart from the engine: record by record in plain Python, by the words of the documents."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.rules import (
    ExpressionCheck,
    ReferenceCheck,
    SequenceCheck,
    UniqueCheck,
)
from libs.common.vocabulary.schemas import SchemaField, SchemaSpec
from libs.expressions import Moment
from services.validator.plan import ResolvedRule
from tests.expressions.reference import Interpreter
from tests.expressions.reference_functions import to_text
from tests.expressions.reference_values import needs_more_digits
from tests.validator.plain_sets import judge_changes, judge_groups, judge_query
from tests.validator.plain_values import Cell, Record, fitted, key, value_text

FAIL, UNKNOWN = "fail", "unknown"


@dataclass
class Verdicts:
    """What a judgement finds: outcomes by rule and record with their severities, corrections in order, rules left out."""

    outcomes: dict[str, dict[int, str]] = field(default_factory=dict)
    severities: dict[tuple[str, int], str] = field(default_factory=dict)
    corrections: list[tuple[int, str, str, str | None, str | None]] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)


@dataclass
class Judge:
    """Judges records of a schema by rules; `previous` are the records of the extract before, if there is one."""

    schema: SchemaSpec
    mappings: Mapping[str, MappingSpec]
    moment: Moment
    records: Sequence[Record]
    previous: Sequence[Record] | None
    found: Verdicts = field(default_factory=Verdicts)

    def judge(self, rules: Sequence[ResolvedRule]) -> Verdicts:
        """Apply the corrections in order, then look at everything as it is afterwards."""
        fields = {one.name: one for one in self.schema.fields}
        for rule in rules:
            if rule.spec.fix is not None:
                for record in self.records:
                    self._correct(rule, record, fields[rule.spec.fix.field])
        for record in self.records:
            self._imply(record)
        for rule in rules:
            self._apply(rule)
        return self.found

    def ask(self, text: str, record: Record | Mapping[str, Any], rule: str) -> Any:
        """Return an expression's value; where 38 digits may not do, the rule is unsure."""
        values = {name: one.value for name, one in record.cells.items()} if isinstance(record, Record) else record
        constants = {"true": True, "false": False, "null": None}
        run = {"business_date": self.moment.business_date, "as_of": self.moment.as_of}
        interpreter = Interpreter({**constants, **run, **values}, self._tables())
        value = interpreter.run(text)
        places = max([10, *(one.scale for one in self.schema.fields if one.type == "decimal")])
        if needs_more_digits(text, interpreter, places):
            self.found.unsure.add(rule)
        return value

    def _tables(self) -> dict[str, dict[str, Mapping[str, str | None]]]:
        day = self.moment.business_date
        return {
            alias: {
                entry.key: entry.values
                for entry in mapping.entries
                if (entry.valid_from or date.min) <= day <= (entry.valid_to or date.max)
            }
            for alias, mapping in self.mappings.items()
        }

    def _correct(self, rule: ResolvedRule, record: Record, one: SchemaField) -> None:
        check = rule.spec.check
        assert isinstance(check, ExpressionCheck)
        assert rule.spec.fix is not None
        answer = record.answers[rule.id] = self.ask(check.expression, record, rule.id)
        if answer is True or (answer is None and check.on_unknown == "pass"):
            return
        before = record.cells[one.name]
        value = fitted(self.ask(rule.spec.fix.expression, record, rule.id), one)
        again = any(made[0] == record.ordinal and made[2] == one.name for made in self.found.corrections)
        old = value_text(before.value, one) if again else before.text
        record.cells[one.name] = Cell(value_text(value, one), value)
        record.corrected.add(one.name)
        self.found.corrections.append((record.ordinal, rule.id, one.name, old, value_text(value, one)))

    def _imply(self, record: Record) -> None:
        for one in self.schema.fields:
            cell = record.cells[one.name]
            if not cell.sound:
                self.note(f"schema:{one.name}:type", record, FAIL)
            absent = cell.value is None if one.name in record.corrected else not cell.text
            if one.required and absent:
                self.note(f"schema:{one.name}:required", record, FAIL)
            if one.max_length and len(cell.value or "") > one.max_length:
                self.note(f"schema:{one.name}:length", record, FAIL)

    def note(self, rule: str, record: Record, outcome: str, severity: str = "blocking") -> None:
        """Keep what came of a rule for a record for which it does not hold."""
        self.found.outcomes.setdefault(rule, {})[record.ordinal] = outcome
        self.found.severities[rule, record.ordinal] = severity

    def _apply(self, rule: ResolvedRule) -> None:
        ways: dict[str, Callable[[ResolvedRule, Any], None]] = {
            "expression": self._express, "reference": self._refer, "unique": self._tell_apart, "sequence": self._pair,
            "aggregate": partial(judge_groups, self), "history": partial(judge_changes, self), "sql": partial(judge_query, self),
        }  # fmt: skip
        ways[rule.spec.check.kind](rule, rule.spec.check)

    def _tell_apart(self, rule: ResolvedRule, check: UniqueCheck) -> None:
        seen = set()
        for record in self.records:
            same = key(record, check.fields)
            if same in seen:
                self.note(rule.id, record, FAIL, rule.spec.severity)
            seen.add(same)

    def _pair(self, rule: ResolvedRule, check: SequenceCheck) -> None:
        there = {key(one, check.fields) for one in self.records if self.ask(check.requires, one, rule.id)}
        for record in self.records:
            if self.ask(check.when, record, rule.id) and key(record, check.fields) not in there:
                self.note(rule.id, record, FAIL, rule.spec.severity)

    def _express(self, rule: ResolvedRule, check: ExpressionCheck) -> None:
        for record in self.records:
            now = self.ask(check.expression, record, rule.id)
            answer = record.answers.get(rule.id, now)
            if answer is not True:
                again = rule.spec.fix and (now is False or (now is None and check.on_unknown == "fail"))
                severity = "blocking" if again else rule.spec.severity
                self.note(rule.id, record, FAIL if answer is False else UNKNOWN, severity)

    def _refer(self, rule: ResolvedRule, check: ReferenceCheck) -> None:
        one = self.schema.field(check.field)
        assert one is not None
        keys = self._tables()[check.mapping]
        for record in self.records:
            value = record.cells[one.name].value
            if value is not None and not {value_text(value, one), to_text(value)} & keys.keys():
                self.note(rule.id, record, FAIL, rule.spec.severity)
