"""Where auth keeps secrets, so that they can be sealed under a new version of a tenant's data key."""

from libs.common.crypto.resealing import SealedColumn

SEALED = (
    SealedColumn(
        table="own_secret",
        column="sealed",
        earlier="""
SELECT name AS row, sealed FROM own_secret WHERE substring(sealed FROM 1 FOR 8) <> $1 AND name > $2 ORDER BY 1 LIMIT $3
""",
        count="SELECT count(*) FROM own_secret WHERE substring(sealed FROM 1 FOR 8) <> $1",
        replace="UPDATE own_secret SET sealed = $3 WHERE name = $1 AND sealed = $2",
    ),
    SealedColumn(
        table="signing_key",
        column="sealed",
        earlier="""
SELECT kid AS row, sealed FROM signing_key WHERE substring(sealed FROM 1 FOR 8) <> $1 AND kid > $2 ORDER BY 1 LIMIT $3
""",
        count="SELECT count(*) FROM signing_key WHERE substring(sealed FROM 1 FOR 8) <> $1",
        replace="UPDATE signing_key SET sealed = $3 WHERE kid = $1 AND sealed = $2",
        tenants=False,
    ),
    SealedColumn(
        table="mail",
        column="sealed",
        earlier="""
SELECT id::text AS row, sealed FROM mail WHERE substring(sealed FROM 1 FOR 8) <> $1 AND id::text > $2 ORDER BY 1 LIMIT $3
""",
        count="SELECT count(*) FROM mail WHERE substring(sealed FROM 1 FOR 8) <> $1",
        replace="UPDATE mail SET sealed = $3 WHERE id::text = $1 AND sealed = $2",
    ),
    SealedColumn(
        table="account_link",
        column="sealed",
        earlier="""
SELECT encode(sha256, 'hex') AS row, sealed FROM account_link WHERE substring(sealed FROM 1 FOR 8) <> $1 AND encode(sha256, 'hex') > $2 ORDER BY 1 LIMIT $3
""",
        count="SELECT count(*) FROM account_link WHERE substring(sealed FROM 1 FOR 8) <> $1",
        replace="UPDATE account_link SET sealed = $3 WHERE encode(sha256, 'hex') = $1 AND sealed = $2",
    ),
    SealedColumn(
        table="identity_provider",
        column="sealed",
        earlier="""
SELECT id::text AS row, sealed FROM identity_provider
WHERE substring(sealed FROM 1 FOR 8) <> $1 AND id::text > $2 ORDER BY 1 LIMIT $3
""",
        count="SELECT count(*) FROM identity_provider WHERE substring(sealed FROM 1 FOR 8) <> $1",
        replace="UPDATE identity_provider SET sealed = $3 WHERE id::text = $1 AND sealed = $2",
    ),
    SealedColumn(
        table="second_factor",
        column="sealed",
        earlier="""
SELECT id::text AS row, sealed FROM second_factor WHERE substring(sealed FROM 1 FOR 8) <> $1 AND id::text > $2 ORDER BY 1 LIMIT $3
""",
        count="SELECT count(*) FROM second_factor WHERE substring(sealed FROM 1 FOR 8) <> $1",
        replace="UPDATE second_factor SET sealed = $3 WHERE id::text = $1 AND sealed = $2",
        tenants=False,
    ),
)
