"""A loan of credentials is opened by whom it was sealed to, and ends (S25)."""

import base64
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from libs.common.crypto.boxes import seal_box
from services.runner.engines.errors import SourceError
from services.runner.steps.leases import Loan, _open

NOW = datetime(2026, 3, 9, tzinfo=UTC)
PURPOSE = b"lease:tenant:run:extract:connector"


def answer(receiver: X25519PrivateKey, purpose: bytes = PURPOSE) -> dict[str, str]:
    content = {"secret": {"password": "hush"}, "expires": (NOW + timedelta(minutes=5)).isoformat()}
    box = seal_box(receiver.public_key().public_bytes_raw(), orjson.dumps(content), purpose)
    return {"box": base64.b64encode(box).decode()}


def test_a_loan_is_used_until_it_ends() -> None:
    """Before its end the password is there; from then on the step fails in words."""
    key = X25519PrivateKey.generate()
    loan = _open(answer(key), key, PURPOSE)
    assert loan.password(NOW + timedelta(minutes=4)) == "hush"
    with pytest.raises(SourceError, match="ended before the source was read") as refusal:
        loan.password(NOW + timedelta(minutes=5))
    assert not refusal.value.retryable


@pytest.mark.parametrize("purpose", [b"lease:tenant:another:extract:connector", b""])
def test_a_loan_for_another_run_does_not_open(purpose: bytes) -> None:
    """The box is bound to tenant, run, step and connector."""
    key = X25519PrivateKey.generate()
    with pytest.raises(SourceError, match="could not be read"):
        _open(answer(key, purpose), key, PURPOSE)


def test_a_loan_opens_for_nobody_else() -> None:
    """Another key does not open it."""
    with pytest.raises(SourceError, match="could not be read"):
        _open(answer(X25519PrivateKey.generate()), X25519PrivateKey.generate(), PURPOSE)


def test_a_loan_shows_no_secret() -> None:
    """Printed, it names its end only."""
    assert "hush" not in repr(Loan({"password": "hush"}, NOW))
