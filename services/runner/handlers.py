"""The bus door: what the runner hears."""

from libs.common.bus.subscriptions import Subscriptions
from libs.common.database.transaction import Transaction
from libs.common.definitions import copies
from libs.common.events.envelope import Event
from services.runner.commands import cancelling, creation, verdicts


async def on_published(tx: Transaction, event: Event) -> None:
    """Learn a version; runs that wait for one look again."""
    await copies.on_published(tx, event)
    await creation.look_again(tx)


_KINDS = ("connector", "schema", "mapping", "xsd_set", "destination", "report")

SUBSCRIPTIONS: Subscriptions = {
    "evt.*.auth.tenant.*": cancelling.on_tenant,
    "evt.*.scheduler.schedule.fired": creation.on_schedule_fired,
    "evt.*.validator.validation.completed": verdicts.on_completed,
    "evt.*.validator.validation.failed": verdicts.on_failed,
    **{f"evt.*.catalog.{kind}.published": on_published for kind in _KINDS},
    **{f"evt.*.catalog.{kind}.announced": on_published for kind in _KINDS},
    **{f"evt.*.catalog.{kind}.archived": copies.on_archived for kind in _KINDS},
}
