"""The bus door: what the runner hears."""

from libs.common.bus.subscriptions import Subscriptions
from libs.common.database.transaction import Transaction
from libs.common.definitions import copies
from libs.common.events.envelope import Event
from services.runner.commands import (
    backtesting,
    cancelling,
    correcting,
    creation,
    drafts,
    transformations,
    verdicts,
)


async def on_published(tx: Transaction, event: Event) -> None:
    """Learn a version; runs that wait for one look again."""
    await copies.on_published(tx, event)
    await creation.look_again(tx)


async def on_replayed_published(tx: Transaction, event: Event) -> None:
    """Learn a version of what can be tried on past data: its draft is none any more."""
    await drafts.on_settled(tx, event)
    await on_published(tx, event)


_REPLAYED = ("validator.rule", "catalog.mapping", "catalog.schema")
_KINDS = ("connector", "schema", "mapping", "xsd_set", "destination", "report")

SUBSCRIPTIONS: Subscriptions = {
    "evt.*.auth.tenant.*": cancelling.on_tenant,
    "evt.*.scheduler.schedule.fired": creation.on_schedule_fired,
    "evt.*.validator.validation.completed": verdicts.on_completed,
    "evt.*.validator.validation.failed": verdicts.on_failed,
    **{f"evt.*.{kind}.{verb}": drafts.on_drafted for kind in _REPLAYED for verb in ("created", "updated")},
    **{f"evt.*.{kind}.proposed": backtesting.on_proposed for kind in _REPLAYED},
    **{f"evt.*.{kind}.deleted": drafts.on_settled for kind in _REPLAYED},
    **{f"evt.*.{kind}.published": on_replayed_published for kind in _REPLAYED},
    "evt.*.validator.rule.announced": copies.on_published,
    "evt.*.validator.rule.archived": copies.on_archived,
    "evt.*.validator.transform.completed": transformations.on_completed,
    "evt.*.validator.transform.failed": transformations.on_failed,
    "evt.*.validator.transform.progressed": transformations.on_progressed,
    "evt.*.validator.resubmission.requested": correcting.on_resubmission_requested,
    **{f"evt.*.catalog.{kind}.published": on_published for kind in _KINDS if f"catalog.{kind}" not in _REPLAYED},
    **{f"evt.*.catalog.{kind}.announced": on_published for kind in _KINDS},
    **{f"evt.*.catalog.{kind}.archived": copies.on_archived for kind in _KINDS},
}
