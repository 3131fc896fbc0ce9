"""What Python transforms may import: the list is for honest errors, the jail is the wall."""

ALLOWED = (
    "abc", "array", "base64", "binascii", "bisect", "calendar", "cmath", "codecs", "collections", "contextlib", "copy",
    "csv", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "hmac",
    "io", "itertools", "json", "logging", "math", "numbers", "numpy", "operator", "pandas", "polars", "pyarrow", "random",
    "re", "statistics", "string", "struct", "textwrap", "time", "traceback", "types", "typing", "unicodedata", "uuid",
    "warnings", "zlib", "zoneinfo",
)  # fmt: skip
"""Top-level modules; what lies below them comes with them. `__future__` needs no import at run time."""

_KNOWN = frozenset((*ALLOWED, "__future__"))


def is_allowed(module: str) -> bool:
    """Say whether a transform may import a module, by its dotted name."""
    return module.partition(".")[0] in _KNOWN
