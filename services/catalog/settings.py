from pydantic import Field, SecretStr

from libs.common.settings import Settings as CommonSettings


class Settings(CommonSettings):
    """What catalog needs beside the common settings."""

    keyring: SecretStr = Field(description='key ring for secrets at rest: {"active": id, "keys": {id: base64}}')
    lease_seconds: int = Field(default=300, ge=10, le=300, description="life of lent credentials")
