"""Login by a tenant's own identity provider (OpenID Connect): we are its client."""
