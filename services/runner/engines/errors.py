"""What can go wrong on the data's way, said so that a reporting officer understands it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecordFault:
    """One record that stopped a step: its source ordinal, its business key and what is wrong with it."""

    ordinal: int
    key: str
    message: str


class DataPathError(Exception):
    """A step that ended without a result. `retryable` says whether trying again could help."""

    def __init__(
        self, code: str, message: str, *, retryable: bool = False, records: Sequence[RecordFault] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.records = tuple(records)


class SourceError(DataPathError):
    """The source could not be read: unreachable, refused, or not what the schema says."""


class TransformError(DataPathError):
    """The transform could not be run or did not balance."""


class RenderError(DataPathError):
    """The artifact could not be written, or is not valid; `records` names the records at fault."""


class DeliveryError(DataPathError):
    """The artifact did not reach its destination."""
