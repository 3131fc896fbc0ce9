"""A draft or version as the object store holds it: bytes that say what they are, known by their hash."""

from typing import Any
from uuid import UUID

import orjson

from libs.common.database.transaction import Transaction
from libs.common.events.runner import VersionReference
from libs.common.objects import Objects, hash_bytes, tenant_key


def content(kind: str, id: UUID, number: int, name: str, spec: Any) -> bytes:  # noqa: A002 - the resource's own word
    """Return the canonical bytes of a version; those of a draft are what it would be published as."""
    whole = {"kind": kind, "id": str(id), "number": number, "name": name, "spec": spec}
    return orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)


async def seal_draft(
    tx: Transaction,
    objects: Objects,
    kind: str,
    id: UUID,  # noqa: A002
    number: int,
    name: str,
    draft: Any,
) -> VersionReference:
    """Seal a draft under its hash, as the version that it would be; a published version of equal hash is the same."""
    body = content(kind, id, number, name, draft)
    key = tenant_key(tx.tenant_id, "definitions", kind, str(id), f"draft-{hash_bytes(body)}")
    sealed = await objects.put(key, body)
    return VersionReference(kind=kind, id=id, number=number, key=sealed.key, sha256=sealed.sha256)
