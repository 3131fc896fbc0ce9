"""What one validation does: pure, from definitions to a plan."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from libs.expressions import MappingTable, Moment
from services.validator.checks import Plan, ResolvedRule, Subject
from services.validator.conditions import Planner

__all__ = ["Plan", "ResolvedRule", "Subject", "build_plan"]


def build_plan(
    subject: Subject, rules: Sequence[ResolvedRule], mappings: Mapping[UUID, MappingTable], moment: Moment
) -> Plan:
    """Plan the checks of one phase: those that the schema implies and those of `rules`.

    Rules of the other phase are left out. `mappings` gives each mapping's table in the engine.

    Raises:
        ExpressionError, SqlError: a rule does not fit this schema.
        KeyError: a mapping or a column is missing.
    """
    planner = Planner(subject, mappings, moment)
    for rule in rules:
        if rule.spec.phase == subject.phase:
            planner.add(rule)
    return planner.finish()
