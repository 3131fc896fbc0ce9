"""`Idempotency-Key`: the answer to a POST is kept with its effect, in the same transaction, for 24 hours."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from libs.common.database.transaction import Transaction
from libs.common.errors import FieldProblem, Invalid

_KEEP = timedelta(hours=24)
_MAX_KEY = 200
_REPLAYED_HEADERS = ("content-type", "location", "etag")

_FORGET = "DELETE FROM idempotency WHERE tenant_id = $1 AND created_at < $2"
_CLAIM = """
INSERT INTO idempotency (tenant_id, client, route, key, body_sha256, created_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING RETURNING true
"""
_FIND = """
SELECT body_sha256, status, headers, body FROM idempotency
WHERE tenant_id = $1 AND client = $2 AND route = $3 AND key = $4
"""
_KEEP_ANSWER = """
UPDATE idempotency SET status = $5, headers = $6, body = $7
WHERE tenant_id = $1 AND client = $2 AND route = $3 AND key = $4
"""


class IdempotentRequest:
    """A POST that carries a key."""

    def __init__(self, tx: Transaction, request: Request, key: str) -> None:
        self._tx = tx
        self._request = request
        # the path, not its template: the same key on another resource is another request
        self._place = (tx.tenant_id, tx.context.actor, request.url.path[:500], key)

    @classmethod
    def of(cls, tx: Transaction, request: Request) -> "IdempotentRequest | None":
        """Return the request's key handling, or None where it has no key.

        Raises:
            Invalid: the key is empty or too long.
        """
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        if key is None:
            return None
        if not 0 < len(key) <= _MAX_KEY:
            raise Invalid("The key is not usable.", fields=[FieldProblem("Idempotency-Key", "1 to 200 characters")])
        return cls(tx, request, key)

    async def replay(self) -> Response | None:
        """Claim the key; return the kept answer where it was used before.

        A second request waits here until the first one's transaction ends.

        Raises:
            Invalid: the key was used with another body.
        """
        digest = hashlib.sha256(await self._request.body()).digest()
        now = self._tx.context.now
        await self._tx.connection.execute(_FORGET, self._tx.tenant_id, now - _KEEP)
        if await self._tx.connection.fetchval(_CLAIM, *self._place, digest, now):
            return None
        kept: Mapping[str, Any] = await self._tx.connection.fetchrow(_FIND, *self._place)
        if kept["body_sha256"] != digest:
            problem = FieldProblem("Idempotency-Key", "was used with another body")
            raise Invalid("A key belongs to one request.", type="idempotency-key-reused", fields=[problem])
        return Response(kept["body"], kept["status"], {**kept["headers"], "Idempotency-Replayed": "true"})

    async def keep(self, response: Response) -> None:
        """Keep the answer beside its effect."""
        headers = {name: response.headers[name] for name in _REPLAYED_HEADERS if name in response.headers}
        body = bytes(response.body)
        await self._tx.connection.execute(_KEEP_ANSWER, *self._place, response.status_code, headers, body)
