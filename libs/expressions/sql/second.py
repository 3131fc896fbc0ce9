"""The second opinion: another parser reads the same text and has an allow-list of its own."""

import logging

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from libs.expressions.sql import names
from libs.expressions.sql.errors import SqlError

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it prints statements that it cannot parse

_NODES = names.words("""
    Add Alias All And Any Between Boolean Case Cast Coalesce Column CTE DataType DataTypeParam Distinct Div DPipe EQ Except Exists Extract
    Filter
    From GT GTE Group Having Identifier If ILike In Interval IntDiv Intersect Is Join Like Limit Literal LT LTE Mod Mul NEQ Neg Not
    Null NullSafeEQ NullSafeNEQ Offset Or Order Ordered Paren Pow Qualify Select Star Sub Subquery Table TableAlias
    TryCast Tuple Union Values Var Where Window WindowSpec With WithinGroup IgnoreNulls RespectNulls Escape GroupingSets Rollup
    Cube Grouping RegexpLike RegexpFullMatch SimilarTo Abs
    """)
_FUNCTIONS = names.words(
    """
    Acos AnyValue ApproxDistinct ArgMax ArgMin Ascii Asin Atan Avg Cbrt Ceil Chr Concat ConcatWs Contains Corr Cos Count
    CountIf CovarPop CovarSamp CumeDist DateAdd DateBin DateDiff DateFromParts Day DayOfMonth DayOfWeek DayOfWeekIso
    DayOfYear Dayname Degrees DenseRank EndsWith Exp First FirstValue Floor Greatest GroupConcat Hour IsInf IsNan
    Kurtosis Lag Last LastDay LastValue Lead Least Left Length Ln Log LogicalAnd LogicalOr Lower MD5 Max Median Min
    Minute Mode Month Monthname NthValue Ntile Nullif Pad PercentRank PercentileCont PercentileDisc Pi Quarter Radians
    Rank RegexpExtract RegexpReplace Replace Reverse Right Round RowNumber SHA2 Second Sign Sin Skewness SplitPart Sqrt
    StartsWith Stddev StddevPop StddevSamp StrPosition StrToTime Substring Sum Tan TimeFromParts TimeToStr TimeToUnix
    TimestampFromParts TimestampTrunc ToDays Translate Trim Trunc Unicode UnixToTime Upper Variance VariancePop Week
    WeekOfYear Year
    """
)
"""What the second parser calls functions of the list; the others it keeps under their own names."""
_TOO_DEEP = (SqlglotError, RecursionError, ValueError, IndexError, AttributeError, TypeError)


def check_again(text: str, *, collecting: bool = False) -> None:
    """Refuse what the second parser cannot read as one query of plain nodes; SqlError names the first stranger."""
    statement = _only(text)
    for node in statement.walk():
        stranger = "" if collecting and isinstance(node, exp.ArrayAgg | exp.List) else _stranger(node)
        if stranger:
            line, column = _place(node)
            raise SqlError(
                "shape", f"{stranger} cannot be used here", line=line, column=column, expected="a plain query"
            )


def _only(text: str) -> exp.Query:
    try:
        statements = [one for one in sqlglot.parse(text, dialect="duckdb") if one is not None]
    except _TOO_DEEP as error:
        raise _uncertain(error) from error
    if len(statements) != 1:
        raise SqlError("statement", f"it holds {len(statements)} statements", expected="one SELECT")
    statement = statements[0]
    if not isinstance(statement, exp.Query):
        raise SqlError("statement", f"{statement.key.upper()} is no query", expected="one SELECT")
    return statement


def _uncertain(error: Exception) -> SqlError:
    """Return the refusal of what this parser cannot read, at the place that it names."""
    told = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    said = str(told.get("description", ""))
    line, column = int(told.get("line") or 1), max(int(told.get("col") or 1) - len(told.get("highlight") or "x") + 1, 1)
    message, wanted = "it cannot be read with certainty", "one plain SELECT"
    if told.get("highlight") == "`":
        wanted = "a name alone, or in double quotes"
    if "number of provided arguments" in said:
        message, wanted = "the function has too many arguments", "fewer arguments"
    elif "missing for" in said:
        message, wanted = "an argument or a part is missing before this", "the arguments that the function needs"
    return SqlError("syntax", message, line=line, column=column, expected=wanted)


def _stranger(node: exp.Expr) -> str:
    kind = type(node).__name__
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        return "" if node.name.lower() in names.FUNCTIONS | names.WINDOWS else f"the function {node.name[:80]!r}"
    if kind in _NODES:
        return "recursion" if isinstance(node, exp.With) and node.args.get("recursive") else ""
    if isinstance(node, exp.Func):
        return "" if kind in _FUNCTIONS else f"the function {node.sql_name().lower()!r}"
    return f"`{kind}`"


def _place(node: exp.Expr) -> tuple[int, int]:
    for one in node.walk():
        if "line" in one.meta:
            return int(one.meta["line"]), max(int(one.meta["col"]) - len(one.name) + 1, 1)
    return 1, 1
