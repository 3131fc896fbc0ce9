"""The expression language: a closed grammar over one record, typed and compiled to total DuckDB SQL.

Pure: nothing is evaluated here, nothing read but the code lists. `docs/expressions.md` is the language's reference.
"""

from libs.expressions.columns import TypedColumn, business_key, fitted, stored_column, text_of, typed_columns
from libs.expressions.compiler import compile_expression, typecheck
from libs.expressions.errors import ExpressionError
from libs.expressions.joins import joins, mapping_rows
from libs.expressions.patterns import Patterns
from libs.expressions.quoting import quote_identifier, quote_literal, without_nul
from libs.expressions.scope import Compiled, Lookup, MappingTable, Moment, Scope

PRELUDE = ""
"""SQL that a connection must run before compiled expressions; none is needed."""

__all__ = [
    "PRELUDE",
    "Compiled",
    "ExpressionError",
    "Lookup",
    "MappingTable",
    "Moment",
    "Patterns",
    "Scope",
    "TypedColumn",
    "business_key",
    "compile_expression",
    "fitted",
    "joins",
    "mapping_rows",
    "quote_identifier",
    "quote_literal",
    "stored_column",
    "text_of",
    "typecheck",
    "typed_columns",
    "without_nul",
]
