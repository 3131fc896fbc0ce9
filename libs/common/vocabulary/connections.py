"""Where data comes from and goes to. Secrets are not part of these: they are kept apart, encrypted."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from libs.common.vocabulary.base import Strict

Host = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+$")]
RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f]+$")]


class PostgresConnector(Strict):
    """A PostgreSQL source. The secret is `{"password": ...}`."""

    kind: Literal["postgresql"] = "postgresql"
    host: Host
    port: int = Field(default=5432, ge=1, le=65535)
    database: str = Field(min_length=1, max_length=63)
    user: str = Field(min_length=1, max_length=63)
    tls: Literal["disable", "require", "verify-full"] = "require"
    statement_timeout_seconds: int = Field(default=300, ge=1, le=3600)


class FileConnector(Strict):
    """Files below an operator-declared root of the tenant. `root` is the declared root's name."""

    kind: Literal["file"] = "file"
    root: str = Field(min_length=1, max_length=63)
    path: RelativePath = "."


ConnectorSpec = Annotated[PostgresConnector | FileConnector, Field(discriminator="kind")]


class DirectoryDestination(Strict):
    """A directory below an operator-declared root of the tenant. `root` is the declared root's name."""

    kind: Literal["directory"] = "directory"
    root: str = Field(min_length=1, max_length=63)
    path: RelativePath = "."


DestinationSpec = DirectoryDestination
