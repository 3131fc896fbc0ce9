"""What other engines' patterns hold and RE2 has not, and what to write instead; what classes there are."""

from typing import NamedTuple

_BESIDE = "a condition of its own beside this one, joined by and"
_NOT_BESIDE = "a condition of its own beside this one, joined by and not"
SAME = "the repeated part written out, or two values compared"
_PLAIN_GROUP = "( ) or (?: )"

SPECIAL_GROUPS: dict[str, tuple[str, str, str | None]] = {
    "(?=": ("looks ahead, which RE2 does not do", _BESIDE, None),
    "(?!": ("looks ahead, which RE2 does not do", _NOT_BESIDE, None),
    "(?<=": ("looks behind, which RE2 does not do", _BESIDE, None),
    "(?<!": ("looks behind, which RE2 does not do", _NOT_BESIDE, None),
    "(?>": ("is an atomic group, which RE2 does not have", _PLAIN_GROUP, "(?:"),
    "(?|": ("resets groups, which RE2 does not do", _PLAIN_GROUP, "(?:"),
    "(?#": ("is a comment, which RE2 does not have", "the pattern alone", None),
    "(?P=": ("refers back to a group, which RE2 does not do", SAME, None),
    "(?P>": ("calls a group again, which RE2 does not do", SAME, None),
    "(?&": ("calls a group again, which RE2 does not do", SAME, None),
    "(?R": ("calls the pattern again, which RE2 does not do", SAME, None),
    "(?(": ("depends on a group, which RE2 does not do", "two patterns in two conditions, joined by or", None),
    "(?<": ("names a group in another way", "(?P<name>...), or ( ) alone", "(?P<"),
    "(?x": ("asks for blanks to be left out, which RE2 does not do", "the pattern without blanks and comments", None),
}
"""By their beginnings, longer ones first where one begins another."""

SPECIAL_ESCAPES: dict[str, tuple[str, str | None]] = {
    "Z": (r"\z, or $, for the end of the text", r"\z"),
    "G": ("nothing: the whole text is matched", None),
    "K": (_BESIDE, None),
    "h": (r"[ \t] for a blank", r"[ \t]"),
    "H": (r"[^ \t] for what is no blank", r"[^ \t]"),
    "R": (r"\r?\n for a line end", r"\r?\n"),
    "N": ("[^\\n] for all but a line end", "[^\\n]"),
    "X": (r"(?:\PM\pM*) for a letter with its marks", None),
    "e": (r"\x1b for escape", r"\x1b"),
    "u": (r"\x{...} for a character by its number", r"\x{"),
    "U": (r"\x{...} for a character by its number", r"\x{"),
    "<": (r"\b for the edge of a word", r"\b"),
    "l": ("[a-z]", None),
    "L": (r"[^a-z]", None),
}

POSIX = ("alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit")  # fmt: skip

CATEGORIES = ("C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No",
              "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs", "Any")  # fmt: skip
SCRIPTS = ("Arabic", "Armenian", "Bengali", "Common", "Cyrillic", "Devanagari", "Ethiopic", "Georgian", "Greek", "Gujarati",
           "Han", "Hangul", "Hebrew", "Hiragana", "Inherited", "Kannada", "Katakana", "Khmer", "Lao", "Latin", "Malayalam",
           "Mongolian", "Myanmar", "Sinhala", "Tamil", "Telugu", "Thai", "Tibetan")  # fmt: skip
"""The common ones; the engine knows more."""

LONG_NAMES = {
    "letter": "L", "alpha": "L", "alphabetic": "L", "lowercase": "Ll", "lower": "Ll", "uppercase": "Lu", "upper": "Lu",
    "mark": "M", "number": "N", "digit": "Nd", "punctuation": "P", "punct": "P", "symbol": "S", "currency": "Sc",
    "separator": "Z", "space": "Z", "other": "C", "control": "Cc", "isletter": "L", "isdigit": "Nd",
}  # fmt: skip
"""What other engines call categories."""


class Weight(NamedTuple):
    """How large a class becomes once compiled, and which classes are so."""

    size: int
    names: frozenset[str]


_WEIGHTS = (
    Weight(40, frozenset({"Cc", "Cs", "Co", "Z", "Zs", "Zl", "Zp", "Nd", "Nl", "Pd", "Pc", "Pf", "Pi", "Sc", "Any", "Han", "Thai", "Hebrew"})),
    Weight(100, frozenset({"C", "N", "No", "P", "Po", "Ps", "Pe", "Sm", "Sk", "Cf", "Lm", "Lt", "Latin", "Greek", "Cyrillic", "Arabic"})),
    Weight(300, frozenset({"Lu", "Ll", "M", "Mn", "Mc", "S", "So", "Common"})),
)  # fmt: skip
_LARGEST = 600


def class_size(name: str) -> int:
    """Return how large a Unicode class becomes once compiled, in letters; an unknown one is as large as the largest."""
    return next((weight.size for weight in _WEIGHTS if name in weight.names), _LARGEST)
