from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from pydantic import TypeAdapter

from libs.common.database.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Reference:
    """Something that a specification refers to; `field` is its JSON pointer in the specification."""

    kind: str
    id: UUID
    field: str


class Specs(Protocol):
    """Reads the newest specification of any definition known here."""

    async def spec_of(self, tx: Transaction, kind: str, id: UUID) -> Any | None:  # noqa: A002
        """Return the draft or newest version of an own definition, or the newest known version, as JSON; or None."""


async def no_check(_tx: Transaction, _spec: Any, _specs: Specs) -> None:
    """Accept every well-formed specification."""


def no_references(_spec: Any) -> Iterable[Reference]:
    """Refer to nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of definition: its name, its path, its model, what it refers to and its deeper check.

    `replayed` kinds can be tried on past data before they are published.
    `check` runs when a draft is saved and again when it is published, `prove` when it is published only; both raise
    `Invalid` naming the field. `external` kinds carry somebody else's id, by which they are found: the owner's table
    has a column for it.
    """

    name: str
    plural: str
    spec: TypeAdapter[Any]
    references: Callable[[Any], Iterable[Reference]] = no_references
    check: Callable[[Transaction, Any, Specs], Awaitable[None]] = no_check
    prove: Callable[[Transaction, Any, Specs], Awaitable[None]] = no_check
    replayed: bool = False
    external: bool = False
