"""What a scope lets a client do, and where, in words for the person who is asked."""

from urllib.parse import urlsplit

_IDENTITY = {
    "openid": "know who you are",
    "profile": "know your name",
    "email": "know your e-mail address",
    "offline_access": "go on while you are away",
}
_ACTIONS = {"read": "see", "write": "change", "*": "do everything with", "tenants": "manage", "keys": "turn"}
_THINGS = {
    "audit": "the audit trail",
    "tenant": "your organisation's settings",
    "xsd_set": "XSD sets",
    "platform": "the platform",
}


def spoken(name: str) -> str:
    """Return what a scope's name means: `run:read` is to see runs."""
    if name in _IDENTITY:
        return _IDENTITY[name]
    resource, _, action = name.partition(":")
    thing = _THINGS.get(resource, f"{resource.replace('_', ' ')}s")
    return f"{_ACTIONS.get(action, action)} {thing}"


def spoken_place(resource: str) -> str:
    """Return what a resource (RFC 8707) is: the URL's last part names a collection of the API."""
    name = urlsplit(resource).path.strip("/").rpartition("/")[2]
    return name.replace("-", " ") if name else "everything here"
