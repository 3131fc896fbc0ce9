#!/usr/bin/env python3
"""Check an exported audit trail against checkpoints that you kept aside. Needs Python 3.11 and nothing else.

    python regent_verify.py trail.ndjson --key 'regent/<tenant>+<id>+<key>' --checkpoint kept.note

It shares no code with the system that wrote the trail. What it computes is public: Merkle trees by RFC 9162 (SHA-256),
checkpoints by C2SP tlog-checkpoint and signed-note, Ed25519 by RFC 8032. Exit status: 0 the trail is proven, 1 it was
tampered with (the first bad entry is named), 2 the input cannot be read, 3 the trail agrees with itself, which proves
nothing about a careful rewrite because no checkpoint kept aside was given.
"""

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROVEN, TAMPERED, UNREADABLE, UNPROVEN = 0, 1, 2, 3


class Tampered(Exception):  # noqa: N818 - it says what the trail is
    """The trail is not what was received or promised."""


class Unreadable(Exception):  # noqa: N818 - it says what the input is
    """The input is not an export, a checkpoint or a key."""


# --- Ed25519 (RFC 8032 section 5.1.7), for machines without a cryptography package --------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int, int, int]


def add(a: Point, b: Point) -> Point:
    """Add two points in extended coordinates."""
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar: int, point: Point) -> Point:
    """Add a point to itself `scalar` times."""
    total: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def decompress(raw: bytes) -> Point | None:
    """Read a point; None if the bytes are no point of the curve."""
    number = int.from_bytes(raw, "little")
    y, sign = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


BASE = decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def ed25519_verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether the key signed the message."""
    a, r, s = decompress(public), decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or BASE is None or len(signature) != 64 or s >= L:  # noqa: PLR2004 - two halves of 32
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = multiply(s, BASE), add(r, multiply(h, a))
    return not ((left[0] * right[2] - right[0] * left[2]) % P or (left[1] * right[2] - right[1] * left[2]) % P)


# --- Merkle tree (RFC 9162 section 2.1) ---------------------------------------------------------------------------


def leaf(body: bytes) -> bytes:
    """Hash an entry's bytes."""
    return hashlib.sha256(b"\x00" + body).digest()


def parent(left: bytes, right: bytes) -> bytes:
    """Hash two neighbours."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass
class Tree:
    """A growing tree: its size and the roots of its perfect subtrees, largest first."""

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def append(self, hashed: bytes) -> None:
        """Add a leaf."""
        self.peaks.append(hashed)
        self.size += 1
        rest = self.size
        while not rest & 1:
            right = self.peaks.pop()
            self.peaks[-1] = parent(self.peaks[-1], right)
            rest >>= 1

    def root(self) -> bytes:
        """Compute the root of what was added so far."""
        peaks = list(self.peaks) or [hashlib.sha256().digest()]
        while len(peaks) > 1:
            right = peaks.pop()
            peaks[-1] = parent(peaks[-1], right)
        return peaks[0]


def root_by_path(hashed: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """Compute the root that an inclusion proof leads to; None if its length does not fit."""
    last = size - 1
    for node in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            hashed = parent(node, hashed)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            hashed = parent(hashed, node)
        index, last = index >> 1, last >> 1
    return None if last else hashed


# --- keys and checkpoints (C2SP signed-note, tlog-checkpoint) -----------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A verifier key: name, id and Ed25519 public key."""

    name: str
    key_id: bytes
    public: bytes


@dataclass(frozen=True)
class Checkpoint:
    """The root that was promised for the first `size` entries of `origin`."""

    origin: str
    size: int
    root: bytes


