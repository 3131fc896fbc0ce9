from libs.expressions.errors import Refusal
from libs.expressions.functions.registry import Context, function
from libs.expressions.numbers import fit
from libs.expressions.patterns import PatternError
from libs.expressions.quoting import quote_literal
from libs.expressions.values import Value, boolean, text

_GROUP = "Text"
_MAX_GROWTH = 64


def _count(value: Value) -> str:
    """Return SQL of a count of characters, kept within what text can hold."""
    return f"greatest(least(CAST({fit(value, 38, 0)} AS HUGEINT), 1000000000), 0)::BIGINT"


@function("upper(value: text)", "text", "Upper case, character by character (`ß` stays one character).", group=_GROUP)
def _upper(value: Value) -> Value:
    return text(f"upper({value.sql})", value)


@function("lower(value: text)", "text", "Lower case, character by character.", group=_GROUP)
def _lower(value: Value) -> Value:
    return text(f"lower({value.sql})", value)


@function("trim(value: text)", "text", "Without spaces, tabs and line ends at both ends.", group=_GROUP)
def _trim(value: Value) -> Value:
    return text(f"trim({value.sql}, ' ' || chr(9) || chr(10) || chr(13))", value)


@function("length(value: text)", "integer", "Number of characters (code points).", group=_GROUP)
def _length(value: Value) -> Value:
    return Value(f"length({value.sql})", "integer", value.weight + 1, 0, 2**40, "BIGINT")


@function(
    "substring(value: text, start: integer, length: integer)",
    "text",
    "From character `start` (1 is the first) on, at most `length` characters; a start below 1 means 1, a negative length 0.",
    group=_GROUP,
    optional=1,
)
def _substring(value: Value, start: Value, length: Value | None = None) -> Value:
    begin = f"greatest({_count(start)}, 1)"
    parts = (value, start) if length is None else (value, start, length)
    tail = "" if length is None else f", {_count(length)}"
    return _null_if_null(text(f"substring({value.sql}, {begin}{tail})", *parts), parts[1:])


@function("left(value: text, count: integer)", "text", "The first `count` characters.", group=_GROUP)
def _left(value: Value, count: Value) -> Value:
    return _null_if_null(text(f"left({value.sql}, {_count(count)})", value, count), (count,))


@function("right(value: text, count: integer)", "text", "The last `count` characters.", group=_GROUP)
def _right(value: Value, count: Value) -> Value:
    return _null_if_null(text(f"right({value.sql}, {_count(count)})", value, count), (count,))


def _null_if_null(result: Value, counts: tuple[Value, ...]) -> Value:
    """Make a null count give null: greatest and least skip nulls."""
    unsure = [count for count in counts if count.constant is None]
    if not unsure:
        return result
    condition = " OR ".join(f"{count.sql} IS NULL" for count in unsure)
    return text(f"(CASE WHEN {condition} THEN NULL ELSE {result.sql} END)", result, *unsure)


@function("starts_with(value: text, part: text)", "boolean", "Whether the text begins with `part`.", group=_GROUP)
def _starts_with(value: Value, part: Value) -> Value:
    return boolean(f"starts_with({value.sql}, {part.sql})", value, part)


@function("ends_with(value: text, part: text)", "boolean", "Whether the text ends with `part`.", group=_GROUP)
def _ends_with(value: Value, part: Value) -> Value:
    return boolean(f"ends_with({value.sql}, {part.sql})", value, part)


@function("contains(value: text, part: text)", "boolean", "Whether `part` occurs in the text.", group=_GROUP)
def _contains(value: Value, part: Value) -> Value:
    return boolean(f"contains({value.sql}, {part.sql})", value, part)


@function(
    "replace(value: text, old: constant text, new: constant text)",
    "text",
    "Every `old` replaced by `new`; both are literals.",
    group=_GROUP,
)
def _replace(value: Value, old: Value, new: Value) -> Value:
    before, after = str(old.constant), str(new.constant)
    if not before:
        raise Refusal("old is empty", expected="the text to replace", argument=1)
    growth = value.growth * max(1, -(-len(after) // len(before)))
    if growth > _MAX_GROWTH:
        raise Refusal("the text could grow too much", expected=f"at most {_MAX_GROWTH} times its length", argument=2)
    sql = f"replace({value.sql}, {old.sql}, {new.sql})"
    return Value(sql, "text", value.weight + 1, growth=growth)


@function(
    "matches(value: text, pattern: constant text)",
    "boolean",
    "Whether the whole text matches the regular expression (RE2: no look-around, no back-references).",
    group=_GROUP,
    needs_context=True,
)
def _matches(context: Context, value: Value, pattern: Value) -> Value:
    written = str(pattern.constant)
    try:
        context.patterns.check(written)
    except PatternError as error:
        raise Refusal(
            error.message, expected=error.expected, nearest=error.nearest, argument=1, within=error.at
        ) from None
    return boolean(f"regexp_full_match({value.sql}, {quote_literal(written)})", value)


@function("concat(value: text)", "text", "All texts joined; null if one of them is null.", group=_GROUP, repeats=True)
def _concat(*values: Value) -> Value:
    return text("(" + " || ".join(value.sql for value in values) + ")", *values)
