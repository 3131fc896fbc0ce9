"""What the validator says of a judged dataset."""

from collections.abc import Sequence

from libs.common.definitions.copies import Pinned
from libs.common.events.runner import ObjectReference, ValidationRequested, VersionReference
from libs.common.events.validator import RuleCount, ValidationCompleted
from services.validator.commands import RunRules
from services.validator.jail.broker import Outcome, RuleTally


def _version(pinned: Pinned) -> VersionReference:
    return VersionReference(kind=pinned.kind, id=pinned.id, number=pinned.number, key=pinned.key, sha256=pinned.sha256)


def completed_by(
    request: ValidationRequested,
    chosen: RunRules,
    outcome: Outcome,
    failures: ObjectReference | None,
    corrections: ObjectReference | None,
    seconds: float,
) -> ValidationCompleted:
    """Return the event that says what came of judging, and where its files are; it took `seconds`."""
    return ValidationCompleted(
        run_id=request.run_id,
        request_id=request.request_id,
        phase=request.phase,
        rules=tuple(_version(pinned) for pinned in chosen.rules),
        mappings=tuple(_version(pinned) for pinned in chosen.mappings),
        counts=_counts(outcome.rules, outcome.rows, chosen.names),
        rows=outcome.rows,
        held=outcome.held,
        warned=sum(rule.failed for rule in outcome.rules if rule.severity == "warning"),
        corrected=outcome.corrections,
        waived=sum(rule.waived for rule in outcome.rules),
        failures=failures,
        corrections=corrections,
        seconds=round(seconds, 4),
    )


def _counts(rules: Sequence[RuleTally], rows: int, names: dict[str, str]) -> tuple[RuleCount, ...]:
    return tuple(
        RuleCount(
            rule_id=rule.rule_id,
            rule_version=rule.rule_version,
            name=names.get(rule.rule_id, rule.rule_id),
            severity=rule.severity,
            rows=rows,
            passed=rule.passed,
            failed=rule.failed,
            unknown=rule.unknown,
            errors=rule.errors,
            waived=rule.waived,
        )
        for rule in rules
    )
