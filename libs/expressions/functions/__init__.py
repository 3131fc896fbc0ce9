"""The functions of the language, by topic. Importing the modules fills the table."""

from libs.expressions.functions import choices, conversion, dates, identifiers, lookups, numeric, texts
from libs.expressions.functions.registry import FUNCTIONS, Context, Function, call

__all__ = [
    "FUNCTIONS", "Context", "Function", "call", "choices", "conversion", "dates", "identifiers", "lookups", "numeric", "texts",
]  # fmt: skip
