"""Signing keys, for the platform's operators."""

from fastapi import Request, Response

from libs.common.errors import Forbidden
from libs.common.http.door import Caller, Door, Tx, permission
from libs.common.ids import SYSTEM_TENANT
from services.auth.api.shapes import answer
from services.auth.authority import authority
from services.auth.commands import keys
from services.auth.store.keys import all_keys

ROUTER = Door("/v1/keys", tag="keys")
_OPERATES = [permission("platform:keys")]
_SHOWN = ("kid", "algorithm", "state", "created_at", "published_at", "activated_at", "retired_at")


@ROUTER.get("", name="list_keys", dependencies=_OPERATES)
async def listing(tx: Tx) -> Response:
    """List the signing keys and what they are doing."""
    items = [{name: row[name] for name in _SHOWN} for row in await all_keys(tx)]
    return answer({"items": items, "next": None})


@ROUTER.post("/rotate", status_code=202, name="rotate_keys", dependencies=_OPERATES)
async def rotate(request: Request, tx: Tx, caller: Caller) -> Response:
    """Begin a rotation: the next key is published now and signs when everybody has had time to learn it."""
    if caller.tenant_id != SYSTEM_TENANT:
        raise Forbidden("Signing keys belong to the system tenant.")
    return answer({"kid": await keys.prepare(tx, authority(request).signers), "state": "next"}, 202)
