"""A key management service with the API of AWS KMS: it opens the ring's keys at start, and makes new ones.

The ring's keys are wrapped, not the tenants' data keys: the KMS is asked once a start and a key, never by a request, and
its outage stops no running service. The encryption context names service and key, so a wrapped key moved elsewhere does
not open.
"""

import base64
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from libs.common.context import utc_now
from libs.common.crypto.parsing import KEY_BYTES, Unwrap, bad_ring

_TIMEOUT = 5.0
_TRIES = 4
_TYPE = "application/x-amz-json-1.1"
_TRANSIENT = 500
_LONGEST = 1 << 20


class KmsError(Exception):
    """The KMS refuses or does not answer; the text holds the KMS's own name of the fault, never a key."""


class Kms:
    """Speaks to one KMS with one set of credentials (AWS signature version 4)."""

    def __init__(self, endpoint: str, region: str, access_key_id: str, secret: str, token: str | None = None) -> None:
        self._url = urlsplit(endpoint)
        self._region = region
        self._access_key_id = access_key_id
        self._secret = secret
        self._token = token

    def opener(self, service: str) -> Unwrap:
        """Return what opens the wrapped keys of a service's ring; it raises SettingsError where the KMS does not."""

        def unwrap(key_id: str, kms_key: str, wrapped: bytes) -> bytes:
            try:
                return self.decrypt(kms_key, wrapped, place(service, key_id))
            except KmsError as error:
                raise bad_ring(
                    f"holds key {key_id!r}, which the KMS at {self._url.netloc} does not open: {error}"
                ) from None

        return unwrap

    def generate(self, kms_key: str, context: Mapping[str, str]) -> bytes:
        """Have a key made and wrapped; it is not shown to us.

        Raises:
            KmsError: the KMS refuses or does not answer.
        """
        asked = {"KeyId": kms_key, "NumberOfBytes": KEY_BYTES, "EncryptionContext": dict(context)}
        return _bytes(self._call("GenerateDataKeyWithoutPlaintext", asked), "CiphertextBlob")

    def encrypt(self, kms_key: str, plain: bytes, context: Mapping[str, str]) -> bytes:
        """Wrap a key that exists already.

        Raises:
            KmsError: the KMS refuses or does not answer.
        """
        asked = {"KeyId": kms_key, "Plaintext": _text(plain), "EncryptionContext": dict(context)}
        return _bytes(self._call("Encrypt", asked), "CiphertextBlob")

    def decrypt(self, kms_key: str, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Open a wrapped key.

        Raises:
            KmsError: the KMS refuses or does not answer.
        """
        asked = {"KeyId": kms_key, "CiphertextBlob": _text(wrapped), "EncryptionContext": dict(context)}
        return _bytes(self._call("Decrypt", asked), "Plaintext")

    def _call(self, operation: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps(asked).encode()
        for number in range(_TRIES):
            last = number == _TRIES - 1
            try:
                status, content = self._send(operation, body)
            except (OSError, http.client.HTTPException) as error:
                if last:
                    raise KmsError(f"it does not answer ({type(error).__name__})") from None
            else:
                if status < _TRANSIENT or last:
                    return _answer(status, content)
            time.sleep(0.2 * 2**number)  # never on an event loop: rings are opened before it or in a thread
        raise KmsError("it does not answer")

    def _send(self, operation: str, body: bytes) -> tuple[int, bytes]:
        secure = self._url.scheme == "https"
        made = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = made(self._url.hostname or "", self._url.port, timeout=_TIMEOUT)
        try:
            connection.request("POST", "/", body, self._headers(operation, body, utc_now()))
            answer = connection.getresponse()
            return answer.status, answer.read(_LONGEST)
        finally:
            connection.close()

    def _headers(self, operation: str, body: bytes, now: datetime) -> dict[str, str]:
        headers = {
            "content-type": _TYPE,
            "host": self._url.netloc,
            "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
            "x-amz-target": f"TrentService.{operation}",
        }
        if self._token:
            headers["x-amz-security-token"] = self._token
        names = sorted(headers)
        signed = ";".join(names)
        lines = "".join(f"{name}:{headers[name]}\n" for name in names)
        request = f"POST\n/\n\n{lines}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{now:%Y%m%d}/{self._region}/kms/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = hmac.new(self._signing_key(f"{now:%Y%m%d}"), text.encode(), hashlib.sha256).hexdigest()
        credential = f"Credential={self._access_key_id}/{scope}, SignedHeaders={signed}, Signature={signature}"
        return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}"}

    def _signing_key(self, day: str) -> bytes:
        key = f"AWS4{self._secret}".encode()
        for part in (day, self._region, "kms", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key


def place(service: str, key_id: str) -> dict[str, str]:
    """Return the encryption context of a ring's key: what the KMS authenticates, and writes to its own trail."""
    return {"regent:service": service, "regent:key": key_id}


def _answer(status: int, content: bytes) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(content)
        fault = str(answer.get("__type", "")).rpartition("#")[2]
    except (ValueError, AttributeError):
        raise KmsError(f"it answers {status} with what is no JSON object") from None
    if status != http.client.OK:
        raise KmsError(f"it answers {status} {fault[:100]}")
    return answer


def _bytes(answer: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(answer[name], validate=True)
    except (KeyError, TypeError, ValueError):
        raise KmsError(f"its answer has no {name}") from None


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
