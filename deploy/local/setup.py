"""The one-time set-up link: whoever opens it first makes the first tenant."""

import secrets
from datetime import timedelta

from sqlalchemy import exists, select

from deploy.local.stack import Stack
from libs.common.context import Context, utc_now
from libs.common.database.pool import Database
from libs.common.ids import SYSTEM_TENANT
from services.auth.opaque import digest
from services.auth.store.accounts import add_setup_link
from services.auth.store.tables import identity

_LIFE = timedelta(hours=24)


async def setup_token(stack: Stack) -> str | None:
    """Return the token of a fresh set-up link, good for 24 hours; None where there are users already."""
    url = stack.postgres.url("auth_server", stack.passwords()["auth_server"], "regent")
    async with Database.open(url, service="auth", size=1) as database:
        context = Context(SYSTEM_TENANT, "service:auth", now=utc_now())
        async with database.transaction(context) as tx:
            if await tx.value(select(exists().where(identity.c.id.is_not(None)))):
                return None
            token = secrets.token_urlsafe(32)
            await add_setup_link(tx, digest(token), context.now + _LIFE)
            return token
