"""The bus door: what the scheduler hears."""

from libs.common.bus.subscriptions import Subscriptions
from libs.common.definitions import copies
from libs.common.definitions.policies import on_policy_changed
from libs.common.tenancy import on_tenant_changed

SUBSCRIPTIONS: Subscriptions = {
    "evt.*.catalog.policy.changed": on_policy_changed,
    "evt.*.catalog.report.published": copies.on_published,
    "evt.*.catalog.report.announced": copies.on_published,
    "evt.*.catalog.report.archived": copies.on_archived,
    "evt.*.auth.tenant.*": on_tenant_changed,
}
