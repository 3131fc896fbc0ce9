"""The page that lists every environment variable."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from deploy.local.configuration import DEFAULT_PORT, DEFAULT_SENDER
from docs.services import SERVICES, settings
from libs.common.settings import PREFIX, Settings

# What `make up` and `make demo` read; a test compares the names with the launcher's source.
LAUNCHER: Mapping[str, tuple[str, str]] = {
    "REGENT_DATA": (".regent", "directory of everything that stays: databases, streams, objects, secrets, logs"),
    "REGENT_PORT": (str(DEFAULT_PORT), "the gateway's port, the only one for the outside"),
    "REGENT_BIND": ("127.0.0.1", "the gateway's address"),
    "REGENT_REPLICAS_<SERVICE>": ("1", "processes of a service, at most 16: `REGENT_REPLICAS_RUNNER=2`"),
    "REGENT_SOURCE_ROOTS": ("none", "JSON file of directories that file connectors may read: tenant id or `*` → name → absolute path"),
    "REGENT_DESTINATION_ROOTS": ("none", "the same for directories that may be delivered to"),
    "REGENT_OUTBOUND_ALLOW": ("none", "`host:port` entries, separated by commas, that may be reached whatever their address"),
    "REGENT_KMS_ENDPOINT": ("none", "handed to auth, catalog and audit: the KMS that wraps their rings' keys"),
    "REGENT_KMS_REGION": ("eu-central-1", "handed to the same three"),
    "REGENT_KMS_ACCESS_KEY_ID": ("none", "handed to the same three"),
    "REGENT_KMS_SECRET_ACCESS_KEY": ("none", "handed to the same three, or its `_FILE`"),
    "REGENT_KMS_SESSION_TOKEN": ("none", "handed to the same three, or its `_FILE`"),
    "REGENT_SMTP_URL": ("the machine's mailbox", "handed to auth; without it mail is kept in `REGENT_DATA`: `regent mail list`"),
    "REGENT_MAIL_FROM": (DEFAULT_SENDER, "handed to auth"),
    "REGENT_LOG_FORMAT": ("json", "handed to every service"),
    "REGENT_LOG_LEVEL": ("info", "handed to every service"),
    "REGENT_OTLP_ENDPOINT": ("none", "handed to every service"),
    "REGENT_DATABASE_POOL_SIZE": ("10", "handed to every service"),
    "REGENT_CHECKPOINT_SECONDS": ("60", "handed to audit"),
}  # fmt: skip
_HEAD = """\
# Configuration

Written by `make docs` from the code; do not edit.

A process reads environment variables once, when it starts; a missing or wrong one stops it with a sentence that names
it. Every variable may instead be given as `<NAME>_FILE`, the path of a file that holds the value; for those marked
*secret* that is the better way. A variable without a default must be set.

Services that keep secrets (auth, catalog, audit) need a key ring. The others refuse to start when they are given one.
"""


def configuration_page() -> str:
    """Return the page."""
    parts = [
        _HEAD,
        "## The launcher: `make up`, `make demo`\n",
        *_launcher(),
        "\n## Every service\n",
        *_table(Settings.model_fields),
    ]
    for service in SERVICES:
        own = {
            name: field for name, field in settings(service).model_fields.items() if name not in Settings.model_fields
        }
        parts += [f"\n## {service}\n", *_table(own)] if own else [f"\n## {service}\n", "Nothing beside the above.\n"]
    return "\n".join(parts)


def _launcher() -> Iterator[str]:
    yield "| variable | default | meaning |\n| --- | --- | --- |"
    yield from (f"| `{name}` | {_shown(default)} | {meaning} |" for name, (default, meaning) in LAUNCHER.items())


def _table(fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    yield "| variable | default | meaning |\n| --- | --- | --- |"
    yield from (_row(name, field) for name, field in fields.items())


def _row(name: str, field: FieldInfo) -> str:
    secret = " *(secret)*" if "SecretStr" in str(field.annotation) else ""
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{PREFIX}{name.upper()}` | {_default(field)} | {meaning}{_bounds(field)}{secret} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be set"
    value: Any = field.default
    if value is None or value == "":
        return "none"
    return _shown(str(value).lower() if isinstance(value, bool) else str(value))


def _shown(default: str) -> str:
    return default if default == "none" else f"`{default}`"


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {value}"
        for part in field.metadata
        for name, sign in signs.items()
        if (value := getattr(part, name, None)) is not None
    ]
    return f" ({', '.join(found)})" if found else ""
