"""The stand-alone verifier: its arithmetic, its verdicts, its exit statuses, and that it agrees with the service's."""

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.verify import regent_verify as offline
from services.audit.checkpoint import Checkpoint, sign
from services.audit.tree import inclusion_path, leaf_hash, perfect_root, resolve
from services.audit.verification import Mark, Verification
from tests.audit.trails import KEY, ORIGIN, PRIVATE, Row, checkpoint, export, honest, note, rows_of

SCRIPT = Path(offline.__file__)
KEYS = [offline.read_key(KEY.text())]


def run(tmp_path: Path, lines: list[bytes], *notes: str, key: str = KEY.text()) -> tuple[int, str]:
    (tmp_path / "trail.ndjson").write_bytes(b"".join(lines))
    arguments = [str(tmp_path / "trail.ndjson"), "--key", key]
    for number, text in enumerate(notes):
        (tmp_path / f"{number}.note").write_text(text)
        arguments += ["--checkpoint", str(tmp_path / f"{number}.note")]
    said: list[str] = []
    return offline.main(arguments, said.append), "\n".join(said)


def tampered(rows: list[Row], change: Callable[[list[bytes]], None]) -> list[Row]:
    bodies = [row.body for row in rows]
    change(bodies)
    return rows_of(bodies)


def test_proven(tmp_path: Path) -> None:
    """An untouched export against a held checkpoint is proven: status 0 (S39)."""
    rows = honest(300)
    code, said = run(tmp_path, export(rows), note(rows, 257))
    assert code == 0
    assert "first 257" in said


def test_no_checkpoint(tmp_path: Path) -> None:
    """Without a checkpoint kept aside it says that nothing more than agreement is shown: status 3."""
    code, said = run(tmp_path, export(honest(5)))
    assert code == 3
    assert "rewrite" in said


def test_edited_body(tmp_path: Path) -> None:
    """An edited body is named by its sequence: status 1."""
    rows = honest(5)
    code, said = run(tmp_path, export([*rows[:3], Row(3, rows[3].leaf_hash, b"edited"), rows[4]]), note(rows))
    assert code == 1
    assert "edited: entry 3 " in said


def test_careful_rewrite(tmp_path: Path) -> None:
    """A rewrite that fits itself is bracketed by the held checkpoints: status 1; without them it passes as 3."""
    rows = honest(9)
    forged = tampered(rows, lambda bodies: bodies.__setitem__(5, b"edited"))
    code, said = run(tmp_path, export(forged), note(rows, 4), note(rows, 8))
    assert code == 1
    assert "from 4 to 7" in said
    assert run(tmp_path, export(forged))[0] == 3


def test_cut_tail(tmp_path: Path) -> None:
    """A tail that is missing is counted by the held checkpoint: status 1."""
    rows = honest(9)
    code, said = run(tmp_path, export(rows[:6]), note(rows))
    assert code == 1
    assert "entries 6 to 8 are missing" in said


def test_cut_export(tmp_path: Path) -> None:
    """A file that was cut short is found without a checkpoint."""
    assert run(tmp_path, export(honest(6))[:-1])[0] == 1
    assert run(tmp_path, export(honest(6), size=8))[0] == 1
    lines = export(honest(6))
    assert run(tmp_path, [*lines[:-2], lines[-1]])[0] == 1


def test_displaced_lines(tmp_path: Path) -> None:
    """Lines that changed places are found without a checkpoint, and named."""
    lines = export(honest(6))
    lines[2], lines[3] = lines[3], lines[2]
    code, said = run(tmp_path, lines)
    assert code == 1
    assert "entry 1 was expected, entry 2 came" in said


def test_forged_checkpoint(tmp_path: Path) -> None:
    """A checkpoint of another key, or one that was changed, does not count: status 1."""
    rows = honest(4)
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    assert run(tmp_path, export(rows), sign(checkpoint(rows), stranger))[0] == 1
    assert run(tmp_path, export(rows), note(rows).replace("\n4\n", "\n5\n"))[0] == 1


def test_contradicting_checkpoints(tmp_path: Path) -> None:
    """Two checkpoints of one size that both carry our signature and differ convict us of two histories."""
    rows, other = honest(4), rows_of(b"other %d" % number for number in range(4))
    code, said = run(tmp_path, export(rows), note(rows), note(other))
    assert code == 1
    assert "contradict" in said


def test_own_checkpoint_is_checked(tmp_path: Path) -> None:
    """The checkpoint inside an export must fit its entries, but does not count as kept aside."""
    rows = honest(4)
    for inside, expected in ((note(rows), 3), (note(rows_of([b"a", b"b", b"c", b"d"])), 1)):
        lines = export(rows)
        lines[0] = json.dumps({**json.loads(lines[0]), "checkpoint": inside}).encode() + b"\n"
        assert run(tmp_path, lines)[0] == expected


@pytest.mark.parametrize(
    "lines",
    [[], [b"nonsense\n"], [b"[]\n"], [b"{}\n"], [*export(honest(2))[:1], b'{"seq": 0}\n'], [b"\xff\n"]],
)
def test_unreadable(tmp_path: Path, lines: list[bytes]) -> None:
    """What is no export is status 2, never a traceback."""
    code, said = run(tmp_path, lines)
    assert code == 2
    assert said.startswith("UNREADABLE")


