"""A reader of RE2's patterns: where one is wrong and what belongs there, and how large it becomes once compiled.

It says where, and the engine whether: what this one refuses and the engine takes is taken. Syntax and limits are those
of RE2 (https://github.com/google/re2/wiki/Syntax).
"""

import re
from dataclasses import dataclass

from libs.expressions.patterns.characters import Letters
from libs.expressions.patterns.errors import PatternError
from libs.expressions.patterns.words import SPECIAL_GROUPS

MAX_REPEAT = 1000
_COUNTED = re.compile(r"\{(0|[1-9]\d{0,7})(?:,(0|[1-9]\d{0,7})?)?\}", re.ASCII)
_FLAGS = re.compile(r"\(\?([imsU]*)(?:-[imsU]+)?([:)])")
_NAMED = re.compile(r"\(\?P<[^>]+>")
_QUOTED = re.compile(r"\\Q(.*?)(?:\\E|\Z)", re.DOTALL)


@dataclass(slots=True)
class _Group:
    """What was read of a group: its size and the product of repetitions in it, without and of the last atom."""

    opened: int
    size: int = 0
    nested: int = 1
    atom: tuple[int, int] | None = None
    operator: tuple[int, int] = (-1, -1)

    def add(self, size: int, nested: int = 1) -> None:
        """Put another atom after those that are there."""
        self.close()
        self.atom = (size, nested)

    def close(self) -> None:
        """Have nothing left to repeat."""
        if self.atom is not None:
            self.size += self.atom[0]
            self.nested = max(self.nested, self.atom[1])
        self.atom = None


class Reader:
    """Reads one pattern: its first `flaw`, and its `size` once compiled: one for a letter, many for a class.

    `largest` is where its largest repetition stands, or its beginning.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.flaw: PatternError | None = None
        self.largest = 0
        self._most = 0
        self._letters = Letters(text)
        self._groups = [_Group(-1)]
        try:
            self._read()
        except PatternError as error:
            self.flaw = error
        while len(self._groups) > 1:
            self._end_group()
        self._groups[0].close()
        self.size = self._groups[0].size

    def _read(self) -> None:
        at = 0
        while at < len(self.text):
            at = self._step(at, self.text[at])
        if len(self._groups) > 1:
            raise PatternError("`(` is not closed", self._groups[-1].opened, r"`)`, or `\(` for the character itself")

    def _step(self, at: int, char: str) -> int:
        """Read what stands at a place; returns where the next thing stands."""
        if char in "()":
            return self._open(at) if char == "(" else self._close(at)
        if char == "|":
            self._groups[-1].close()
            return at + 1
        if char in "*+?":
            return self._repeat(at, at + 1, 1)
        counted = _COUNTED.match(self.text, at) if char == "{" else None
        if counted:
            return self._count(at, counted)
        return self._plain(at)

    def _plain(self, at: int) -> int:
        group = self._groups[-1]
        quoted = _QUOTED.match(self.text, at)
        for letter in quoted[1] if quoted else "":
            group.add(self._letters.size(letter))
        if quoted:
            return quoted.end()
        end, size = self._letters.atom(at)
        group.add(size)
        return end

    def _open(self, at: int) -> int:
        end = at + 1
        if self.text.startswith("(?", at):
            found = _FLAGS.match(self.text, at)
            if found and found[2] == ")":
                return found.end()
            end = found.end() if found else self._named(at)
        self._groups.append(_Group(at))
        return end

    def _named(self, at: int) -> int:
        named = _NAMED.match(self.text, at)
        if named:
            return named.end()
        if self.text.startswith("(?P<", at):
            raise PatternError("the group's name has no end", at, "(?P<name>...)")
        for start in sorted(SPECIAL_GROUPS, key=len, reverse=True):
            if self.text.startswith(start, at):
                what, wanted, near = SPECIAL_GROUPS[start]
                raise PatternError(f"`{start}` {what}", at, wanted, near)
        raise PatternError(
            f"`{self.text[at : at + 3]}` begins no group that RE2 has", at, r"(?:...), (?i), or `\(` for the character"
        )

    def _close(self, at: int) -> int:
        if len(self._groups) == 1:
            raise PatternError("`)` closes nothing", at, r"`(` before it, or `\)` for the character itself")
        self._end_group()
        return at + 1

    def _end_group(self) -> None:
        group = self._groups.pop()
        group.close()
        self._groups[-1].add(group.size + 2, group.nested)

    def _count(self, at: int, counted: re.Match[str]) -> int:
        least, most = int(counted[1]), int(counted[2] or counted[1])
        if most < least:
            raise PatternError(
                f"the repetition {counted[0]} ends before it begins", at, f"{{{most},{least}}}", f"{{{most},{least}}}"
            )
        if most > MAX_REPEAT:
            wanted = f"at most {MAX_REPEAT}; longer texts by their length"
            raise PatternError(f"{counted[0]} repeats more than {MAX_REPEAT} times", at, wanted)
        return self._repeat(at, counted.end(), most)

    def _repeat(self, at: int, end: int, most: int) -> int:
        group = self._groups[-1]
        operator = self.text[at:end]
        if group.atom is None:
            raise PatternError(
                f"`{operator}` repeats nothing", at, f"something before it, or `\\{operator}` for the character itself"
            )
        if group.operator[1] == at:
            raise self._stacked(group.operator[0], end)
        size, nested = group.atom
        if most > 1 and nested * most > MAX_REPEAT:
            raise PatternError(
                f"repetitions within each other come to more than {MAX_REPEAT} times",
                at,
                f"at most {MAX_REPEAT} in all",
            )
        end += self.text.startswith("?", end)
        group.atom = ((size + 1) * max(most, 1), nested * max(most, 1))
        group.operator = (at, end)
        if group.atom[0] > self._most:
            self._most, self.largest = group.atom[0], at
        return end

    def _stacked(self, at: int, end: int) -> PatternError:
        both = self.text[at:end]
        if both[-1] == "+":
            return PatternError(f"`{both}` keeps what it took, which RE2 does not do", at, f"`{both[:-1]}`", both[:-1])
        return PatternError(f"`{both}` repeats a repetition", at, "one of them, or (?: ) around what is repeated")
