"""Which passwords are taken: NIST SP 800-63B-4, offline and without composition rules.

Length is what counts. Beside it a password is refused that a guesser tries first: what is left of it, once common
passwords, words of the product and the address, runs (`abcd`, `9876`, `qwert`, `aaaa`), years and repetition are
taken away, is too little.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from libs.common.errors import FieldProblem, Invalid

ALONE, WITH_SECOND_FACTOR, LONGEST = 15, 8, 1024
"""Characters that a password has where it is the only factor, where there is a second one, and at most."""

_LIST = Path(__file__).with_name("common_passwords.txt")
_LEFT, _DISTINCT = 5, 5
_SHORTEST_ROOT, _LONGEST_ROOT, _SHORTEST_RUN, _NAME = 3, 24, 3, 4
_PLAIN = str.maketrans("013457@$!|", "oieastasii")
_YEAR = re.compile(r"(?=((?:19|20)\d\d))")
_WORD = re.compile(r"[^\W_]{4,}")
_ROWS = (
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertz",
    "azerty",
    "1234567890",
    "!@#$%^&*()",
    "1qaz2wsx3edc4rfv5tgb6yhn",
)
_NEIGHBOURS = frozenset(pair for row in _ROWS for line in (row, row[::-1]) for pair in map("".join, pairwise(line)))


def normalise_password(text: str) -> str:
    """Return the password as it is hashed: NFKC, nothing trimmed or cut."""
    return unicodedata.normalize("NFKC", text)


def stands_alone(password: str) -> bool:
    """Say whether a password that was taken is long enough to be the only factor."""
    return len(normalise_password(password)) >= ALONE


def require_good_password(password: str, *, email: str, second_factor: bool = False, field: str = "/password") -> str:
    """Return the normalised password; `second_factor` says that it never opens anything alone.

    Raises:
        Invalid: it is too short, too long or too easy to guess; says why.
    """
    text = normalise_password(password)
    fault = _fault(text, email.casefold(), WITH_SECOND_FACTOR if second_factor else ALONE)
    if fault:
        raise Invalid("The password cannot be used.", type="password-refused", fields=[FieldProblem(field, fault)])
    return text


def _fault(text: str, email: str, shortest: int) -> str | None:
    if not shortest <= len(text) <= LONGEST:
        return f"must have {shortest} to {LONGEST:,} characters"
    if len(set(text)) < _DISTINCT:
        return f"must have at least {_DISTINCT} different characters"
    owner = email.partition("@")[0]
    if len(owner) >= _NAME and owner in text.casefold():
        return "must not contain the name in the e-mail address"
    if _unforeseen(text.casefold(), _common() | set(_WORD.findall(email))) < _LEFT:
        return "is made of common passwords, words of this product or your address, runs or repetition: guessed first"
    return None


def _unforeseen(text: str, roots: frozenset[str]) -> int:
    """Return how many characters remain when all that is foreseen is taken away, read plainly or as look-alikes."""
    unit = text[: _period(text)]
    return min(_left(unit, roots), _left(unit.translate(_PLAIN), roots))


def _period(text: str) -> int:
    """Return the length of the shortest text whose repetition this one is."""
    return (text + text).find(text, 1)


def _left(text: str, roots: frozenset[str]) -> int:
    """Return the fewest characters that stay outside of roots, years and runs that do not overlap."""
    ends: dict[int, list[int]] = {}
    for start, end in (*_root_spans(text, roots), *_run_spans(text)):
        ends.setdefault(end, []).append(start)
    fewest = [0]
    for end in range(1, len(text) + 1):
        fewest.append(min(fewest[-1] + 1, *(fewest[start] for start in ends.get(end, ())), len(text)))
    return fewest[-1]


def _root_spans(text: str, roots: frozenset[str]) -> Iterator[tuple[int, int]]:
    for found in _YEAR.finditer(text):
        yield found.span(1)
    for start in range(len(text)):
        for end in range(start + _SHORTEST_ROOT, min(start + _LONGEST_ROOT, len(text)) + 1):
            if text[start:end] in roots:
                yield start, end


def _run_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield what continues itself: the same character, the alphabet, digits or a keyboard's row, either way."""
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or not _follows(text[end - 1], text[end]):
            if end - start >= _SHORTEST_RUN:
                yield start, end
            start = end


def _follows(one: str, other: str) -> bool:
    return abs(ord(one) - ord(other)) <= 1 or one + other in _NEIGHBOURS


@cache
def _common() -> frozenset[str]:
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())
