"""A rule's own tests: records that it must pass and fail before it is published."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from libs.common.database.transaction import Transaction
from libs.common.definitions.copies import SealedReader
from libs.common.definitions.kinds import Kind, Specs
from libs.common.errors import FieldProblem, Invalid
from libs.common.jail import JobServer
from libs.common.vocabulary.rules import RuleSpec, RuleTest
from libs.expressions import Moment
from services.validator.trying import Given, Tried, judge, make_case

_RULE = "rules/0"


@dataclass(frozen=True, slots=True)
class Prover:
    """Runs rules' tests in the jail that runs use."""

    server: JobServer
    sealed: SealedReader

    def proving(self, kinds: Mapping[str, Kind]) -> dict[str, Kind]:
        """Return the kinds with rules proven when they are published."""
        return {**kinds, "rule": replace(kinds["rule"], prove=self.prove)}

    async def prove(self, tx: Transaction, spec: RuleSpec, specs: Specs) -> None:
        """Refuse a rule of which a test comes out otherwise than written.

        Raises:
            Invalid: names each such test, and the records that surprised.
        """
        problems = []
        for number, test in enumerate(spec.tests):
            told = _surprises(test, await self._tried(tx, spec, specs, test))
            if told:
                called = f" ({test.name})" if test.name else ""
                problems.append(FieldProblem(f"/spec/tests/{number}", f"{told}{called}"))
        if problems:
            raise Invalid("The rule's own tests do not pass.", type="rule-tests-failed", fields=problems)

    async def _tried(self, tx: Transaction, spec: RuleSpec, specs: Specs, test: RuleTest) -> Tried:
        moment = Moment(test.business_date or tx.context.now.date(), test.as_of or tx.context.now)
        case = await make_case(tx, specs, self.sealed, [spec], Given(test.records, (), moment))
        return await judge(self.server, case, test.records, tx.tenant_id)


def _surprises(test: RuleTest, tried: Tried) -> str:
    """Return what came out otherwise than written, or nothing."""
    erred = [rule.problem or f"{rule.errors} errors" for rule in tried.outcome.errored if rule.rule_id == _RULE]
    if erred:
        return f"the rule erred: {erred[0]}"
    messages: dict[int, Any] = {row["_ordinal"]: row["message"] for row in tried.failures if row["rule_id"] == _RULE}
    passed = [f"record {place} should fail and passes" for place in sorted(set(test.failing) - messages.keys())]
    failed = [
        f"record {place} should pass and fails: {messages[place]}"
        for place in sorted(messages.keys() - set(test.failing))
    ]
    unknown = sum(rule.unknown for rule in tried.outcome.rules if rule.rule_id == _RULE)
    hint = [f"{unknown} unknown, which passes as `on_unknown` is"] if passed and unknown else []
    return "; ".join(passed + hint + failed)
