"""The known name that somebody meant."""

import difflib
import heapq
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

_NEAR = 0.65
"""Less alike than this are names that mean something else, such as `size` and `isin`."""
_LONGEST = 200
"""No name of ours is half as long."""
_COMPARED = 10
"""So many are compared letter by letter: with hundreds of long names that would take a tenth of a second."""


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, whatever its case, or None when none is near."""
    if len(name) > _LONGEST:
        return None
    names = {one.lower(): one for one in sorted(known)}
    wanted = name.lower()
    near = difflib.get_close_matches(wanted, _likely(wanted, names), 1, _NEAR)
    near = near or [one for one in names if _one_letter(wanted, one)]
    return names[near[0]] if near else None


def _likely(wanted: str, names: Iterable[str]) -> list[str]:
    """Return the few names that share most with the one that is wanted, of the letters and pairs of letters in both."""
    parts = _parts(wanted)
    return heapq.nlargest(_COMPARED, names, lambda one: len(parts & _parts(one)) / (len(parts) + len(_parts(one)) or 1))


@lru_cache(maxsize=4096)
def _parts(name: str) -> frozenset[str]:
    return frozenset(name) | frozenset(map("".join, pairwise(name)))


def _one_letter(first: str, second: str) -> bool:
    """Say whether two names differ in one letter: in short ones that is more than the ratio allows."""
    return len(first) == len(second) > 1 and sum(a != b for a, b in zip(first, second, strict=True)) == 1
