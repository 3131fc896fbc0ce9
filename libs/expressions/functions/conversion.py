from libs.expressions import numbers
from libs.expressions.functions.registry import function
from libs.expressions.instants import date_sql, timestamp_sql, timestamp_text
from libs.expressions.values import Value, shared, text

_GROUP = "Conversion"
INTEGER_PATTERN = "[+-]?[0-9]{1,18}"
_DECIMAL_PATTERN = r"[+-]?0*[0-9]{1,18}(\.[0-9]{1,10}0*)?"


@function("to_text(value: any)", "text", "Plain or ISO 8601 text; decimals without trailing zeros.", group=_GROUP)
def _to_text(value: Value) -> Value:
    if value.type == "null":
        return Value("CAST(NULL AS VARCHAR)", "text")
    if value.type == "decimal":
        width, scale = numbers.common((value,))
        width = min(max(width, scale + 1), numbers.WIDTH)  # without a place before the point the engine writes `.5`
        plain = f"CAST({numbers.fit(value, width, scale)} AS VARCHAR)"
        return text(f"rtrim(rtrim({plain}, '0'), '.')" if scale else plain, value)
    if value.type == "timestamp":
        return text(timestamp_text(value.sql), value)
    return text(f"CAST({value.sql} AS VARCHAR)", value)


@function(
    "to_integer(value: text)",
    "integer",
    "The integer that the text writes (up to 18 digits); null for other text.",
    group=_GROUP,
)
def _to_integer(value: Value) -> Value:
    sql = (
        "TRY_CAST(CASE WHEN regexp_full_match({0}, '"
        + INTEGER_PATTERN.replace("{", "{{").replace("}", "}}")
        + "') THEN {0} END AS BIGINT)"
    )
    return shared(value, lambda raw: Value(sql.format(raw.sql), "integer", raw.weight + 3, 0, 10**18 - 1, "BIGINT"))


@function(
    "to_decimal(value: text)",
    "decimal",
    "The number that the text writes plainly, up to 18 digits before and 10 after the point; null for other text.",
    group=_GROUP,
)
def _to_decimal(value: Value) -> Value:
    return shared(value, _decimal)


def _decimal(raw: Value) -> Value:
    sql = f"TRY_CAST(CASE WHEN regexp_full_match({raw.sql}, '{_DECIMAL_PATTERN}') THEN {raw.sql} END AS DECIMAL(28,10))"
    return Value(sql, "decimal", raw.weight + 3, 10, 10**28 - 1, "DECIMAL(28,10)")


@function(
    "to_date(value: text)", "date", "The day that the text writes as YYYY-MM-DD; null for other text.", group=_GROUP
)
def _to_date(value: Value) -> Value:
    return shared(value, lambda raw: Value(date_sql(raw.sql), "date", raw.weight + 3))


@function(
    "to_timestamp(value: text)",
    "timestamp",
    "The instant that the text writes in ISO 8601 with its zone; null for other text.",
    group=_GROUP,
)
def _to_timestamp(value: Value) -> Value:
    return shared(value, lambda raw: Value(timestamp_sql(raw.sql), "timestamp", raw.weight + 3))
