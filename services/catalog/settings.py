from pydantic import Field, SecretStr

from libs.common.crypto.rings import KeyringSettings


class Settings(KeyringSettings):
    """What catalog needs beside the common settings."""

    keeper_database_url: SecretStr = Field(
        description="PostgreSQL URL of the role that wraps data keys anew when the key ring turns"
    )
    lease_seconds: int = Field(default=300, ge=10, le=300, description="life of lent credentials")
