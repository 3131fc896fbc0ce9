"""What a key ring looks like, and everything that may be wrong with one; no message ever shows a key."""

import base64
import binascii
import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from libs.common.settings import SettingsError

VARIABLE = "REGENT_KEYRING"
KEY_BYTES = 32
Unwrap = Callable[[str, str, bytes], bytes]
"""Opens a key that a KMS wrapped: the key's id in the ring, the KMS's key, the wrapped bytes."""

_KEY_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LEAST_VARIETY = 18
_PRINTABLE = range(0x20, 0x7F)


def bad_ring(what: str) -> SettingsError:
    """Return the error that names the variable and what is wrong with its value."""
    return SettingsError(f"configuration: {VARIABLE} {what}")


def read_ring(text: str, unwrap: Unwrap | None) -> tuple[str, dict[str, bytes]]:
    """Read `{"active": "k1", "keys": {"k1": "<base64 of 32 bytes>", "k2": {"kms": "<key>", "wrapped": "<base64>"}}}`.

    Raises:
        SettingsError: the ring is malformed; says how, never shows a key.
    """
    active, entries = _load(text)
    if active not in entries:
        raise bad_ring(f"names {active!r} as active but holds no such key")
    strange = sorted(name for name in entries if not _KEY_ID.fullmatch(name))
    if strange:
        raise bad_ring(f"has {len(strange)} ids that are not lower-case letters, digits, '.', '_' and '-'")
    keys = {name: _key(name, value, unwrap) for name, value in entries.items()}
    _require_sound(keys)
    return active, keys


def _load(text: str) -> tuple[str, dict[str, Any]]:
    try:
        ring = json.loads(text, object_pairs_hook=_without_repetition)
        active, keys = ring["active"], ring["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise bad_ring(f"is malformed ({type(error).__name__})") from None
    if set(ring) != {"active", "keys"} or not isinstance(active, str) or not isinstance(keys, dict):
        raise bad_ring('is malformed: it is {"active": id, "keys": {id: key}}')
    return active, keys


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1 and _KEY_ID.fullmatch(name)})
    if len(set(names)) != len(names):
        raise bad_ring(f"names something twice: {', '.join(twice)}")
    return dict(pairs)


def _key(name: str, value: Any, unwrap: Unwrap | None) -> bytes:
    if isinstance(value, str):
        return _decode(name, value)
    if not isinstance(value, dict) or set(value) != {"kms", "wrapped"}:
        raise bad_ring(f"is malformed: key {name!r} is neither base64 nor wrapped by a KMS")
    if unwrap is None:
        raise bad_ring(f"holds key {name!r} wrapped by a KMS, but REGENT_KMS_ENDPOINT is not set")
    return unwrap(name, str(value["kms"]), _decode(name, str(value["wrapped"])))


def _decode(name: str, value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise bad_ring(f"is malformed: key {name!r} is no base64") from None


def _require_sound(keys: dict[str, bytes]) -> None:
    short = sorted(name for name, key in keys.items() if len(key) != KEY_BYTES)
    if short:
        raise bad_ring(f"keys are not {KEY_BYTES} bytes long: {', '.join(short)}")
    weak = sorted(name for name, key in keys.items() if not looks_random(key))
    if weak:
        raise bad_ring(f"keys are not random: {', '.join(weak)}; make one by `regent keys generate`")
    if len(set(keys.values())) != len(keys):
        raise bad_ring("holds the same key under two ids")


def looks_random(key: bytes) -> bool:
    """Tell a key from what people type: text, repetitions, steps. One random key in a hundred million is refused."""
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    typed = all(byte in _PRINTABLE for byte in key)
    return len(set(key)) >= _LEAST_VARIETY and len(steps) >= _LEAST_VARIETY and not typed
