"""S23: a person signs up, confirms, forgets the password and chooses another, as they see it: by gateway and mailbox."""

import asyncio
import re
from uuid import uuid4

import httpx

from deploy.local import mailbox
from tests.system.world import World

FIRST, SECOND = "correct horse battery staple", "quite another battery staple"


async def newest(world: World, email: str, subject: str) -> str:
    """Return the text of the newest mail to an address with a subject, once there is one."""
    directory = mailbox.folder(world.stack.configuration.data)
    for _ in range(600):
        found = [mail for mail in mailbox.listing(directory) if (mail.to, mail.subject) == (email, subject)]
        if found:
            return found[-1].text
        await asyncio.sleep(0.05)
    raise AssertionError(f"no {subject!r} came to {email}")


def token(text: str, path: str, world: World) -> str:
    """Return the token of a mail's link, which leads to this machine's gateway."""
    (link,) = re.findall(r"http\S+", text)
    base, _, found = link.partition("#")
    assert base == f"{world.url}{path}"
    return str(found)


async def test_sign_up_and_reset_by_mail(world: World) -> None:
    """S23: the unverified login is refused, the link makes it work; the reset mail arrives and the old password dies."""
    await world.stack.start_mailbox()
    email = f"nina-{uuid4().hex[:8]}@example.com"

    async def post(path: str, **body: str) -> int:
        return (await http.post(path, json=body)).status_code

    async with httpx.AsyncClient(base_url=world.url, timeout=30, trust_env=False) as http:
        assert await post("/v1/signup", email=email, name="Nina", tenant_name="New Broker") == 202
        assert await post("/v1/login", email=email, password=FIRST) == 401
        confirm = token(await newest(world, email, "Confirm your e-mail address"), "/account/verify", world)
        assert "Choose a password" in (await http.get("/account/verify")).text
        assert await post("/v1/signup/verify", token=confirm, password=FIRST) == 201
        assert await post("/v1/login", email=email, password=FIRST) == 200
        assert await post("/v1/password/forgot", email=email) == 202
        reset = token(await newest(world, email, "Choose another password"), "/account/reset", world)
        assert await post("/v1/password/reset", token=reset, password=SECOND) == 204
        assert await post("/v1/login", email=email, password=FIRST) == 401
        assert await post("/v1/login", email=email, password=SECOND) == 200
        await newest(world, email, "Your password was changed")
