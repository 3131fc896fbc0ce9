"""Credentials on loan: asked for once a step, sealed to a key that lives as long as the question."""

import asyncio
import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from nats.errors import Error as NatsError

from libs.common.bus.connection import Bus
from libs.common.crypto.boxes import UnopenedBoxError, open_box
from services.runner.commands.claims import Claim
from services.runner.engines.errors import SourceError

_SUBJECT = "rpc.catalog.lease"
_TRIES = 5
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Loan:
    """A connector's credentials and until when they may be used."""

    secret: dict[str, str] = field(repr=False)
    expires: datetime

    def password(self, now: datetime) -> str:
        """Return the password, while it may be used.

        Raises:
            SourceError: `lease-expired`.
        """
        if now >= self.expires:
            text = "The loan of the connector's credentials ended before the source was read; run it again."
            raise SourceError("lease-expired", text)
        return self.secret.get("password", "")


class Leases:
    """Asks catalog for credentials over the bus; neither question nor answer is ever logged."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def loan(self, claim: Claim, step: str, connector_id: Any) -> Loan:
        """Return a connector's credentials for this attempt at a step.

        Raises:
            SourceError: `lease-refused`, or `lease-unavailable` (retryable) when nobody answers.
        """
        key = X25519PrivateKey.generate()
        run = claim.run
        public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
        question = {
            "tenant_id": str(run["tenant_id"]),
            "run_id": str(run["id"]),
            "step": step,
            "attempt": claim.fence,
            "report_id": str(run["report_id"]),
            "report_version": run["report_version"],
            "connector_id": str(connector_id),
            "public_key": public,
        }
        answer = await self._ask(orjson.dumps(question))
        purpose = f"lease:{run['tenant_id']}:{run['id']}:{step}:{connector_id}".encode()
        return _open(answer, key, purpose)

    async def _ask(self, question: bytes) -> Any:
        for attempt in range(_TRIES):
            try:
                message = await self._bus.client.request(_SUBJECT, question, timeout=_ANSWER_SECONDS)
                return orjson.loads(message.data)
            except (NatsError, OSError, TimeoutError):
                await asyncio.sleep(0.2 * 2**attempt)
        raise SourceError("lease-unavailable", "The connector's credentials cannot be had now.", retryable=True)


def _open(answer: Any, key: X25519PrivateKey, purpose: bytes) -> Loan:
    if "refused" in answer:
        raise SourceError("lease-refused", f"The connector's credentials are refused: {answer['refused']}")
    try:
        box = base64.b64decode(answer["box"], validate=True)
        content = orjson.loads(open_box(key, box, purpose))
        return Loan(content["secret"], datetime.fromisoformat(content["expires"]))
    except (KeyError, TypeError, binascii.Error, UnopenedBoxError, ValueError) as error:
        text = "The connector's credentials could not be read."
        raise SourceError("lease-unavailable", text, retryable=True) from error
