"""A draft or version as the object store holds it: bytes that say what they are, known by their hash."""

from typing import Any
from uuid import UUID

import orjson

from libs.common.database.transaction import Row, Transaction
from libs.common.events.runner import VersionReference
from libs.common.objects import Objects, Sealed, hash_bytes, tenant_key


def content(row: Row) -> bytes:
    """Return the canonical bytes of a definition's draft as its next version."""
    named = {"kind": row["kind"], "id": str(row["id"]), "number": row["latest"] + 1, "name": row["name"]}
    return orjson.dumps({**named, "spec": row["draft"]}, option=orjson.OPT_SORT_KEYS)


async def seal_version(tx: Transaction, objects: Objects, row: Row) -> Sealed:
    """Seal a definition's draft as its next version."""
    key = tenant_key(tx.tenant_id, "definitions", row["kind"], str(row["id"]), str(row["latest"] + 1))
    return await objects.put(key, content(row))


async def seal_draft(tx: Transaction, objects: Objects, row: Row) -> Sealed:
    """Seal a definition's draft under its hash; the bytes are those of the version that it would be."""
    body = content(row)
    name = f"draft-{hash_bytes(body)}"
    return await objects.put(tenant_key(tx.tenant_id, "definitions", row["kind"], str(row["id"]), name), body)


def reference(kind: str, id: UUID, number: int, sealed: Any) -> VersionReference:  # noqa: A002 - the resource's own word
    """Return what events carry of something sealed."""
    return VersionReference(kind=kind, id=id, number=number, key=sealed.key, sha256=sealed.sha256)
