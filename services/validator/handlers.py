"""The bus door: what the validator hears."""

from libs.common.bus.subscriptions import Subscriptions
from libs.common.definitions import copies
from libs.common.tenancy import on_tenant_changed
from services.validator import commands

SUBSCRIPTIONS: Subscriptions = {
    "evt.*.runner.validation.requested": commands.on_validation_requested,
    "evt.*.catalog.schema.published": copies.on_published,
    "evt.*.catalog.schema.announced": copies.on_published,
    "evt.*.catalog.schema.archived": copies.on_archived,
    "evt.*.catalog.mapping.published": copies.on_published,
    "evt.*.catalog.mapping.announced": copies.on_published,
    "evt.*.catalog.mapping.archived": copies.on_archived,
    "evt.*.auth.tenant.*": on_tenant_changed,
}
