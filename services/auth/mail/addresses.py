"""Addresses that a mail can be sent to: checked at the door, and once more before a header is written."""

import re

from libs.common.errors import FieldProblem, Invalid
from services.auth import domain

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_MOST_LOCAL, _MOST = 64, 254


def mailable(address: str) -> str | None:
    """Return the address as it stands in an envelope, its domain in ASCII; None where no mail can go there."""
    local, _, host = address.rpartition("@")
    try:
        ascii_host = host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    plain = f"{local}@{ascii_host}"
    good = _LOCAL.fullmatch(local) and all(_LABEL.fullmatch(label) for label in ascii_host.split("."))
    return plain if good and len(local) <= _MOST_LOCAL and len(plain) <= _MOST else None


def normalise_mailable(text: str) -> str:
    """Return an address as accounts are found by.

    Raises:
        Invalid: it is none, or none that mail can be sent to.
    """
    address = domain.normalise_email(text)
    if mailable(address) is None:
        raise Invalid("The e-mail address is not valid.", fields=[FieldProblem("/email", "is no e-mail address")])
    return address