def unbase64(text: str) -> bytes:
    """Decode canonical base64."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Unreadable("there is text where base64 was expected") from error
    if base64.b64encode(raw).decode() != text:
        raise Unreadable("base64 is not in its canonical form")
    return raw


def read_key(text: str) -> Key:
    """Read `name+id+base64`."""
    match = re.fullmatch(r"([^ +\n]+)\+([0-9a-f]{8})\+(\S+)", text.strip())
    raw = unbase64(match[3]) if match else b""
    if match is None or raw[:1] != b"\x01" or len(raw) != 33:  # noqa: PLR2004 - algorithm byte and key
        raise Unreadable("this is no Ed25519 verifier key (name+id+key)")
    key_id = hashlib.sha256(match[1].encode() + b"\n" + raw).digest()[:4]
    if key_id.hex() != match[2]:
        raise Unreadable("the key's id does not fit its name and key")
    return Key(match[1], key_id, raw[1:])


def read_checkpoint(note: str, keys: list[Key]) -> Checkpoint:
    """Read a signed checkpoint; it must be signed by one of the keys under the checkpoint's own origin."""
    text, blank, signatures = note.rpartition("\n\n")
    match = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]{0,17})\n([A-Za-z0-9+/=]+)", text)
    if not blank or match is None or len(unbase64(match[3])) != hashlib.sha256().digest_size:
        raise Unreadable("this is no checkpoint")
    message, origin = (text + "\n").encode(), match[1]
    mine = [key for key in keys if key.name == origin]
    if not any(signed_by(key, message, signatures) for key in mine):
        raise Tampered(f"the checkpoint of {origin} at {match[2]} is not signed by the key")
    return Checkpoint(origin, int(match[2]), unbase64(match[3]))


def signed_by(key: Key, message: bytes, signatures: str) -> bool:
    """Tell whether one of the signature lines is this key's and right."""
    rows = [row.removeprefix(f"\u2014 {key.name} ") for row in signatures.split("\n") if row]
    found = [unbase64(row) for row in rows if re.fullmatch("[A-Za-z0-9+/=]+", row)]
    return any(raw[:4] == key.key_id and ed25519_verifies(key.public, raw[4:], message) for raw in found)


# --- the export ---------------------------------------------------------------------------------------------------


@dataclass
class Trail:
    """What is known of an export before its entries are read; `held` checkpoints were kept aside, `own` is inside."""

    origin: str
    size: int
    own: Checkpoint | None
    held: list[Checkpoint]

    def promised(self) -> dict[int, bytes]:
        """Give the promised root by size; two promises that differ are a fault in themselves."""
        roots: dict[int, bytes] = {}
        for each in [*self.held, *([self.own] if self.own else [])]:
            if each.origin != self.origin:
                raise Unreadable(f"the checkpoint is of {each.origin}, the export of {self.origin}")
            if roots.setdefault(each.size, each.root) != each.root:
                raise Tampered(f"rewritten: two signed checkpoints at {each.size} contradict each other")
        return roots


