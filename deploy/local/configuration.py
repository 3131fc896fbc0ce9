"""What the operator of one machine may choose, read once from the environment."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from libs.common.bus.topology import TOPOLOGY
from libs.common.settings import SettingsError

SERVICES = tuple(service.name for service in TOPOLOGY.services)
DEFAULT_PORT = 8080
DEFAULT_SENDER = "Regent <regent@localhost>"
_PASSED_ON = ("CHECKPOINT_SECONDS", "LOG_FORMAT", "LOG_LEVEL", "OTLP_ENDPOINT", "DATABASE_POOL_SIZE", "ISOLATION")
_KMS = ("KMS_ENDPOINT", "KMS_REGION", "KMS_ACCESS_KEY_ID", "KMS_SECRET_ACCESS_KEY", "KMS_SESSION_TOKEN")
_MOST_REPLICAS, _LAST_PORT = 16, 65535
Roots = Mapping[str, Mapping[str, str]]
"""Tenant id, or `*` for every tenant → root name → absolute directory."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One machine's choices; `common` is handed to every service as it is, `kms` to those that keep secrets."""

    data: Path
    port: int = DEFAULT_PORT
    host: str = "127.0.0.1"
    replicas: Mapping[str, int] = field(default_factory=dict)
    source_roots: Roots = field(default_factory=dict)
    destination_roots: Roots = field(default_factory=dict)
    outbound_allow: tuple[str, ...] = ()
    smtp_url: str | None = field(default=None, repr=False)
    mail_from: str = DEFAULT_SENDER
    kms: Mapping[str, str] = field(default_factory=dict, repr=False)
    common: Mapping[str, str] = field(default_factory=dict)

    @property
    def public_url(self) -> str:
        """The gateway's URL as users on this machine see it; also the issuer of tokens."""
        return f"http://localhost:{self.port}"

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read `REGENT_DATA`, `REGENT_PORT`, `REGENT_BIND`, `REGENT_REPLICAS_<SERVICE>` and the runner's permissions.

        Raises:
            SettingsError: a value is wrong; says which.
        """
        source = os.environ if environ is None else environ
        return cls(
            data=Path(source.get("REGENT_DATA", ".regent")).absolute(),
            port=_number(source, "REGENT_PORT", DEFAULT_PORT, _LAST_PORT),
            host=source.get("REGENT_BIND", "127.0.0.1"),
            replicas={name: _number(source, f"REGENT_REPLICAS_{name.upper()}", 1, _MOST_REPLICAS) for name in SERVICES},
            source_roots=_roots(source, "REGENT_SOURCE_ROOTS"),
            destination_roots=_roots(source, "REGENT_DESTINATION_ROOTS"),
            outbound_allow=tuple(part for part in source.get("REGENT_OUTBOUND_ALLOW", "").split(",") if part.strip()),
            smtp_url=source.get("REGENT_SMTP_URL"),
            mail_from=source.get("REGENT_MAIL_FROM", DEFAULT_SENDER),
            kms={
                name: source[name]
                for variable in _KMS
                for name in (f"REGENT_{variable}", f"REGENT_{variable}_FILE")
                if name in source
            },
            common={f"REGENT_{name}": source[f"REGENT_{name}"] for name in _PASSED_ON if f"REGENT_{name}" in source},
        )


def _number(source: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = source.get(name, str(default))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise SettingsError(f"configuration: {name} is {text!r}, but must be a whole number from 1 to {most}")
    return int(text)


def _roots(source: Mapping[str, str], name: str) -> Roots:
    """Read a JSON file of roots: `{"<tenant id or *>": {"<root name>": "/absolute/directory"}}`."""
    if name not in source:
        return {}
    try:
        content: Any = json.loads(Path(source[name]).read_text(encoding="utf-8"))
        roots = {str(tenant): {str(k): str(v) for k, v in named.items()} for tenant, named in content.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise SettingsError(f"configuration: {name} names {source[name]}, which cannot be read: {error}") from None
    relative = [path for named in roots.values() for path in named.values() if not Path(path).is_absolute()]
    if relative:
        raise SettingsError(f"configuration: {name}: {relative[0]!r} is not an absolute path")
    return roots
