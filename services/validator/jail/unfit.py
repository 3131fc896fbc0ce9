"""What is said where a transform yields what is no table, or columns that no field can hold: what it is, and what to do."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from libs.common.vocabulary.transforms import ORDINAL, ORDINALS

_MOST_TYPE = 100
_types = pa.types
_HINTS = (
    (_types.is_nested, "give one part of it, or the text that json.dumps makes of it"),
    (_types.is_duration, "give the number of its seconds or days"),
    (_types.is_time, "give a timestamp, or text"),
    (lambda kind: _types.is_binary(kind) or _types.is_large_binary(kind), "give text: bytes are decoded"),
    (_types.is_fixed_size_binary, "give text: str() of a UUID, hex() of bytes"),
)


class UnfitResultError(Exception):
    """What the transform yielded is no table, or holds what a report cannot; the message is for people."""


def is_table(value: object) -> bool:
    """Say whether a value is a table of a kind that people know."""
    return isinstance(value, pa.RecordBatch | pa.Table | pl.DataFrame | pl.LazyFrame | pd.DataFrame)


def is_single(value: object) -> bool:
    """Say whether a value is one thing, though it can be gone through: its parts are no tables."""
    parts = isinstance(value, list | tuple) and len(value) > 0 and not any(is_table(part) for part in value)
    columns = pd.Series | pl.Series | np.ndarray | pa.Array | pa.ChunkedArray
    return parts or isinstance(value, str | bytes | Mapping | columns)


def no_table(verb: str, value: object) -> UnfitResultError:
    """Return the error of a value that is no table."""
    return UnfitResultError(f"transform {verb} {_named(value)}, which is no table: {_instead(value)}")


def no_column(name: str, kind: object) -> UnfitResultError:
    """Return the error of a column of a type (Arrow's or Polars') that no field has."""
    said = f"the column {name!r} holds {str(kind)[:_MOST_TYPE]}, which no field can"
    if name == ORDINAL and isinstance(kind, pa.DataType) and _types.is_nested(kind):
        return UnfitResultError(f"{ORDINAL} is the number of one record: lists of them are called {ORDINALS}")
    hint = next((hint for fits, hint in _HINTS if isinstance(kind, pa.DataType) and fits(kind)), "")
    return UnfitResultError(f"{said}: {hint}" if hint else said)


def _named(value: object) -> str:
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return "a NumPy array"
    if isinstance(value, list | tuple) and value:
        return f"a {type(value).__name__} of {type(value[0]).__name__}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _instead(value: Any) -> str:
    if isinstance(value, Mapping) and any(isinstance(part, list) for part in value.values()):
        return "pyarrow.table(columns) makes one of a dict of columns"
    if isinstance(value, Mapping) or (isinstance(value, list | tuple) and value and isinstance(value[0], Mapping)):
        return "pyarrow.Table.from_pylist(rows) makes one of a list of dicts"
    if isinstance(value, list | tuple) and any(is_table(part) for part in value):
        return "yield its tables one by one"
    return "yield Arrow, Polars or pandas tables"
