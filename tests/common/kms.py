"""A small KMS over HTTP that speaks AWS's protocol: checks signatures, keeps its master keys, binds the context."""

import base64
import hashlib
import hmac
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ACCESS_KEY, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-test-1"


class RefusedError(Exception):
    """What the KMS answers instead: status and name of the fault."""


@dataclass
class StandIn:
    """The KMS's state: master keys by name, what was asked, how many requests fail before one is answered."""

    masters: dict[str, bytes] = field(default_factory=lambda: {"alias/regent": AESGCM.generate_key(256)})
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failing: int = 0
    url: str = ""

    def stumble(self) -> None:
        """Fail as often as was asked for."""
        if self.failing:
            self.failing -= 1
            raise RefusedError(500, "KMSInternalException")

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Do one operation."""
        self.asked.append((operation, asked))
        master = self.masters.get(asked["KeyId"])
        if master is None:
            raise RefusedError(400, "NotFoundException")
        context = json.dumps(asked.get("EncryptionContext", {}), sort_keys=True).encode()
        if operation == "Decrypt":
            blob = base64.b64decode(asked["CiphertextBlob"])
            try:
                plain = AESGCM(master).decrypt(blob[:12], blob[12:], context)
            except InvalidTag:
                raise RefusedError(400, "InvalidCiphertextException") from None
            return {"KeyId": asked["KeyId"], "Plaintext": base64.b64encode(plain).decode()}
        if operation == "GenerateDataKeyWithoutPlaintext":
            plain = os.urandom(asked["NumberOfBytes"])
        elif operation == "Encrypt":
            plain = base64.b64decode(asked["Plaintext"])
        else:
            raise RefusedError(400, "UnknownOperationException")
        nonce = os.urandom(12)
        blob = nonce + AESGCM(master).encrypt(nonce, plain, context)
        return {"KeyId": asked["KeyId"], "CiphertextBlob": base64.b64encode(blob).decode()}


def require_signature(headers: Any, body: bytes) -> None:
    """Check AWS signature version 4 as its documentation words it, apart from the code under test."""
    scheme, _, rest = headers["Authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    key, day, region, service, ending = parts["Credential"].split("/")
    names = parts["SignedHeaders"].split(";")
    canonical = ["POST", "/", "", *[f"{name}:{headers[name].strip()}" for name in names], "", ";".join(names)]
    request = "\n".join([*canonical, hashlib.sha256(body).hexdigest()]).encode()
    scope = f"{day}/{region}/{service}/{ending}"
    text = "\n".join([scheme, headers["X-Amz-Date"], scope, hashlib.sha256(request).hexdigest()])
    secret = b"AWS4" + SECRET.encode()
    for part in (day, region, service, ending, text):
        secret = hmac.digest(secret, part.encode(), "sha256")
    needed = {"host", "x-amz-date", "x-amz-target"} <= set(names)
    if (key, region, service) != (ACCESS_KEY, REGION, "kms") or not needed or secret.hex() != parts["Signature"]:
        raise RefusedError(400, "IncompleteSignatureException")


@contextmanager
def serving() -> Iterator[StandIn]:
    """Serve a KMS on a loopback port."""
    kms = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = 200, {}
            try:
                require_signature(self.headers, body)
                kms.stumble()
                answer = kms.answer(self.headers["X-Amz-Target"].removeprefix("TrentService."), json.loads(body))
            except RefusedError as refused:
                status, answer = refused.args[0], {"__type": f"com.amazonaws.kms#{refused.args[1]}"}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kms.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kms
        server.shutdown()
