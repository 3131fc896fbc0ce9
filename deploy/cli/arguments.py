"""Arguments that several commands take."""

from uuid import UUID

from libs.common.ids import SYSTEM_TENANT


def tenant_id(text: str) -> UUID:
    """Read a tenant's id; `system` is the tenant of the platform's operators."""
    return SYSTEM_TENANT if text == "system" else UUID(text)


def role_names(text: str) -> list[str]:
    """Read names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
