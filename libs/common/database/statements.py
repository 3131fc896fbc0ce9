"""SQLAlchemy Core writes the statements; asyncpg runs them, without the ORM's or the adapter's cost."""

from typing import Any

from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.util import LRUCache

_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call] # untyped in SQLAlchemy
_CACHE: "LRUCache[Any, SQLCompiler]" = LRUCache(1000)


def render(statement: ClauseElement) -> tuple[str, list[Any]]:
    """Return the SQL text with `$n` placeholders and its arguments.

    Statements of the same shape are compiled once (SQLAlchemy's cache key). Values reach asyncpg as they are: its
    codecs, not SQLAlchemy's processors, turn them into PostgreSQL's. Write `column = ANY(array)` instead of `IN`.
    """
    key = statement._generate_cache_key()  # noqa: SLF001 - no public name gives the key and its parameters
    if key is None:
        compiled = _compile(statement, None)
        return compiled.string, _arguments(compiled, compiled.construct_params())
    cached = _CACHE.get(key.key)
    if cached is None:
        cached = _CACHE[key.key] = _compile(statement, key)
    return cached.string, _arguments(cached, cached.construct_params(extracted_parameters=key.bindparams))


def _compile(statement: ClauseElement, key: Any) -> SQLCompiler:
    compiled = statement._compiler(_DIALECT, cache_key=key)  # noqa: SLF001 - `compile()` takes no cache key
    if not isinstance(compiled, SQLCompiler):
        raise TypeError(f"no SQL statement: {type(statement).__name__}")
    return compiled


def _arguments(compiled: SQLCompiler, parameters: Any) -> list[Any]:
    return [parameters[name] for name in compiled.positiontup or ()]
