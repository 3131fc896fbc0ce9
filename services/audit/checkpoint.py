"""Signed checkpoints: the C2SP tlog-checkpoint inside a C2SP signed note, with Ed25519.

A checkpoint is a promise about one tree's first `size` leaves. Whoever keeps one aside can later tell an honest tree
from one that was edited, cut or rewritten.
"""

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.audit.tree import HASH_BYTES

MAX_NOTE_BYTES = 16 * 1024
MAX_SIGNATURES = 100
_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_PUBLIC_BYTES = 32
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")
_FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]")
_SIGNATURE = re.compile("\u2014 ([^ +]+) ([A-Za-z0-9+/=]+)")


class BadCheckpointError(ValueError):
    """A note that is no checkpoint, or one that its key did not sign."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The root hash of the first `size` entries of the tree called `origin`."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Write the lines that are signed, the last line's end included."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under the name that stands in signatures; for us the tree's origin."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Derive the four bytes that name this key in a signature line."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_KEY_ID_BYTES]

    def text(self) -> str:
        """Write the key as signed notes carry it: name, id in hex and key, joined by plus signs."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_ED25519 + self.public).decode()}"


def origin_of(tenant: UUID) -> str:
    """Name a tenant's tree."""
    return f"regent/{tenant}"


def verifier_key(private: Ed25519PrivateKey, origin: str) -> VerifierKey:
    """Derive the public half under a tree's name."""
    return VerifierKey(origin, private.public_key().public_bytes_raw())


def parse_key(text: str) -> VerifierKey:
    """Read a verifier key, refusing one whose id does not fit its name and key."""
    name, plus, rest = text.strip().partition("+")
    key_id, other_plus, encoded = rest.partition("+")
    raw = _decode(encoded) if plus and other_plus else b""
    key = VerifierKey(name, raw[1:])
    if raw[:1] != _ED25519 or len(key.public) != _PUBLIC_BYTES or key.key_id.hex() != key_id:
        raise BadCheckpointError("this is no Ed25519 verifier key: name+id+key was expected")
    return key


def sign(checkpoint: Checkpoint, private: Ed25519PrivateKey) -> str:
    """Write a checkpoint as a signed note; the same key and checkpoint always give the same text."""
    text = checkpoint.text()
    key = verifier_key(private, checkpoint.origin)
    signature = b64encode(key.key_id + private.sign(text.encode())).decode()
    return f"{text}\n\u2014 {key.name} {signature}\n"


def parse(note: str) -> Checkpoint:
    """Read the checkpoint of a note without judging its signatures.

    Raises:
        BadCheckpointError: if the note has another form, down to line ends and base64 padding.
    """
    text, _ = _parts(note)
    return _checkpoint(text)


def verify(note: str, *keys: VerifierKey) -> Checkpoint:
    """Read a checkpoint that at least one of the keys signed.

    Signatures of unknown keys (witnesses) are passed over; a wrong signature under a known key condemns the note.

    Raises:
        BadCheckpointError: if the form is wrong, a known key's signature does not fit, or no known key signed.
    """
    text, signatures = _parts(note)
    known = {(key.name, key.key_id): key for key in keys}
    signed = False
    for name, raw in signatures:
        key = known.get((name, raw[:_KEY_ID_BYTES]))
        if key is not None:
            _check_signature(key, raw[_KEY_ID_BYTES:], text)
            signed = True
    if not signed:
        raise BadCheckpointError("none of the known keys signed this checkpoint")
    return _checkpoint(text)


def _check_signature(key: VerifierKey, signature: bytes, text: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
    except InvalidSignature as error:
        raise BadCheckpointError(f"the signature of {key.name} does not fit the checkpoint") from error


def _parts(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Split a note at its last blank line into signed text and (name, key id and signature) pairs."""
    if _FORBIDDEN.search(note) or len(note.encode()) > MAX_NOTE_BYTES:
        raise BadCheckpointError("a note is text of at most 16 kB without control characters")
    body, blank, lines = note.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise BadCheckpointError("a note is text, a blank line and signature lines that all end")
    rows = lines[:-1].split("\n")
    if len(rows) > MAX_SIGNATURES:
        raise BadCheckpointError(f"a note has at most {MAX_SIGNATURES} signatures")
    return body + "\n", [_signature(row) for row in rows]


def _signature(row: str) -> tuple[str, bytes]:
    match = _SIGNATURE.fullmatch(row)
    raw = _decode(match[2]) if match else b""
    if match is None or len(raw) <= _KEY_ID_BYTES:
        raise BadCheckpointError("a signature line is a dash, a name and base64")
    return match[1], raw


def _checkpoint(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:  # noqa: PLR2004 - three lines and the end of the last one
        raise BadCheckpointError("a checkpoint is three lines: origin, size, root hash")
    origin, size, encoded = lines[:3]
    root = _decode(encoded)
    if not origin or not _SIZE.fullmatch(size) or len(root) != HASH_BYTES:
        raise BadCheckpointError("a checkpoint is an origin, a decimal size and a base64 root of 32 bytes")
    return Checkpoint(origin, int(size), root)


def _decode(text: str) -> bytes:
    """Decode canonical base64; anything that would not be written the same way is refused."""
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadCheckpointError("this is not base64") from error
    if b64encode(raw).decode() != text:
        raise BadCheckpointError("this base64 is not in its canonical form")
    return raw
