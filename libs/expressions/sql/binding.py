"""What the engine's binder says, in our words: what is wrong and what would fit."""

import re

_NO_FUNCTION = re.compile(r"No function matches the given name and argument types '(.+?)\((.*)\)'")
_NO_BEST = re.compile(r"Could not choose a best candidate function for the function call \"(.+?)\((.*)\)\"")
_CANDIDATE = re.compile(r"^\t(.+?) -> .*$", re.MULTILINE)
_CASES = (
    ("must appear in the GROUP BY", "it in GROUP BY, or in an aggregate such as any_value(...)"),
    ("cannot contain aggregates", "HAVING for a condition on aggregates"),
    ("cannot contain window", "QUALIFY for a condition on windows"),
    ("calls cannot be nested", "one aggregate, or a named query for the inner one"),
    ("Ambiguous reference", "its table before the column"),
)
_FEW = 2


def words(message: str, told: str) -> tuple[str, str]:
    """Return what is wrong and what was expected; `told` is all that the engine says, candidates included."""
    found = _NO_FUNCTION.search(message) or _NO_BEST.search(message)
    if found is None:
        return message[:300], next((wanted for part, wanted in _CASES if part in message), "names and types that fit")
    name, types = found[1], found[2].replace("STRING_LITERAL", "text").replace("INTEGER_LITERAL", "number")
    return f"{name} does not take ({types})"[:300], _candidates(name, types, told)


def _candidates(name: str, types: str, told: str) -> str:
    if not name.isidentifier():
        return (
            "|| to join texts" if name == "+" and ("text" in types or "VARCHAR" in types) else "types that fit, or CAST"
        )
    shown = [one.replace('"', "").replace(", /", "") for one in _CANDIDATE.findall(told)]
    return " or ".join(dict.fromkeys(shown[:_FEW])) or "names and types that fit"
