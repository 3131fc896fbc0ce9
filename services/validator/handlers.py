"""The bus door: what the validator hears."""

from libs.common.bus.subscriptions import Subscriptions
from libs.common.database.transaction import Transaction
from libs.common.definitions import copies
from libs.common.definitions.gate import on_backtest_completed
from libs.common.definitions.policies import on_policy_changed
from libs.common.events.envelope import Event
from libs.common.tenancy import on_tenant_changed
from services.validator import commands
from services.validator.exceptions import concluding, unsealed
from services.validator.indicators import commands as indicators
from services.validator.transforms import commands as transforms
from services.validator.tries import commands as tries


async def on_run_ended(tx: Transaction, event: Event) -> None:
    """Let everything that follows a run know that it is over."""
    await indicators.on_run_ended(tx, event)
    await transforms.on_run_ended(tx, event)
    await concluding.on_run_ended(tx, event)
    await unsealed.on_run_ended(tx, event)


SUBSCRIPTIONS: Subscriptions = {
    "evt.*.runner.backtest.completed": on_backtest_completed(commands.KINDS),
    "evt.*.catalog.policy.changed": on_policy_changed,
    "evt.*.runner.extract.granted": tries.on_granted,
    "evt.*.runner.extract.refused": tries.on_refused,
    "evt.*.runner.validation.requested": commands.on_validation_requested,
    "evt.*.runner.transform.requested": transforms.on_requested,
    "evt.*.runner.run.succeeded": on_run_ended,
    "evt.*.runner.run.partial": on_run_ended,
    "evt.*.runner.run.failed": on_run_ended,
    "evt.*.runner.run.cancelled": on_run_ended,
    "evt.*.catalog.schema.published": copies.on_published,
    "evt.*.catalog.schema.announced": copies.on_published,
    "evt.*.catalog.schema.archived": copies.on_archived,
    "evt.*.catalog.mapping.published": copies.on_published,
    "evt.*.catalog.mapping.announced": copies.on_published,
    "evt.*.catalog.mapping.archived": copies.on_archived,
    "evt.*.auth.tenant.*": on_tenant_changed,
}
