"""What auth says. Failed logins of unknown addresses belong to the system tenant; no secret, no address in clear."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from libs.common.events.envelope import Data
from libs.common.events.keyring import KEYRING_EVENTS


class TenantChanged(Data):
    """A tenant came to be, was suspended or resumed."""

    tenant_id: UUID
    name: str
    status: Literal["active", "suspended"]


class UserChanged(Data):
    """A user came to be, changed, was disabled or enabled, was removed or left; what changed, never a password."""

    user_id: UUID
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class RoleChanged(Data):
    """A role came to be, changed or went."""

    role_id: UUID
    name: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class ClientChanged(Data):
    """An OAuth2 client came to be, changed, got another secret or went."""

    client_id: UUID
    name: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class ProviderChanged(Data):
    """An identity provider of the tenant came to be, changed or went; never its secret."""

    provider_id: UUID
    name: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class IdentityLinked(Data):
    """Somebody at an identity provider is, or is no longer, a user here; `how` says on what ground the link came."""

    identity_id: UUID
    provider_id: UUID
    user_id: UUID
    how: Literal["confirmed", "invited", "provisioned"] | None = None


class ClientAuthorized(Data):
    """A user let a client act for them within a scope, or did not."""

    client_id: UUID
    subject: str
    scope: str
    decision: Literal["allowed", "denied"]


class SessionOpened(Data):
    """A login succeeded, or a client got its token."""

    grant_id: UUID
    subject: str
    method: Literal[
        "password", "client_credentials", "refresh_token", "setup", "authorization_code", "device_code", "upstream"
    ]
    address: str | None = None


class LoginFailed(Data):
    """A login or a client authentication failed.

    Who is throttled is told of once a minute: tries that cost nothing would fill the trail otherwise.
    """

    method: Literal["password", "client_credentials", "refresh_token", "client", "upstream"]
    reason: Literal[
        "unknown", "wrong-secret", "locked", "throttled", "disabled", "reused", "expired", "too-weak", "rejected"
    ]
    subject: str | None = None
    address: str | None = None


class FactorChanged(Data):
    """A second factor was enrolled, used, refused or removed, or recovery codes were replaced; never a secret."""

    user_id: UUID
    kind: Literal["totp", "passkey", "recovery_code"]
    factor_id: UUID | None = None


class FactorsReset(Data):
    """An administrator or an operator removed somebody's second factors, recovery codes and password: lost, it was said."""

    user_id: UUID
    factors: int


class PolicyChanged(Data):
    """A tenant asks other things of its people's logins."""

    tenant_id: UUID
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class GrantRevoked(Data):
    """All tokens of a grant are void; tokens issued under it die by `until` on their own."""

    grant_id: UUID
    subject: str
    reason: Literal["logout", "reuse", "disabled", "secret-rotated", "deleted", "suspended", "revoked"]
    until: datetime


class KeyChanged(Data):
    """A signing key was published, became active, or was retired."""

    kid: str
    algorithm: str


class MailSettled(Data):
    """A mail was taken by the mail server, or was given up: `reason` says why."""

    mail_id: UUID
    template: str
    attempts: int
    reason: str | None = None


class LinkRequested(Data):
    """Somebody asked for a link by mail; `subject` is a keyed hash of the address, whether it has an account or not."""

    purpose: Literal["signup", "reset", "email"]
    subject: str
    address: str | None = None


class AccountChanged(Data):
    """A person got another password or another address; said in each of their tenants."""

    user_id: UUID


class InvitationChanged(Data):
    """Somebody was invited, came, or is no longer invited; `user_id` is who came."""

    invitation_id: UUID
    roles: list[str]
    user_id: UUID | None = None


EVENTS: dict[str, type[Data]] = {
    **KEYRING_EVENTS,
    "tenant.created": TenantChanged,
    "tenant.suspended": TenantChanged,
    "tenant.resumed": TenantChanged,
    "user.created": UserChanged,
    "user.updated": UserChanged,
    "user.disabled": UserChanged,
    "user.removed": UserChanged,
    "user.left": UserChanged,
    "role.created": RoleChanged,
    "role.updated": RoleChanged,
    "role.deleted": RoleChanged,
    "client.created": ClientChanged,
    "client.updated": ClientChanged,
    "client.rotated": ClientChanged,
    "client.deleted": ClientChanged,
    "factor.enrolled": FactorChanged,
    "factor.used": FactorChanged,
    "factor.refused": FactorChanged,
    "factor.removed": FactorChanged,
    "factor.codes_replaced": FactorChanged,
    "factor.reset": FactorsReset,
    "policy.changed": PolicyChanged,
    "client.authorized": ClientAuthorized,
    "provider.created": ProviderChanged,
    "provider.updated": ProviderChanged,
    "provider.deleted": ProviderChanged,
    "identity.linked": IdentityLinked,
    "identity.unlinked": IdentityLinked,
    "session.opened": SessionOpened,
    "session.failed": LoginFailed,
    "grant.revoked": GrantRevoked,
    "link.requested": LinkRequested,
    "account.password": AccountChanged,
    "account.email": AccountChanged,
    "invitation.created": InvitationChanged,
    "invitation.accepted": InvitationChanged,
    "invitation.revoked": InvitationChanged,
    "mail.sent": MailSettled,
    "mail.dead": MailSettled,
    "key.published": KeyChanged,
    "key.activated": KeyChanged,
    "key.retired": KeyChanged,
}
