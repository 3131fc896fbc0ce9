"""Ring keys that a KMS wrapped: made there, opened at start, bound to their service and id (S8)."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from deploy.cli import rings
from libs.common.crypto.keyring import KeyRing, Place
from libs.common.crypto.kms import Kms, place
from libs.common.crypto.rings import KmsSettings
from libs.common.settings import SettingsError
from tests.common.kms import ACCESS_KEY, REGION, SECRET, StandIn, serving

MASTER = "alias/regent"


@pytest.fixture
def kms() -> Iterator[StandIn]:
    with serving() as running:
        yield running


def settings(kms: StandIn, **changed: Any) -> KmsSettings:
    values: dict[str, Any] = {
        "kms_endpoint": kms.url,
        "kms_region": REGION,
        "kms_access_key_id": ACCESS_KEY,
        "kms_secret_access_key": SecretStr(SECRET),
    }
    return KmsSettings(**{**values, **changed})


def client(kms: StandIn) -> Kms:
    return Kms(kms.url, REGION, ACCESS_KEY, SECRET)


def wrapped_ring(kms: StandIn, service: str = "catalog") -> str:
    blob = client(kms).generate(MASTER, place(service, "k1"))
    return json.dumps({"active": "k1", "keys": {"k1": {"kms": MASTER, "wrapped": base64.b64encode(blob).decode()}}})


def test_a_wrapped_ring_seals_and_opens(kms: StandIn) -> None:
    """A key that was made in the KMS and never shown opens what it sealed, at the next start too (S8)."""
    text, tenant = wrapped_ring(kms), uuid4()
    ring = settings(kms).open_ring(text, "catalog")
    key, spot = ring.new_data_key(tenant), Place(tenant, "secret", "sealed", "1")
    sealed = ring.seal(key, spot, b"hush")
    assert settings(kms).open_ring(text, "catalog").open(key, spot, sealed) == b"hush"


def test_the_kms_is_told_what_a_key_is_for(kms: StandIn) -> None:
    """Each request names service and key as encryption context, for the KMS's policy and trail."""
    settings(kms).open_ring(wrapped_ring(kms), "catalog")
    assert {operation for operation, _ in kms.asked} == {"GenerateDataKeyWithoutPlaintext", "Decrypt"}
    assert all(
        asked["EncryptionContext"] == {"regent:service": "catalog", "regent:key": "k1"} for _, asked in kms.asked
    )


def test_another_services_key_does_not_open(kms: StandIn) -> None:
    """A wrapped key moved to another service's ring is refused by name (S8)."""
    with pytest.raises(SettingsError, match=r"REGENT_KEYRING holds key 'k1', which the KMS .* InvalidCiphertext"):
        settings(kms).open_ring(wrapped_ring(kms, "auth"), "catalog")


def test_a_plain_key_can_be_brought_under_the_kms(kms: StandIn) -> None:
    """What a plain ring sealed opens when the same key is wrapped by the KMS."""
    plain = bytes(reversed(base64.b64decode("q6vK0mM1c2vWQ0pYy8x4bq1nUO7hP5sR9tA3fZJdLkE=")))
    blob = base64.b64encode(client(kms).encrypt(MASTER, plain, place("auth", "k1"))).decode()
    before = KeyRing.parse(json.dumps({"active": "k1", "keys": {"k1": base64.b64encode(plain).decode()}}))
    text = json.dumps({"active": "k1", "keys": {"k1": {"kms": MASTER, "wrapped": blob}}})
    assert settings(kms).open_ring(text, "auth").contradicts(before) == []


def test_a_failing_kms_is_asked_again(kms: StandIn) -> None:
    """Two internal errors are waited for; the start goes on."""
    text = wrapped_ring(kms)
    kms.failing = 2
    assert settings(kms).open_ring(text, "catalog").ids() == {"k1"}


def test_a_lost_master_key_is_named(kms: StandIn) -> None:
    """The message names variable, key and the KMS's own fault, and shows no secret (S8)."""
    text = wrapped_ring(kms)
    kms.masters.clear()
    with pytest.raises(SettingsError) as refusal:
        settings(kms).open_ring(text, "catalog")
    said = str(refusal.value)
    assert "REGENT_KEYRING holds key 'k1'" in said
    assert "NotFoundException" in said
    assert SECRET not in said
    assert json.loads(text)["keys"]["k1"]["wrapped"] not in said


def test_a_wrong_secret_is_refused_by_the_kms(kms: StandIn) -> None:
    """Requests are signed: with another secret nothing opens."""
    with pytest.raises(SettingsError, match="IncompleteSignatureException"):
        settings(kms, kms_secret_access_key=SecretStr("another")).open_ring(wrapped_ring(kms), "catalog")


def test_a_kms_that_is_away_is_named(kms: StandIn) -> None:
    """An endpoint where nobody listens is said plainly, after a few tries."""
    text = wrapped_ring(kms)
    with pytest.raises(SettingsError, match="does not answer"):
        settings(kms, kms_endpoint="http://127.0.0.1:1").open_ring(text, "catalog")


def test_who_asks_must_be_given(kms: StandIn) -> None:
    """A KMS without credentials stops the start with the variables' names."""
    with pytest.raises(SettingsError, match="REGENT_KMS_ACCESS_KEY_ID"):
        settings(kms, kms_access_key_id=None).open_ring(wrapped_ring(kms), "catalog")


def test_generate_never_sees_the_key(kms: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """`regent keys generate --kms` writes a ring that holds nothing but what the KMS wrapped."""
    for name, value in (("ENDPOINT", kms.url), ("REGION", REGION), ("ACCESS_KEY_ID", ACCESS_KEY)):
        monkeypatch.setenv(f"REGENT_KMS_{name}", value)
    monkeypatch.setenv("REGENT_KMS_SECRET_ACCESS_KEY", SECRET)
    text = rings.fresh_ring("audit", MASTER)
    assert settings(kms).open_ring(text, "audit").active == "k1"
    assert "Plaintext" not in str([asked for operation, asked in kms.asked if operation.startswith("Generate")])
