"""From rules about the whole dataset to a plan's set checks and questions."""

from collections.abc import Sequence

from libs.common.vocabulary.rules import AggregateCheck, HistoryCheck, SequenceCheck, SqlCheck, UniqueCheck
from libs.expressions.sql import inspect
from services.validator import datasets
from services.validator.aggregates import failing_groups
from services.validator.checks import Question, ResolvedRule, SetCheck
from services.validator.history import changed_records
from services.validator.messages import Said, message_sql, said_of
from services.validator.reading import Reading
from services.validator.tables import declared_tables


class DatasetPlanner:
    """Collects the checks that look at all records at once."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.set_checks: list[SetCheck] = []
        self.questions: list[Question] = []

    def add_unique(self, rule: ResolvedRule, check: UniqueCheck) -> None:
        """Plan a rule of uniqueness."""
        find = datasets.later_duplicates(self._reading.keys(check.fields))
        self._add(rule, find, check.fields, Said("the same as an earlier record in " + ", ".join(check.fields)))

    def add_sequence(self, rule: ResolvedRule, check: SequenceCheck) -> None:
        """Plan a rule of sequence."""
        when, requires = (self._reading.compile(text, rule.spec) for text in (check.when, check.requires))
        find = datasets.without_counterpart(self._reading.keys(check.fields), when, requires)
        default = Said(f"no record with the same {', '.join(check.fields)} for which holds: {check.requires}")
        self._add(rule, find, (*check.fields, *sorted(when.fields)), default)

    def add_aggregate(self, rule: ResolvedRule, check: AggregateCheck) -> None:
        """Plan a rule about figures over groups of records."""
        find = failing_groups(check, rule.spec, self._reading)
        told = ", ".join(f"{name} {{{name}}}" for name in check.measures)
        default = Said(f"does not hold: {check.condition}", f" ({told})")
        self._add(
            rule, find, check.group_by, default, unknown_fails=check.on_unknown == "fail", figures=tuple(check.measures)
        )

    def add_history(self, rule: ResolvedRule, check: HistoryCheck) -> None:
        """Plan a rule about records and the previous ones with their keys."""
        find = changed_records(check, rule.spec, self._reading)
        default = Said(f"does not hold: {check.condition}")
        self._add(rule, find, check.key, default, unknown_fails=check.on_unknown == "fail", figures=())

    def add_sql(self, rule: ResolvedRule, check: SqlCheck) -> None:
        """Plan a query of failing records: guarded anew, whatever it was when it was saved."""
        reading = self._reading
        aliases = {alias: reading.mappings[mapping] for alias, mapping in rule.spec.mappings.items()}
        columns = {alias: table.columns for alias, table in aliases.items()}
        query = inspect(check.sql, declared_tables(reading.subject.source, columns))
        reading.read(reading.fields)
        template = rule.spec.message or "found by the rule's query"
        self.questions.append(
            Question(
                rule_id=rule.id,
                rule_version=rule.version,
                severity=rule.spec.severity,
                sql=query.sql,
                aliases={alias: table.table for alias, table in aliases.items()},
                fields=reading.shown(rule.spec, [name for name in reading.fields if name in query.reads], template),
                message=message_sql(template, list(reading.fields)),
            )
        )

    def _add(
        self,
        rule: ResolvedRule,
        find: str,
        read: Sequence[str],
        default: Said,
        *,
        unknown_fails: bool = False,
        figures: Sequence[str] | None = None,
    ) -> None:
        said = said_of(rule.spec.message, default)
        self.set_checks.append(
            SetCheck(
                rule_id=rule.id,
                rule_version=rule.version,
                severity=rule.spec.severity,
                find=find,
                fields=self._reading.shown(rule.spec, read, said.template),
                message=message_sql(said.template, list(self._reading.fields), figures or (), said.plain),
                coded=figures is not None,
                unknown_fails=unknown_fails,
            )
        )
