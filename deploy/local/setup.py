"""The one-time set-up link: whoever opens it first makes the first tenant."""

from deploy.local.database import DATABASE
from deploy.local.stack import Stack
from libs.common.context import utc_now
from libs.common.database.pool import Database
from services.auth import operator


async def setup_link(stack: Stack) -> str | None:
    """Return a fresh one-time link; None where there is a tenant already."""
    passwords = stack.passwords()
    urls = {
        role: stack.postgres.url(f"auth_{role}", passwords[f"auth_{role}"], DATABASE) for role in ("server", "keeper")
    }
    async with (
        Database.open(urls["server"], service="auth", size=1) as database,
        Database.open(urls["keeper"], service="auth", role="keeper", size=1) as keeper,
    ):
        return await operator.first_setup_link(database, keeper, utc_now(), stack.configuration.public_url)


async def setup_token(stack: Stack) -> str | None:
    """Return the link's token, for those who set up without a browser."""
    link = await setup_link(stack)
    return link.rpartition("#")[2].rpartition("=")[2] if link else None
