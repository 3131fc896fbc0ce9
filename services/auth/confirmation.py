"""Somebody who is logged in shows once more that it is them, for what a token alone must not do."""

from libs.common.errors import Unauthenticated
from services.auth.commands import factors
from services.auth.doorway import Doorway


async def by_code(way: Doorway, person: factors.Person, code: str) -> None:
    """Use up a code of a person's second factor, counted like one of a login.

    Raises:
        Unauthenticated: the code is wrong, or was used. TooManyRequests: too many wrong codes before.
    """
    throttle = way.authority.throttle
    async with way.system() as tx:
        counted = await throttle.reserve(tx, f"second-factor:{person.id}")
    async with way.system() as tx:
        right = await factors.use_code(tx, way.authority, person, code)
        if right:
            await throttle.settle(tx, counted)
        else:
            await factors.say(tx, person, "factor.refused", "totp", None)
            await throttle.fail(tx, counted)
    if not right:
        raise Unauthenticated("The code is wrong, or was used.", type="wrong-code")