def rows_of(source: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Read one JSON object a line."""
    for number, raw in enumerate(source, 1):
        try:
            value = json.loads(raw)
        except ValueError as error:
            raise Unreadable(f"line {number} is not JSON") from error
        if not isinstance(value, dict):
            raise Unreadable(f"line {number} is no JSON object")
        yield value


def verify(source: Iterable[bytes], held: list[Checkpoint], keys: list[Key]) -> str | None:
    """Check a whole export and say what is proven, None if it only agrees with itself."""
    rows = rows_of(source)
    header = next(rows, {})
    if header.get("regent_export") != 1 or not isinstance(header.get("size"), int):
        raise Unreadable("the first line is not the header of an export of version 1")
    own = read_checkpoint(header["checkpoint"], keys) if header.get("checkpoint") and keys else None
    trail = Trail(str(header.get("origin")), header["size"], own, held)
    return (verify_proofs if header.get("proofs") else verify_all)(entries(rows), trail)


def verify_all(rows: Iterator[dict[str, Any]], trail: Trail) -> str | None:
    """Check an export of all entries: build the tree and meet each checkpoint at its size."""
    tree, fitting, promised = Tree(), 0, trail.promised()
    for row in rows:
        if row["seq"] != tree.size:
            raise Tampered(f"out of order: entry {tree.size} was expected, entry {row['seq']} came")
        tree.append(checked_leaf(row))
        if tree.size in promised:
            if promised[tree.size] != tree.root():
                raise Tampered(f"rewritten: an entry from {fitting} to {tree.size - 1} is not what was promised")
            fitting = tree.size
    ahead = max((trail.size, *promised))
    if ahead > tree.size:
        raise Tampered(f"cut: entries {tree.size} to {ahead - 1} are missing")
    proven = max((each.size for each in trail.held), default=0)
    return f"of {tree.size} entries the first {proven} are what the checkpoint promised" if proven else None


def verify_proofs(rows: Iterator[dict[str, Any]], trail: Trail) -> str | None:
    """Check an export of some entries: each one's proof must lead to the checkpoint's root."""
    root, count, last = trail.promised().get(trail.size), 0, -1
    if trail.held and trail.size not in [each.size for each in trail.held]:
        raise Unreadable(f"the proofs are against size {trail.size}; no checkpoint of that size was given")
    for row in rows:
        if not isinstance(row["seq"], int) or not last < row["seq"] < trail.size:
            raise Tampered(f"out of order: entry {row['seq']} came after entry {last}")
        last, count = row["seq"], count + 1
        led = root_by_path(checked_leaf(row), last, trail.size, [bytes.fromhex(node) for node in row["proof"]])
        root = root or led
        if led is None or led != root:
            raise Tampered(f"edited: entry {last} is not in the promised tree")
    return f"all {count} entries are in the tree of {trail.size} that the checkpoint promised" if trail.held else None


def entries(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give the entries up to the last line, which counts them."""
    count = 0
    for row in rows:
        if row.get("end"):
            if row.get("entries") != count:
                raise Tampered(f"cut: the last line counts {row.get('entries')} entries, the file has {count}")
            return
        yield row
        count += 1
    raise Tampered(f"cut: the file ends after {count} entries without its last line")


def checked_leaf(row: dict[str, Any]) -> bytes:
    """Hash an entry's body and compare with the hash beside it."""
    hashed = leaf(unbase64(row["body"]))
    if hashed.hex() != row["leaf_hash"]:
        raise Tampered(f"edited: entry {row['seq']} is not what was received")
    return hashed


# --- the command --------------------------------------------------------------------------------------------------


def options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="the exported trail (NDJSON)")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[], help="a checkpoint kept aside")
    parser.add_argument("--key", action="append", default=[], help="a verifier key, or a file that holds one")
    return parser.parse_args(arguments)


def run(chosen: argparse.Namespace) -> str | None:
    """Read what the command line names and verify."""
    keys = [read_key(Path(text).read_text("utf-8") if Path(text).is_file() else text) for text in chosen.key]
    if chosen.checkpoint and not keys:
        raise Unreadable("a checkpoint can only be trusted with its key: give --key")
    held = [read_checkpoint(path.read_text("utf-8"), keys) for path in chosen.checkpoint]
    with chosen.export.open("rb") as source:
        return verify(source, held, keys)


def main(arguments: list[str] | None = None, say: Callable[[str], None] = print) -> int:
    """Verify and say what was found; returns the exit status."""
    try:
        proof = run(options(arguments))
    except Tampered as found:
        say(f"TAMPERED  {found}")
        return TAMPERED
    except (Unreadable, OSError, KeyError, TypeError, ValueError) as error:
        say(f"UNREADABLE  {type(error).__name__}: {error}")
        return UNREADABLE
    if proof:
        say(f"PROVEN  {proof}")
        return PROVEN
    say("CONSISTENT ONLY  the entries agree with each other.")
    say("No checkpoint kept aside was given: a careful rewrite of everything would look the same.")
    return UNPROVEN


if __name__ == "__main__":
    sys.exit(main())
