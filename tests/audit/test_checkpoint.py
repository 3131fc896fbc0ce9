"""Signed checkpoints, held against the published example of signed notes and against every kind of damage."""

from base64 import b64encode
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.audit.checkpoint import (
    BadCheckpointError,
    Checkpoint,
    origin_of,
    parse,
    parse_key,
    sign,
    verifier_key,
    verify,
)

TENANT = UUID("0197f5a2-7a10-7cc1-8b0e-5b5c7a3d9e01")
ORIGIN = origin_of(TENANT)
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = verifier_key(PRIVATE, ORIGIN)
CHECKPOINT = Checkpoint(ORIGIN, 42, bytes(range(32)))
NOTE = sign(CHECKPOINT, PRIVATE)

PUBLISHED_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PUBLISHED_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_form() -> None:
    """A checkpoint is origin, size, root, a blank line and one signature line (S39)."""
    lines = NOTE.split("\n")
    assert lines[:4] == [f"regent/{TENANT}", "42", b64encode(bytes(range(32))).decode(), ""]
    assert lines[4].startswith(f"\u2014 regent/{TENANT} ")
    assert lines[5:] == [""]


def test_round_trip() -> None:
    """What was signed is read back, with the signature checked or not."""
    assert verify(NOTE, KEY) == parse(NOTE) == CHECKPOINT


def test_signing_is_deterministic() -> None:
    """The same checkpoint signed twice is the same text, so that writing it again changes nothing."""
    assert sign(CHECKPOINT, PRIVATE) == NOTE


def test_published_key() -> None:
    """The key of the published example is read and written back to the letter."""
    key = parse_key(PUBLISHED_KEY)
    assert key.name == "PeterNeumann"
    assert key.text() == PUBLISHED_KEY


def test_published_signature() -> None:
    """The published example's signature fits: what is refused is only that its text is no checkpoint."""
    with pytest.raises(BadCheckpointError, match="three lines"):
        verify(PUBLISHED_NOTE, parse_key(PUBLISHED_KEY))
    with pytest.raises(BadCheckpointError, match="does not fit"):
        verify(PUBLISHED_NOTE.replace("problem is", "problem was"), parse_key(PUBLISHED_KEY))


def test_key_round_trip() -> None:
    """A verifier key survives being written and read."""
    assert parse_key(KEY.text()) == KEY


@pytest.mark.parametrize(
    "text",
    ["", "name", "name+00000000", "name+00000000+AQ==", KEY.text()[:-4], KEY.text().replace("regent", "regend")],
)
def test_bad_keys(text: str) -> None:
    """A key with a wrong form, or whose id does not fit its name, is refused."""
    with pytest.raises(BadCheckpointError):
        parse_key(text)


def test_another_key() -> None:
    """A checkpoint that only a stranger signed is refused (S39)."""
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    with pytest.raises(BadCheckpointError, match="none of the known keys"):
        verify(sign(CHECKPOINT, stranger), KEY)


def test_witnesses_are_passed_over() -> None:
    """A signature of an unknown key beside ours does not disturb."""
    witness = "\u2014 witness.example AAAAAAAA" + "A" * 83 + "=\n"
    assert verify(NOTE + witness, KEY) == CHECKPOINT


def test_old_and_new_key() -> None:
    """After a rotation a checkpoint of the old key still verifies when both keys are known."""
    newer = verifier_key(Ed25519PrivateKey.from_private_bytes(bytes(32)), ORIGIN)
    assert verify(NOTE, newer, KEY) == CHECKPOINT


@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_any_changed_character(position: int, character: str) -> None:
    """No checkpoint with one character changed is accepted as something else (S39)."""
    changed = NOTE[:position] + character + NOTE[position + 1 :]
    try:
        accepted = verify(changed, KEY)
    except BadCheckpointError:
        return
    assert accepted == CHECKPOINT
    assert changed == NOTE


@given(st.text())
def test_nonsense(text: str) -> None:
    """Text that is no note is refused with its own error, never with another."""
    with pytest.raises(BadCheckpointError):
        verify(text, KEY)


ROOT = b64encode(bytes(range(32))).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n042\n{ROOT}\n",
        f"{ORIGIN}\n-1\n{ROOT}\n",
        f"{ORIGIN}\n+1\n{ROOT}\n",
        f"{ORIGIN}\n\uff11\n{ROOT}\n",
        f"{ORIGIN}\n{10**18}\n{ROOT}\n",
        f"{ORIGIN}\n42\n{ROOT[:-4]}\n",
        f"{ORIGIN}\n42\n{ROOT.rstrip('=')}\n",
        f"{ORIGIN}\n42\n{ROOT[:-2]}9=\n",
        f"{ORIGIN}\n42\n{ROOT}\nextension\n",
        f"{ORIGIN}\r\n42\n{ROOT}\n",
        f"\n42\n{ROOT}\n",
        f"{ORIGIN}\n42\n",
    ],
)
def test_strictness(text: str) -> None:
    """Every other way to write a size, a root or a line is refused, even when it is signed."""
    signature = b64encode(KEY.key_id + PRIVATE.sign(text.encode())).decode()
    with pytest.raises(BadCheckpointError):
        verify(f"{text}\n\u2014 {ORIGIN} {signature}\n", KEY)


@pytest.mark.parametrize(
    "note",
    [
        NOTE[:-1],
        NOTE + "\n",
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\u2014", "-"),
        NOTE + "x" * 20_000,
        NOTE + "\ud800",
    ],
)
def test_damaged_notes(note: str) -> None:
    """A note without its last line end, blank line or dash, or one too long, is refused."""
    with pytest.raises(BadCheckpointError):
        verify(note, KEY)


def test_too_many_signatures() -> None:
    """A note with more signatures than any honest one is refused before they are looked at."""
    line = NOTE.split("\n")[4] + "\n"
    with pytest.raises(BadCheckpointError, match="at most"):
        verify(NOTE + line * 100, KEY)
