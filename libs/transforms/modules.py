"""What Python transforms may import: the list is for honest errors, the jail is the wall."""

ALLOWED = (
    "abc", "array", "base64", "binascii", "bisect", "calendar", "cmath", "codecs", "collections", "contextlib", "copy",
    "csv", "dataclasses", "datetime", "dateutil", "decimal", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "hmac",
    "io", "itertools", "json", "logging", "math", "numbers", "numpy", "operator", "pandas", "polars", "pprint", "pyarrow", "random",
    "re", "statistics", "string", "struct", "textwrap", "time", "traceback", "types", "typing", "unicodedata", "uuid",
    "warnings", "zlib", "zoneinfo",
)  # fmt: skip
"""Top-level modules; what lies below them comes with them. `__future__` needs no import at run time."""

_KNOWN = frozenset((*ALLOWED, "__future__"))


def is_allowed(module: str) -> bool:
    """Say whether a transform may import a module, by its dotted name."""
    return module.partition(".")[0] in _KNOWN


_NO_FILES = "params and mappings: a transform has no files, no network and no environment"
_NO_THREADS = "plain code: a transform has one process and one thread"
_INSTEAD = {
    **dict.fromkeys(("os", "pathlib", "shutil", "tempfile", "glob", "fileinput", "dotenv"), _NO_FILES),
    **dict.fromkeys(("requests", "urllib", "http", "httpx", "aiohttp", "socket", "ftplib", "smtplib", "boto3", "fsspec"), _NO_FILES),
    **dict.fromkeys(("duckdb", "sqlite3", "sqlalchemy", "psycopg", "psycopg2", "pyodbc", "pymysql"), _NO_FILES),
    **dict.fromkeys(("threading", "multiprocessing", "concurrent", "asyncio", "subprocess", "queue", "joblib", "dask"), _NO_THREADS),
    **dict.fromkeys(("simplejson", "ujson", "orjson", "pickle", "yaml"), "json"),
    **dict.fromkeys(("scipy", "sklearn", "statsmodels"), "numpy, pandas or statistics"),
    **dict.fromkeys(("tqdm", "loguru", "structlog", "rich"), "print or logging"),
    **dict.fromkeys(("arrow", "pendulum"), "datetime or dateutil"),
    "pytz": "zoneinfo",
    "secrets": "random: a run can be repeated",
    "sys": "print for words, an exception to stop",
}  # fmt: skip


def instead_of(module: str) -> str:
    """Return what does the work of a module that people try to import, or why nothing does; empty where it is unknown."""
    return _INSTEAD.get(module.partition(".")[0], "")
