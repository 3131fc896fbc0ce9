"""Where catalog keeps secrets, so that they can be sealed under a new version of a tenant's data key."""

from libs.common.crypto.resealing import SealedColumn

SEALED = (
    SealedColumn(
        table="secret",
        column="sealed",
        earlier="""
SELECT definition_id::text AS row, sealed FROM secret WHERE substring(sealed FROM 1 FOR 8) <> $1 AND definition_id::text > $2 ORDER BY 1 LIMIT $3
""",
        count="SELECT count(*) FROM secret WHERE substring(sealed FROM 1 FOR 8) <> $1",
        replace="UPDATE secret SET sealed = $3 WHERE definition_id::text = $1 AND sealed = $2",
    ),
)
