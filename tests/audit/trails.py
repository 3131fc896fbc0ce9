"""Trails for the verification tests: honest ones, and the export that tells of them."""

import json
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.checkpoint import Checkpoint, VerifierKey, sign, verifier_key
from services.audit.tree import Frontier, extend, leaf_hash

ORIGIN = "regent/0197f5a2-7a10-7cc1-8b0e-5b5c7a3d9e01"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY: VerifierKey = verifier_key(PRIVATE, ORIGIN)


@dataclass(frozen=True)
class Row:
    """An entry as it is stored."""

    seq: int
    leaf_hash: bytes
    body: bytes


def rows_of(bodies: Iterable[bytes]) -> list[Row]:
    return [Row(seq, leaf_hash(body), body) for seq, body in enumerate(bodies)]


def honest(size: int) -> list[Row]:
    return rows_of(b'{"entry": %d}' % number for number in range(size))


def checkpoint(rows: list[Row], size: int | None = None) -> Checkpoint:
    leaves = [row.leaf_hash for row in rows[:size]]
    return Checkpoint(ORIGIN, len(leaves), extend(Frontier(), leaves).frontier.root())


def note(rows: list[Row], size: int | None = None) -> str:
    return sign(checkpoint(rows, size), PRIVATE)


def export(rows: list[Row], size: int | None = None) -> list[bytes]:
    header = {"regent_export": 1, "origin": ORIGIN, "size": len(rows) if size is None else size, "checkpoint": None}
    lines: list[dict[str, object]] = [header]
    lines += [{"seq": r.seq, "leaf_hash": r.leaf_hash.hex(), "body": b64encode(r.body).decode()} for r in rows]
    lines.append({"end": True, "entries": len(rows)})
    return [json.dumps(line).encode() + b"\n" for line in lines]
