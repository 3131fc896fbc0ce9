"""Merkle trees as RFC 9162 (and RFC 6962) define them: growth, roots, proofs and their verification.

A tree grows at its right edge only, so its writer needs no more than the frontier: the roots of the perfect subtrees that
the size's binary digits name. Proofs are planned as spans of leaves; where the hashes come from is the caller's business.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()
STRIDE = 8
"""Every eighth level is worth storing: a proof then reads a few hundred hashes, however large the tree."""


def leaf_hash(body: bytes) -> bytes:
    """Hash one entry's exact bytes (RFC 9162 section 2.1.1)."""
    return sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent (RFC 9162 section 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True, order=True)
class Subtree:
    """A perfect subtree: the leaves from `index << level` up to `(index + 1) << level`, the end not included."""

    level: int
    index: int

    def stored(self) -> tuple[int, int, int]:
        """Name the stored hashes that it is computed from: their level, the first index and how many."""
        height = self.level % STRIDE
        return self.level - height, self.index << height, 1 << height


@dataclass(frozen=True, slots=True)
class Span:
    """The leaves from `low` up to `high`, the end not included, whose root stands in a proof."""

    low: int
    high: int

    def subtrees(self) -> list[Subtree]:
        """Split into perfect subtrees, largest first."""
        parts, low = [], self.low
        for level in reversed(range((self.high - low).bit_length())):
            if (self.high - low) >> level & 1:
                parts.append(Subtree(level, low >> level))
                low += 1 << level
        return parts


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that a writer remembers of a tree: its size and the roots of its perfect subtrees, largest first."""

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.nodes) != self.size.bit_count():
            raise ValueError(f"a tree of {self.size} leaves has not {len(self.nodes)} perfect subtrees")

    def root(self) -> bytes:
        """Fold the frontier into the tree's root hash."""
        return fold(self.nodes)


@dataclass(frozen=True, slots=True)
class Growth:
    """A frontier after an append, and the subtrees worth storing that the append completed."""

    frontier: Frontier
    completed: tuple[tuple[Subtree, bytes], ...]


def fold(nodes: Sequence[bytes]) -> bytes:
    """Join the roots of perfect subtrees, largest first, into one root; no nodes make the empty tree's root."""
    if not nodes:
        return EMPTY_ROOT
    root = nodes[-1]
    for node in reversed(nodes[:-1]):
        root = node_hash(node, root)
    return root


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Compute the root over a power of two of neighbouring hashes of one level."""
    if not hashes or len(hashes) & (len(hashes) - 1):
        raise ValueError(f"{len(hashes)} hashes make no perfect subtree")
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def extend(frontier: Frontier, leaves: Iterable[bytes]) -> Growth:
    """Append leaf hashes; the cost is one node hash per leaf on average."""
    nodes, size = list(frontier.nodes), frontier.size
    completed: list[tuple[Subtree, bytes]] = []
    for leaf in leaves:
        nodes.append(leaf)
        size += 1
        for level in range(1, _trailing_zeros(size) + 1):
            right = nodes.pop()
            nodes[-1] = node_hash(nodes[-1], right)
            if level % STRIDE == 0:
                completed.append((Subtree(level, (size >> level) - 1), nodes[-1]))
    return Growth(Frontier(size, tuple(nodes)), tuple(completed))


def inclusion_path(index: int, size: int) -> list[Span]:
    """Plan the audit path of one leaf, from the leaf up (RFC 9162 section 2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    spans, low, high = [], 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            spans.append(Span(middle, high))
            high = middle
        else:
            spans.append(Span(low, middle))
            low = middle
    return spans[::-1]


def consistency_path(first: int, second: int) -> list[Span]:
    """Plan the proof that the tree of `second` leaves continues the one of `first` (RFC 9162 section 2.1.4.1)."""
    if not 0 < first <= second:
        raise ValueError(f"no consistency proof leads from {first} to {second} leaves")
    spans, low, high = [], 0, second
    while first != high:
        middle = low + _split(high - low)
        if first <= middle:
            spans.append(Span(middle, high))
            high = middle
        else:
            spans.append(Span(low, middle))
            low = middle
    if low:
        spans.append(Span(low, high))
    return spans[::-1]


def resolve(spans: Iterable[Span], hash_of: Callable[[Subtree], bytes]) -> list[bytes]:
    """Turn a planned proof into hashes, asking `hash_of` for each perfect subtree's root."""
    return [fold([hash_of(part) for part in span.subtrees()]) for span in spans]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether a leaf hash stands at `index` of the tree with this size and root (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    number, last, computed = index, size - 1, leaf
    for node in proof:
        if last == 0:
            return False
        if number & 1 or number == last:
            computed = node_hash(node, computed)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            computed = node_hash(computed, node)
        number, last = number >> 1, last >> 1
    return last == 0 and computed == root


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether the second tree begins with all leaves of the first (RFC 9162 section 2.1.4.2).

    Every tree continues the empty one, so `first` may be 0 with the empty root and no proof.
    """
    if first in (second, 0):
        expected = second_root if first else EMPTY_ROOT
        return not proof and 0 <= first <= second and first_root == expected
    if not 0 < first < second or not proof:
        return False
    path = list(proof) if first & (first - 1) else [first_root, *proof]
    roots = _walk(first - 1, second - 1, path)
    return roots == (first_root, second_root)


def _walk(number: int, last: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Recompute both roots of a consistency proof; None if its length does not fit the sizes."""
    shift = _trailing_zeros(~number)
    number, last = number >> shift, last >> shift
    older = newer = path[0]
    for node in path[1:]:
        if last == 0:
            return None
        if number & 1 or number == last:
            older, newer = node_hash(node, older), node_hash(node, newer)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            newer = node_hash(newer, node)
        number, last = number >> 1, last >> 1
    return (older, newer) if last == 0 else None


def _split(size: int) -> int:
    """Find the largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1
