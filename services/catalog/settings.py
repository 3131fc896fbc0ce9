from pydantic import Field, SecretStr

from libs.common.crypto.rings import KeyringSettings


class Settings(KeyringSettings):
    """What catalog needs beside the common settings."""

    keeper_database_url: SecretStr = Field(
        description="PostgreSQL URL of the role that wraps data keys anew when the key ring turns"
    )
    credential_lease_seconds: int = Field(default=300, ge=10, le=300, description="life of lent credentials")
    lease_seconds: int | None = Field(
        default=None,
        ge=10,
        le=300,
        description="the earlier name of `REGENT_CREDENTIAL_LEASE_SECONDS`: counts where that is not set, with a warning",
    )

    @property
    def lent_seconds(self) -> int:
        """The life of lent credentials, by whichever name it was given."""
        if self.lease_seconds is None or "credential_lease_seconds" in self.model_fields_set:
            return self.credential_lease_seconds
        return self.lease_seconds
