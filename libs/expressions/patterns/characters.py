"""Single characters, escapes and classes of a pattern."""

import re

from libs.common.nearest import nearest_name
from libs.expressions.patterns.errors import PatternError
from libs.expressions.patterns.words import CATEGORIES, LONG_NAMES, POSIX, SAME, SCRIPTS, SPECIAL_ESCAPES, class_size

_FOLDS = re.compile(r"\(\?[msU]*i")
_UNICODE = re.compile(r"\\[pP](?:\{(\^?)([^}]*)\}|(?!\{)(.))", re.DOTALL)
_POSIX = re.compile(r"\[:(\^?)(.*?):\]", re.DOTALL)
_HEX = re.compile(r"\\x(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2}))")
_OCTAL = re.compile(r"\\(?:0[0-7]{0,2}|[1-7][0-7]{1,2})")
_CONTROLS = {"n": 10, "r": 13, "t": 9, "a": 7, "f": 12, "v": 11}
_PERL = {"d": 2, "s": 2, "w": 4, "D": 6, "S": 6, "W": 8}
_ANYTHING = 4
_REST = 150
"""How much larger the opposite of a class can be."""
_LAST = 0x10FFFF
_ASCII = 0x80


class Letters:
    """Reads what matches one character, and says how large that becomes once compiled."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._folds = 2 if _FOLDS.search(text) else 1

    def size(self, char: str) -> int:
        """Return the size of a plain character."""
        return (1 if ord(char) < _ASCII else 2) * self._folds

    def atom(self, at: int) -> tuple[int, int]:
        """Read one character, escape or class; returns where it ends, and its size."""
        char = self._text[at]
        if char == "[":
            return self._class(at)
        if char == ".":
            return at + 1, _ANYTHING
        if char != "\\":
            return at + 1, self.size(char)
        following = self._text[at + 1 : at + 2]
        if following and following in "bBAzC":
            return at + 2, 1
        return self._shorthand(at) or (self._escape(at)[0], 2 * self._folds)

    def _shorthand(self, at: int) -> tuple[int, int] | None:
        r"""Read `\d` and the like, or a Unicode class."""
        following = self._text[at + 1 : at + 2]
        if following in _PERL:
            return at + 2, _PERL[following] * self._folds
        return self._unicode(at) if following and following in "pP" else None

    def _unicode(self, at: int) -> tuple[int, int]:
        found = _UNICODE.match(self._text, at)
        if not found:
            raise PatternError("the class has no name, or its name no `}`", at, r"a class such as \p{L} or \p{Latin}")
        name = found[2] if found[2] is not None else found[3]
        rest = _REST if self._text[at + 1] == "P" or found[1] else 0
        return found.end(), (class_size(name) + rest) * self._folds

    def _class(self, start: int) -> tuple[int, int]:
        negated = self._text.startswith("^", start + 1)
        first = at = start + 1 + negated
        size = _ANYTHING if negated else 1
        while at < len(self._text):
            if self._text[at] == "]" and at > first:
                return at + 1, size * self._folds
            at, more = self._item(at)
            size += more
        raise PatternError("`[` is not closed", start, r"`]`, or `\[` for the character itself")

    def _item(self, at: int) -> tuple[int, int]:
        """Read one part of a class: a named class, a character or a range."""
        posix = _POSIX.match(self._text, at)
        if posix:
            return self._named(posix)
        if self._text[at] == "\\" and (short := self._shorthand(at)):
            return short
        end, low = self._character(at)
        if not self._text.startswith("-", end) or self._text[end + 1 : end + 2] in ("", "]"):
            return end, 2 if low < _ASCII else 4
        if self._text[end + 1] == "\\" and self._text[end + 2 : end + 3] in {*_PERL, "p", "P"}:
            wanted = r"one character, or `\-` for the hyphen itself"
            raise PatternError("a range ends with one character, not with a class", end + 1, wanted)
        middle, (end, high) = end, self._character(end + 1)
        if high < low:
            raise self._backwards(at, middle, end)
        return end, 2 if high < _ASCII else 8

    def _backwards(self, at: int, middle: int, end: int) -> PatternError:
        turned = f"{self._text[middle + 1 : end]}-{self._text[at:middle]}"
        wanted = f"{turned}, or `\\-` for the hyphen itself"
        return PatternError(f"the range {self._text[at:end]} ends before it begins", at, wanted, turned)

    def _named(self, posix: re.Match[str]) -> tuple[int, int]:
        if posix[2] not in POSIX:
            near = nearest_name(posix[2], POSIX)
            raise PatternError(
                f"there is no class {posix[0][:40]}", posix.start(), ", ".join(POSIX), f"[:{posix[1]}{near}:]" if near else None
            )  # fmt: skip
        return posix.end(), 16 if posix[1] else 8

    def _character(self, at: int) -> tuple[int, int]:
        if self._text[at] != "\\":
            return at + 1, ord(self._text[at])
        return self._escape(at)

    def _escape(self, at: int) -> tuple[int, int]:
        r"""Read `\` and what it stands before; returns where it ends, and the character."""
        following = self._text[at + 1 : at + 2]
        if not following:
            raise PatternError("the pattern ends with a backslash", at, r"`\\` for the character itself")
        octal = _OCTAL.match(self._text, at)
        if octal:
            return octal.end(), int(octal[0][1:], 8)
        if following == "x":
            return self._hexadecimal(at)
        if following in _CONTROLS:
            return at + 2, _CONTROLS[following]
        if following == "_" or (ord(following) < _ASCII and not following.isalnum()):
            return at + 2, ord(following)
        raise _unknown_escape(following, at)

    def _hexadecimal(self, at: int) -> tuple[int, int]:
        found = _HEX.match(self._text, at)
        code = int(found[1] or found[2], 16) if found and len(found[0]) <= 12 else _LAST + 1  # noqa: PLR2004 - \x{0010FFFF}
        if not found or code > _LAST:
            raise PatternError(r"`\x` is followed by no character's number", at, r"two digits as in \x41, or \x{20AC}")
        return found.end(), code


def _unknown_escape(following: str, at: int) -> PatternError:
    sign = f"\\{following}"
    if following in "123456789kg":
        return PatternError(f"`{sign}` refers back to a group, which RE2 does not do", at, SAME)
    wanted, near = SPECIAL_ESCAPES.get(following, (f"{following} alone; a backslash stands before signs", following))
    return PatternError(f"`{sign}` means nothing in RE2", at, wanted, near)


def unknown_class(pattern: str, written: str) -> PatternError:
    """Return the error of a Unicode class that the engine does not know, as `written` in the pattern."""
    name = written[2:].strip("{^}")
    near = LONG_NAMES.get(name.lower()) or nearest_name(name, [*SCRIPTS, *CATEGORIES])
    return PatternError(
        f"there is no class {written[:40]}", max(pattern.find(written), 0),
        r"a category or a script, such as \p{L}, \p{Lu}, \p{N} or \p{Latin}",
        f"{written[:2]}{{{near}}}" if near else None,
    )  # fmt: skip
