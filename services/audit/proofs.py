"""Proofs from stored hashes: a few hundred rows, however large the tree."""

from collections.abc import Sequence

from libs.common.database.transaction import Transaction
from services.audit import store
from services.audit.tree import Span, Subtree, consistency_path, inclusion_path, perfect_root, resolve


class DamagedTreeError(Exception):
    """Stored hashes that a proof needs are missing: somebody removed them."""


async def include(tx: Transaction, indices: Sequence[int], size: int) -> list[list[bytes]]:
    """Prove that the tree of `size` entries holds those at `indices`; one audit path each, from the leaf up.

    Raises:
        ValueError: an index is not below the size.
        DamagedTreeError: stored hashes are missing.
    """
    return await _resolve(tx, [inclusion_path(index, size) for index in indices])


async def continuation(tx: Transaction, first: int, second: int) -> list[bytes]:
    """Prove that the tree of `second` entries continues that of `first`.

    Raises:
        ValueError: the sizes cannot be in this relation.
        DamagedTreeError: stored hashes are missing.
    """
    (proof,) = await _resolve(tx, [consistency_path(first, second)])
    return proof


async def root(tx: Transaction, size: int) -> bytes:
    """Compute the root of the first `size` entries from stored hashes.

    Raises:
        DamagedTreeError: stored hashes are missing.
    """
    ((computed,),) = await _resolve(tx, [[Span(0, size)]])
    return computed


async def _resolve(tx: Transaction, plans: Sequence[list[Span]]) -> list[list[bytes]]:
    needed = {part for plan in plans for span in plan for part in span.subtrees()}
    ranges: dict[int, set[tuple[int, int]]] = {}
    for part in needed:
        level, first, count = part.stored()
        ranges.setdefault(level, set()).add((first, count))
    found = await store.hashes(tx, {level: sorted(several) for level, several in ranges.items()})

    def hash_of(part: Subtree) -> bytes:
        level, first, count = part.stored()
        try:
            return perfect_root([found[level, first + offset] for offset in range(count)])
        except KeyError as error:
            raise DamagedTreeError(f"no stored hash at level {level}, index {error.args[0][1]}") from None

    known = {part: hash_of(part) for part in needed}
    return [resolve(plan, known.__getitem__) for plan in plans]
