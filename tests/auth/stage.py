"""Where hostile providers and browsers act: a tenant with an app, on which an honest login by a provider works."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.auth.browsing import App, Browser, browser, register
from tests.auth.idp import Provider, linked, registered, sent
from tests.auth.world import Tenant, World


@dataclass(slots=True)
class Stage:
    """A tenant with an app, and a provider whose `alice` is linked to the owner."""

    app: App
    provider: Provider
    id: str

    @property
    def world(self) -> World:
        return self.app.world

    async def attempt(self, subject: str = "alice", **claims: Any) -> httpx.Response:
        """Log in by the provider in a browser of its own; returns the last page."""
        async with browser(self.world) as person:
            return await self.by(person, subject, **claims)

    async def by(self, person: Browser, subject: str = "alice", **claims: Any) -> httpx.Response:
        """Log in by the provider in a browser."""
        return await person.http.get(self.provider.log_in(await sent(person, self.app, self.id), subject, **claims))


async def staged(tenant: Tenant, provider: Provider) -> Stage:
    """Return a stage on which an honest login works."""
    app = await register(tenant)
    id_ = await registered(tenant, provider)
    assert (await linked(tenant, provider, id_, "alice")).status_code == 200
    return Stage(app, provider, id_)


def refused(answer: httpx.Response, *held_back: str) -> bool:
    """Say whether a page refuses, opens no session, and shows none of the texts."""
    session = "__Host-regent_session" in answer.headers.get("set-cookie", "")
    shown = any(text in answer.text for text in held_back)
    return answer.status_code in (403, 503) and not session and not shown and "<h1>" in answer.text
