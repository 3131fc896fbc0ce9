"""Configuration is a value, read once, by `main`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

PREFIX = "REGENT_"


class SettingsError(SystemExit):
    """Configuration is missing or wrong; the process ends with the message."""


class FromEnvironment(BaseModel):
    """Values that the environment gives.

    A field `database_url` is read from `REGENT_DATABASE_URL`, or from the file that `REGENT_DATABASE_URL_FILE` names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from the environment.

        Raises:
            SettingsError: a name is missing or a value is wrong; says which.
        """
        source = os.environ if environ is None else environ
        values = {name: value for name in cls.model_fields if (value := _read(source, name)) is not None}
        try:
            return cls(**values)
        except ValidationError as error:
            raise SettingsError("configuration: " + "; ".join(_explain(error))) from None


class Settings(FromEnvironment):
    """What every service needs to know."""

    database_url: SecretStr = Field(description="PostgreSQL URL of the service's server role")
    relay_database_url: SecretStr = Field(
        description="PostgreSQL URL of the outbox relay's role; a direct connection, not a transaction pooler"
    )
    database_pool_size: int = Field(default=10, ge=1, le=200, description="connections per process")
    database_acquire_seconds: float = Field(
        default=2.0, gt=0, le=60, description="wait for a free connection before answering 503"
    )
    database_transaction_pooler: bool = Field(
        default=False, description="true behind PgBouncer in transaction mode: no prepared statements are kept"
    )
    nats_url: str = Field(description="NATS server URLs, separated by commas")
    nkey_seed_file: Path = Field(description="file with the service's NATS nkey seed")
    objects: str = Field(description="object store URL: file:///directory or s3://bucket/prefix")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    listen_port: int = Field(ge=1, le=65535, description="port to listen on")
    public_url: str = Field(description="URL of the gateway as users see it; the token issuer")
    log_format: Literal["json", "console"] = Field(default="json", description="log lines as JSON or for people")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="lowest level logged")
    otlp_endpoint: str | None = Field(default=None, description="OTLP/HTTP endpoint for traces; none: no export")


def _read(environ: Mapping[str, str], name: str) -> Any:
    variable = PREFIX + name.upper()
    file = environ.get(f"{variable}_FILE")
    if variable in environ and file:
        raise SettingsError(f"configuration: {variable} and {variable}_FILE are both set; which counts cannot be told")
    if variable in environ:
        return environ[variable]
    # `nkey_seed_file` is itself a path: its variable ends in _FILE and is read above
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"configuration: {variable}_FILE names {file}, which cannot be read: {error}") from None


def _explain(error: ValidationError) -> list[str]:
    return [f"{PREFIX}{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()]


def refuse_key_ring(environ: Mapping[str, str] | None = None) -> None:
    """Stop a service that keeps no secrets when it was handed a key ring.

    Raises:
        SettingsError: `REGENT_KEYRING` or `REGENT_KEYRING_FILE` is set.
    """
    source = os.environ if environ is None else environ
    held = [name for name in (f"{PREFIX}KEYRING", f"{PREFIX}KEYRING_FILE") if name in source]
    if held:
        raise SettingsError(f"configuration: {held[0]} is set, but this service keeps no secrets and must hold no key")
