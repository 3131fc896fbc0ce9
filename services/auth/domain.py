"""What auth decides, without I/O and without a clock."""

import ipaddress
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.common.errors import FieldProblem, Forbidden, Invalid, TooManyRequests
from services.auth.permissions import covers, covers_all
from services.auth.protocol import scope_names

WINDOW = timedelta(minutes=15)
ACCOUNT_FAILURES = 5
ADDRESS_FAILURES = 100
CHALLENGE_AFTER = 3
"""Failures of an account after which a try needs a solved challenge."""

MEMORY = timedelta(days=1)
LONGEST_TRY = timedelta(seconds=30)
"""How long a try is being made; one that is still open then has failed."""

_DOUBLINGS = 3
TOKEN_SECONDS = 300
"""The longest life of an access token; after it a revocation or a retired key says nothing any more."""

_CLOCK_LEEWAY = timedelta(seconds=10)
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f.]+(\.[^\s@\x00-\x1f\x7f.]+)*")
_MAX_EMAIL = 254


def normalise_email(text: str) -> str:
    """Return the address as accounts are found by: NFKC, no outer spaces, case folded.

    Raises:
        Invalid: it is no address.
    """
    address = unicodedata.normalize("NFKC", text).strip().casefold()
    if len(address) > _MAX_EMAIL or not _EMAIL.fullmatch(address):
        raise Invalid("The e-mail address is not valid.", fields=[FieldProblem("/email", "is no e-mail address")])
    return address


def address_block(address: str | None) -> str:
    """Return what is throttled together: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


class Throttled(TooManyRequests):
    """Too many failed before; `bucket` is where they were counted."""

    bucket: bytes = b""


class Busy(TooManyRequests):
    """As many tries are being made right now as may fail; a moment later there may be room."""


def remembered(allowed: int) -> int:
    """Return how many failures tell how long the next one waits."""
    return allowed * (_DOUBLINGS + 1)


def require_tries_left(failures: Sequence[datetime], allowed: int, now: datetime, *, being_made: int = 0) -> int:
    """Refuse one more try after `allowed` failures within the window; returns how many there were.

    The window doubles with every `allowed` failures within a day that no success ended, three times at most.

    Raises:
        Throttled: says when the oldest of them no longer counts.
        Busy: failures and tries that are being made are as many as may fail.
    """
    today = sorted(at for at in failures if at > now - MEMORY)
    window = WINDOW * 2 ** min(max(len(today) // allowed - 1, 0), _DOUBLINGS)
    recent = [at for at in today if at > now - window]
    if len(recent) >= allowed:
        wait = recent[-allowed] + window - now
        raise Throttled("Too many failed tries; wait.", retry_after=max(1, -(-wait // timedelta(seconds=1))))
    if len(recent) + being_made >= allowed:
        raise Busy("Too many tries at once; try again.", retry_after=1)
    return len(recent)


def narrowed(held: frozenset[str], requested: str | None) -> frozenset[str]:
    """Return the permissions of a token: all that are held, or the requested part of them (RFC 6749, 3.3).

    Raises:
        Invalid: something is requested that is not held; a scope never widens.
        OAuthError: the request is malformed.
    """
    wanted = scope_names(requested)
    if not wanted:
        return held
    if not covers_all(held, wanted):
        raise Invalid("The scope is not one that may be granted.", type="invalid_scope")
    return wanted


def require_assignable(caller: frozenset[str], given: frozenset[str], before: frozenset[str] = frozenset()) -> None:
    """Refuse to hand out, or take away, more than the caller has.

    Raises:
        Forbidden: names what is too much.
    """
    beyond = sorted(permission for permission in given | before if not covers(caller, permission))
    if beyond:
        raise Forbidden("Nobody can give or take more than they have.", extra={"permissions": beyond})


@dataclass(frozen=True, slots=True)
class KeyAges:
    """When the signing keys did what; None where there is no such key or it has not happened."""

    active_since: datetime | None
    next_published: datetime | None
    has_next: bool


def key_step(ages: KeyAges, now: datetime, rotation: timedelta, lead: timedelta) -> str | None:
    """Return what is to be done with the signing keys now: `first`, `prepare`, `promote` or nothing."""
    if ages.active_since is None:
        return "first"
    if ages.has_next:
        ready = ages.next_published is not None and ages.next_published + lead <= now
        return "promote" if ready else None
    return "prepare" if ages.active_since + rotation <= now + lead else None


def dead_before(now: datetime) -> datetime:
    """Return the instant before which no access token that still lives was issued."""
    return now - timedelta(seconds=TOKEN_SECONDS) - _CLOCK_LEEWAY


def revocation_end(now: datetime) -> datetime:
    """Return until when a revocation has to be known everywhere."""
    return now + timedelta(seconds=TOKEN_SECONDS) + _CLOCK_LEEWAY
