"""The routes of auth."""

from services.auth.api import (
    authorize,
    challenge,
    clients,
    factors,
    grants,
    keys,
    metadata,
    oauth,
    people,
    roles,
    sessions,
    tenants,
    tokens,
)

ROUTERS = (
    oauth.ROUTER,
    authorize.ROUTER,
    tokens.ROUTER,
    tokens.OWN,
    metadata.ROUTER,
    challenge.ROUTER,
    sessions.PUBLIC,
    sessions.OWN,
    factors.ROUTER,
    tenants.PLATFORM,
    tenants.ROUTER,
    people.CREATING,
    people.ROUTER,
    roles.ROUTER,
    roles.PERMISSIONS,
    clients.SECRETS,
    clients.ROUTER,
    grants.ROUTER,
    keys.ROUTER,
)
