"""What could not be handled, kept with its reason until an operator reads or replays it."""

import base64
from uuid import UUID

import orjson

from libs.common.ids import derived_id


def letter(
    service: str, stream: str, sequence: int, subject: str, body: bytes, error: Exception
) -> tuple[str, bytes, UUID]:
    """Return subject, body and id of the dead letter for a message; the same message gives the same letter."""
    content = {
        "service": service,
        "stream": stream,
        "sequence": sequence,
        "subject": subject,
        "reason": f"{type(error).__name__}: {error}"[:2000],
        "body": base64.b64encode(body).decode(),
    }
    return f"dlq.{service}.{stream}", orjson.dumps(content), derived_id("dlq", service, stream, str(sequence))
