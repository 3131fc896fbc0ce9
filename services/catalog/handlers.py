"""The bus door: what catalog hears."""

from libs.common.bus.subscriptions import Subscriptions
from libs.common.definitions import copies
from libs.common.definitions.gate import on_backtest_completed
from services.catalog import commands

SUBSCRIPTIONS: Subscriptions = {
    "evt.*.runner.backtest.completed": on_backtest_completed(commands.KINDS),
    "evt.*.validator.rule.published": copies.on_published,
    "evt.*.validator.rule.announced": copies.on_published,
    "evt.*.validator.rule.archived": copies.on_archived,
    "evt.*.scheduler.schedule.created": commands.on_schedule_changed,
    "evt.*.scheduler.schedule.updated": commands.on_schedule_changed,
    "evt.*.scheduler.schedule.deleted": commands.on_schedule_changed,
}
