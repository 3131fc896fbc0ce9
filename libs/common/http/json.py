from collections.abc import Mapping
from typing import Any

import orjson


def json_bytes(value: Any) -> bytes:
    """Return compact JSON; UUIDs, decimals and rows become text and objects."""
    return orjson.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) or hasattr(value, "keys") else str(value)
