from typing import Any


def pointer(location: tuple[int | str, ...], body: Any) -> str:
    """Return the place in a specification that a fault is at; what only names a variant there is left out."""
    parts: list[int | str] = []
    for part in location[:-1]:
        if isinstance(body, dict) and part not in body:
            continue
        parts.append(part)
        body = _inside(body, part)
    return "/spec" + "".join(f"/{part}" for part in (*parts, *location[-1:]))


def _inside(body: Any, part: int | str) -> Any:
    if isinstance(body, dict):
        return body[part]
    return body[part] if isinstance(body, list) and isinstance(part, int) and part < len(body) else None
