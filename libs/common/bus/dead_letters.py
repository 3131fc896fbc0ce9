"""What could not be handled, kept with its reason until an operator reads or replays it."""

import base64

import orjson


def letter(service: str, stream: str, sequence: int, subject: str, body: bytes, error: Exception) -> tuple[str, bytes]:
    """Return subject and content of the dead letter for a message."""
    content = {
        "service": service,
        "stream": stream,
        "sequence": sequence,
        "subject": subject,
        "reason": f"{type(error).__name__}: {error}"[:2000],
        "body": base64.b64encode(body).decode(),
    }
    return f"dlq.{service}.{stream}", orjson.dumps(content)
