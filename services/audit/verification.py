"""Find out, entry by entry, whether a tenant's trail is still what its checkpoints promised.

The trail is fed in order and never held in memory. A checkpoint that the caller kept aside is *held*: only against one
of these is a full rewrite or a cut tail found, since who can rewrite the entries can rewrite what lies beside them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from services.audit.checkpoint import Checkpoint
from services.audit.tree import Frontier, extend, leaf_hash


class Finding(StrEnum):
    """What a verification came to."""

    PROVEN = "proven"
    """Every entry is what the held checkpoint promised."""
    CONSISTENT = "consistent"
    """The trail agrees with itself; no checkpoint was held aside, so a careful rewrite would look the same."""
    EDITED = "edited"
    """An entry's bytes are not those that were hashed when it was received."""
    OUT_OF_ORDER = "out-of-order"
    """An entry is missing, doubled or out of its place."""
    CUT = "cut"
    """The trail ends before what it promised."""
    REWRITTEN = "rewritten"
    """The entries agree with themselves, but not with a checkpoint."""
    FORGED = "forged"
    """A stored checkpoint is not one that our key signed."""


_GOOD = (Finding.PROVEN, Finding.CONSISTENT)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding about a trail.

    `seq` is the first bad entry, or the first that may be bad: after a rewrite it lies between `seq` and `until`.
    `proven_size` counts the entries that a held checkpoint vouches for.
    """

    finding: Finding
    detail: str
    size: int
    root: bytes
    proven_size: int = 0
    seq: int | None = None
    until: int | None = None

    @property
    def good(self) -> bool:
        """Tell whether nothing wrong was found."""
        return self.finding in _GOOD


@dataclass(frozen=True, slots=True)
class Mark:
    """A checkpoint to meet on the way; `held` ones were kept aside by the caller, others lie beside the entries."""

    checkpoint: Checkpoint
    held: bool = False


class Verification:
    """One pass over one trail. Feed it, then ask for the verdict; after the first fault it stays with that fault."""

    def __init__(self, marks: Iterable[Mark] = ()) -> None:
        self._frontier = Frontier()
        self._marks: dict[int, list[Mark]] = {}
        self._fitting = 0
        self._proven = 0
        self._fault: Verdict | None = None
        self.expect(marks)

    @property
    def size(self) -> int:
        """How many entries were accepted so far."""
        return self._frontier.size

    @property
    def broken(self) -> bool:
        """Tell whether a fault was found; feeding more changes nothing."""
        return self._fault is not None

    def expect(self, marks: Iterable[Mark]) -> None:
        """Add checkpoints to meet on the way ahead.

        Raises:
            ValueError: if one lies behind; it would never be met.
        """
        for mark in marks:
            if mark.checkpoint.size <= self.size and self.size:
                raise ValueError(f"the checkpoint at {mark.checkpoint.size} lies behind entry {self.size}")
            self._marks.setdefault(mark.checkpoint.size, []).append(mark)
        if self.size == 0:
            self._meet()

    def feed(self, seq: int, stored_hash: bytes, body: bytes) -> None:
        """Take the next entry: its index, the leaf hash stored beside it, its exact bytes."""
        if self._fault is not None:
            return
        expected = self._frontier.size
        leaf = leaf_hash(body)
        if seq != expected:
            self._break(Finding.OUT_OF_ORDER, f"entry {expected} was expected, entry {seq} came", expected)
        elif leaf != stored_hash:
            self._break(Finding.EDITED, f"entry {seq} is not what was received", seq)
        else:
            self._frontier = extend(self._frontier, [leaf]).frontier
            self._meet()

    def forged(self, size: int, reason: str) -> None:
        """Report a stored checkpoint that does not verify."""
        if self._fault is None:
            self._break(Finding.FORGED, f"the stored checkpoint at {size} is not ours: {reason}", None)

    def verdict(self, head: Checkpoint | None = None) -> Verdict:
        """Close the pass; `head` is the size and root that the store says the trail has, if it says so."""
        fault = self._fault or self._missing(head)
        if fault is not None:
            return fault
        if self._proven:
            return self._say(Finding.PROVEN, f"the first {self._proven} entries are what the held checkpoint promised")
        return self._say(
            Finding.CONSISTENT,
            "the trail agrees with itself; no checkpoint kept aside was given, so this does not prove that "
            "it was not rewritten as a whole",
        )

    def _missing(self, head: Checkpoint | None) -> Verdict | None:
        """Compare the trail's end with what was promised beyond it, and with the store's own idea of it."""
        ahead = [mark for size, marks in self._marks.items() if size > self.size for mark in marks]
        if ahead:
            promised = max(ahead, key=lambda mark: (mark.held, mark.checkpoint.size))
            kind = "held" if promised.held else "stored"
            return self._cut(promised.checkpoint.size, f"the {kind} checkpoint")
        if head is not None and head.size > self.size:
            return self._cut(head.size, "the tree's head")
        if head is not None and (head.size, head.root) != (self.size, self._frontier.root()):
            detail = "the tree's head is not that of the entries"
            return self._say(Finding.REWRITTEN, detail, self._fitting, self.size)
        return None

    def _cut(self, promised: int, source: str) -> Verdict:
        detail = f"entries {self.size} to {promised - 1} are missing: {source} counts {promised}"
        return self._say(Finding.CUT, detail, self.size, promised)

    def _meet(self) -> None:
        """Compare with the checkpoints of exactly this size, the held ones first."""
        marks = self._marks.pop(self.size, [])
        root = self._frontier.root() if marks else b""
        for mark in sorted(marks, key=lambda each: not each.held):
            if mark.checkpoint.root != root:
                self._differ(mark)
                return
            self._fitting = self.size
            self._proven = self.size if mark.held else self._proven

    def _differ(self, mark: Mark) -> None:
        kind = "held" if mark.held else "stored"
        first, last = self._fitting, mark.checkpoint.size - 1
        where = f"entry {first}" if first == last else f"an entry from {first} to {last}"
        self._break(
            Finding.REWRITTEN, f"{where} is not what the {kind} checkpoint at {last + 1} promised", first, last + 1
        )

    def _break(self, finding: Finding, detail: str, seq: int | None, until: int | None = None) -> None:
        self._fault = self._say(finding, detail, seq, until)

    def _say(self, finding: Finding, detail: str, seq: int | None = None, until: int | None = None) -> Verdict:
        size, root = self._frontier.size, self._frontier.root()
        return Verdict(finding, detail, size, root, self._proven, seq, until)
