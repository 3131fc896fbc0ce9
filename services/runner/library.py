"""Definitions as models: sealed, checked, read once."""

from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlalchemy.util import LRUCache

from libs.common.definitions.copies import Pinned, SealedReader
from libs.common.objects import Objects
from libs.common.vocabulary.connections import ConnectorSpec, DestinationSpec
from libs.common.vocabulary.mappings import MappingSpec
from libs.common.vocabulary.reports import ReportSpec
from libs.common.vocabulary.rules import RuleSpec
from libs.common.vocabulary.schemas import SchemaSpec
from libs.common.vocabulary.xsd import XsdSetSpec

M = TypeVar("M")

REPORT: TypeAdapter[ReportSpec] = TypeAdapter(ReportSpec)
SCHEMA: TypeAdapter[SchemaSpec] = TypeAdapter(SchemaSpec)
MAPPING: TypeAdapter[MappingSpec] = TypeAdapter(MappingSpec)
RULE: TypeAdapter[RuleSpec] = TypeAdapter(RuleSpec)
XSD_SET: TypeAdapter[XsdSetSpec] = TypeAdapter(XsdSetSpec)
CONNECTOR: TypeAdapter[ConnectorSpec] = TypeAdapter(ConnectorSpec)
DESTINATION: TypeAdapter[DestinationSpec] = TypeAdapter(DestinationSpec)


class Library:
    """Reads pinned definitions; a version never changes, so its model is kept."""

    def __init__(self, objects: Objects) -> None:
        self._sealed = SealedReader(objects)
        self._models: LRUCache[str, Any] = LRUCache(500)

    async def read(self, pinned: Pinned, model: TypeAdapter[M]) -> M:
        """Return a version's specification.

        Raises:
            ObjectMissingError, ObjectAlteredError: the sealed version is gone or not what was sealed.
        """
        known: M | None = self._models.get(pinned.sha256)
        if known is None:
            known = self._models[pinned.sha256] = model.validate_python(await self._sealed.read(pinned))
        return known
