"""Auth is the source of identities; it listens to nobody."""

from libs.common.bus.subscriptions import Subscriptions

SUBSCRIPTIONS: Subscriptions = {}