def test_checkpoint_of_another_tenant(tmp_path: Path) -> None:
    """A checkpoint of another tenant's trail is refused, not compared."""
    other = "regent/0197f5a2-7a10-7cc1-8b0e-000000000000"
    foreign = sign(Checkpoint(other, 1, bytes(32)), PRIVATE)
    assert run(tmp_path, export(honest(2)), foreign)[0] == 1


def partial(rows: list[Row], chosen: list[int], size: int) -> list[bytes]:
    leaves = [row.leaf_hash for row in rows]
    lines: list[dict[str, object]] = [
        {"regent_export": 1, "origin": ORIGIN, "size": size, "proofs": True, "checkpoint": note(rows, size)}
    ]
    for seq in chosen:
        proof = resolve(
            inclusion_path(seq, size),
            lambda part: perfect_root(leaves[part.index << part.level : (part.index + 1) << part.level]),
        )
        row = rows[seq]
        lines.append(
            {
                "seq": seq,
                "leaf_hash": row.leaf_hash.hex(),
                "body": b64encode(row.body).decode(),
                "proof": [node.hex() for node in proof],
            }
        )
    lines.append({"end": True, "entries": len(chosen)})
    return [json.dumps(line).encode() + b"\n" for line in lines]


def test_partial_export(tmp_path: Path) -> None:
    """Some entries with their proofs are proven against the checkpoint of the size they were proven for."""
    rows = honest(37)
    assert run(tmp_path, partial(rows, [0, 7, 36], 37), note(rows))[0] == 0
    assert run(tmp_path, partial(rows, [0, 7, 36], 37))[0] == 3
    assert run(tmp_path, partial(rows, [0, 7, 36], 37), note(rows, 36))[0] == 2


def test_forged_partial_export(tmp_path: Path) -> None:
    """An entry of a partial export that is not in the promised tree is named."""
    rows = honest(37)
    forged = tampered(rows, lambda bodies: bodies.__setitem__(7, b"edited"))
    lines = partial(rows, [0, 7, 36], 37)
    lines[2] = partial(forged, [7], 37)[1]
    code, said = run(tmp_path, lines, note(rows))
    assert code == 1
    assert "entry 7 " in said


@given(st.binary(max_size=200), st.binary(min_size=32, max_size=32))
@settings(max_examples=15)
def test_ed25519(message: bytes, seed: bytes) -> None:
    """The plain Ed25519 accepts what the library signs and refuses every changed bit it is given."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert offline.ed25519_verifies(public, signature, message)
    assert not offline.ed25519_verifies(public, signature, message + b"x")
    assert not offline.ed25519_verifies(public, bytes([signature[0] ^ 1]) + signature[1:], message)
    assert not offline.ed25519_verifies(public, signature[:32] + bytes([signature[32] ^ 1]) + signature[33:], message)


def test_ed25519_refuses_malleable_signatures() -> None:
    """A signature whose second half was raised by the group order is refused (RFC 8032 section 5.1.7)."""
    signature = PRIVATE.sign(b"message")
    raised = int.from_bytes(signature[32:], "little") + offline.L
    assert not offline.ed25519_verifies(KEY.public, signature[:32] + raised.to_bytes(32, "little"), b"message")


@given(st.integers(1, 30), st.data())
def test_agrees_with_the_service(size: int, data: st.DataObject) -> None:
    """Whatever is done to a trail, the stand-alone verifier and the service come to the same conclusion."""
    rows = honest(size)
    kept = data.draw(st.none() | st.integers(1, size))
    at, how = (
        data.draw(st.integers(0, size - 1)),
        data.draw(st.sampled_from(["none", "body", "both", "cut", "drop", "swap"])),
    )
    forged = [*rows]
    if how in ("body", "both"):
        forged[at] = Row(at, leaf_hash(b"edited") if how == "both" else rows[at].leaf_hash, b"edited")
    if how == "cut":
        forged = forged[:at]
    if how == "drop":
        forged = forged[:at] + forged[at + 1 :]
    if how == "swap":
        forged[at], forged[0] = forged[0], forged[at]
    verification = Verification([Mark(checkpoint(rows, kept), held=True)] if kept else [])
    for row in forged:
        verification.feed(row.seq, row.leaf_hash, row.body)
    ours = verification.verdict()
    held = [offline.read_checkpoint(note(rows, kept), KEYS)] if kept else []
    try:
        theirs = offline.verify(iter(export(forged)), held, KEYS)
    except offline.Tampered:
        assert not ours.good
    else:
        assert ours.good
        assert bool(theirs) == bool(ours.proven_size)


def test_runs_alone(tmp_path: Path) -> None:
    """The script runs by itself in an isolated interpreter, with nothing but the standard library."""
    rows = honest(3)
    (tmp_path / "trail.ndjson").write_bytes(b"".join(export(rows)))
    (tmp_path / "kept.note").write_text(note(rows))
    (tmp_path / "key").write_text(KEY.text() + "\n")
    command = [sys.executable, "-I", "-S", str(SCRIPT), "trail.ndjson", "--key", "key", "--checkpoint", "kept.note"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603 - our own script
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("PROVEN")
