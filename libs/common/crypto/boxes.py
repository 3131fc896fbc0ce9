"""Messages that only the holder of an ephemeral key opens: X25519, HKDF-SHA256, AES-256-GCM."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_POINT = 32
_NONCE = 12


class UnopenedBoxError(Exception):
    """A box is not for this key or this purpose, or was altered."""


def seal_box(receiver: bytes, content: bytes, purpose: bytes) -> bytes:
    """Encrypt `content` to an X25519 public key (32 bytes); `purpose` is authenticated, not sent."""
    sender = X25519PrivateKey.generate()
    shared = sender.exchange(X25519PublicKey.from_public_bytes(receiver))
    point = sender.public_key().public_bytes_raw()
    nonce = os.urandom(_NONCE)
    return point + nonce + AESGCM(_derive(shared, point, receiver)).encrypt(nonce, content, purpose)


def open_box(key: X25519PrivateKey, box: bytes, purpose: bytes) -> bytes:
    """Decrypt a box.

    Raises:
        UnopenedBoxError: another key or purpose, or altered bytes.
    """
    point, nonce, sealed = box[:_POINT], box[_POINT : _POINT + _NONCE], box[_POINT + _NONCE :]
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(point))
        receiver = key.public_key().public_bytes_raw()
        return AESGCM(_derive(shared, point, receiver)).decrypt(nonce, sealed, purpose)
    except (InvalidTag, ValueError) as error:
        raise UnopenedBoxError("the box does not open") from error


def _derive(shared: bytes, sender: bytes, receiver: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"regent-box-v1" + sender + receiver).derive(shared)
