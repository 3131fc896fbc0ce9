"""The one request-reply: the runner asks for a connector's credentials, sealed to its ephemeral key."""

import asyncio
from typing import Any

import orjson
import structlog
from nats.aio.msg import Msg
from pydantic import ValidationError

from libs.common.app import Runtime
from libs.common.context import Context, utc_now
from libs.common.crypto.keyring import UnreadableSecretError
from libs.common.crypto.vault import Vault
from libs.common.errors import Refusal
from services.catalog import commands

_LOG = structlog.get_logger(__name__)
_SUBJECT = "rpc.catalog.lease"


class LeaseDesk:
    """Answers lease requests until the service ends."""

    def __init__(self, runtime: Runtime, vault: Vault) -> None:
        self._runtime = runtime
        self._vault = vault

    async def run(self) -> None:
        """Listen; one queue group over all replicas."""
        subscription = await self._runtime.bus.client.subscribe(_SUBJECT, queue="catalog", cb=self._answer)
        try:
            await asyncio.Event().wait()
        finally:
            await subscription.unsubscribe()

    async def _answer(self, message: Msg) -> None:
        try:
            answer = await self._lease(commands.LeaseRequest.model_validate_json(message.data))
        except ValidationError:
            answer = {"refused": "The request cannot be read."}
        except Exception:
            _LOG.exception("lease.failed")
            answer = {"failed": "The credentials cannot be read now."}
        await message.respond(orjson.dumps(answer))

    async def _lease(self, request: commands.LeaseRequest) -> dict[str, Any]:
        seconds = self._runtime.settings.lent_seconds
        try:
            async with self._runtime.database.transaction(_context(request)) as tx:
                return (await commands.lease(tx, self._vault, request, seconds)).as_json()
        except (Refusal, UnreadableSecretError) as error:
            refusal = error if isinstance(error, Refusal) else Refusal("The secret does not open.")
            _LOG.error("lease.refused", run=str(request.run_id), reason=refusal.detail)
            async with self._runtime.database.transaction(_context(request)) as tx:
                await commands.note_refused_lease(tx, request, refusal)
            return {"refused": refusal.detail}


def _context(request: commands.LeaseRequest) -> Context:
    return Context(request.tenant_id, "service:runner", now=utc_now(), correlation_id=str(request.run_id))
