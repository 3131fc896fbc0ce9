-- What the standards ask for beyond the first grants: resources (RFC 8707), keys of clients at a URL, server nonces for
-- DPoP (RFC 9449), how a person showed who they are, where logging out leads to, and a second algorithm for ID tokens.

ALTER TABLE oauth_client
    ADD COLUMN jwks_uri                     text CHECK (starts_with(jwks_uri, 'https://')),
    ADD COLUMN dpop_nonce                   boolean NOT NULL DEFAULT false,
    ADD COLUMN post_logout_redirect_uris    text[]  NOT NULL DEFAULT ARRAY[]::text[],
    ADD COLUMN id_token_signed_response_alg text    NOT NULL DEFAULT 'ES256'
        CHECK (id_token_signed_response_alg IN ('ES256', 'RS256'));

-- `resource`: none means everywhere here. `auth_time`: when the person behind a grant showed who they are.
ALTER TABLE access_grant ADD COLUMN resource text[], ADD COLUMN auth_time timestamptz;
ALTER TABLE authorization_code ADD COLUMN resource text[];
ALTER TABLE device_authorization ADD COLUMN resource text[];

-- Access tokens are signed by ES256 alone; ID tokens by what their client can read. Each algorithm turns by itself.
ALTER TABLE signing_key ADD COLUMN algorithm text NOT NULL DEFAULT 'ES256' CHECK (algorithm IN ('ES256', 'RS256'));
DROP INDEX signing_key_active, signing_key_next;
CREATE UNIQUE INDEX signing_key_active ON signing_key (algorithm) WHERE state = 'active';
CREATE UNIQUE INDEX signing_key_next ON signing_key (algorithm) WHERE state = 'next';
