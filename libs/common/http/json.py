from typing import Any
from uuid import UUID

import orjson
from asyncpg import Record


def json_bytes(value: Any) -> bytes:
    """Return compact JSON; rows become objects, decimals text."""
    return orjson.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    # asyncpg's UUIDs are a type of their own, which orjson does not know
    if isinstance(value, UUID):
        return str(value)
    return dict(value) if isinstance(value, Record) else str(value)
