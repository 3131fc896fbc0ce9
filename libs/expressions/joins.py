from collections.abc import Iterable
from datetime import date

import pyarrow as pa

from libs.common.vocabulary.mappings import MappingEntry, MappingSpec
from libs.expressions.quoting import quote_identifier
from libs.expressions.scope import Compiled, Lookup


def joins(compiled: Iterable[Compiled]) -> str:
    """Return the LEFT JOINs that the lookups of these expressions need, each once, in order; "" if there are none."""
    needed: dict[str, Lookup] = {}
    for expression in compiled:
        for lookup in expression.lookups:
            needed.setdefault(lookup.alias, lookup)
    return "\n".join(_join(lookup) for lookup in needed.values())


def _join(lookup: Lookup) -> str:
    alias = quote_identifier(lookup.alias)
    return f'LEFT JOIN {quote_identifier(lookup.table)} AS {alias} ON {alias}."key" = ({lookup.key_sql})'


def mapping_rows(spec: MappingSpec, business_date: date) -> pa.Table:
    """Return the entries that are valid on `business_date` as text columns: `key`, then the mapping's columns."""
    if "key" in spec.columns:
        raise ValueError("a mapping column must not be named `key`")
    valid = [entry for entry in spec.entries if _is_valid(entry, business_date)]
    data: dict[str, list[str | None]] = {"key": [entry.key for entry in valid]}
    data |= {name: [entry.values.get(name) for entry in valid] for name in spec.columns}
    return pa.table({name: pa.array(values, pa.string()) for name, values in data.items()})


def _is_valid(entry: MappingEntry, day: date) -> bool:
    return (entry.valid_from or date.min) <= day <= (entry.valid_to or date.max)
