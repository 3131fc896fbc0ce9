"""The names that a tenant's SQL may use. Everything else is refused, whatever it would do.

Left out on purpose: what reads anything but its arguments (files, settings, clock, randomness, catalog), what runs SQL
given as text, what makes nested values, and what makes a large value of a small one (`repeat`, `printf`, edit distances).
"""


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


AGGREGATES = words("""
    any_value approx_count_distinct arg_max arg_min avg bool_and bool_or count count_if count_star first geomean kurtosis
    last mad max max_by mean median min min_by mode product quantile_cont quantile_disc skewness stddev stddev_pop
    stddev_samp string_agg listagg group_concat sum sum_no_overflow var_pop var_samp variance corr covar_pop covar_samp
    """)

WINDOWS = words("cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number")

OPERATORS = words("+ - * / // % ** ^ || ~~ !~~ ~~* !~~* ^@ @")

SCALARS = words("""
    abs acos add asin atan bit_count cbrt ceil ceiling cos degrees even exp floor gcd greatest isfinite isinf isnan lcm
    least ln log log10 log2 mod multiply divide pi pow power radians round round_even sign sin sqrt subtract tan trunc
    ascii char_length character_length chr concat concat_ws contains ends_with if ilike_escape instr
    lcase left length like_escape lower lpad ltrim md5 not_ilike_escape not_like_escape nullif ord position prefix
    regexp_extract regexp_full_match regexp_matches regexp_replace replace reverse right row rpad rtrim sha256 split_part
    starts_with strlen strpos substr substring suffix translate trim ucase unicode upper
    date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek
    dayofyear epoch epoch_ms hour isodow isoyear last_day make_date make_time make_timestamp minute month monthname
    quarter second strftime strptime time_bucket to_centuries to_days to_decades to_hours to_microseconds
    to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks to_years try_strptime week weekday
    weekofyear year yearweek
    """)

COLLECTORS = words("list array_agg")
"""Only who asks for it may use them, and of `_ordinal` alone: which records stand behind a row."""

FUNCTIONS = AGGREGATES | SCALARS | OPERATORS

TYPES = words("""
    bigint bool boolean char bpchar date dec decimal double float float4 float8 hugeint int int1 int2 int4 int8 integer
    interval long numeric real short smallint string text time timestamp timestamptz tinyint ubigint uinteger
    usmallint utinyint varchar
    """) | {"timestamp with time zone", "double precision", "character varying"}

OPERATOR_NODES = words("""
    OPERATOR_NOT OPERATOR_IS_NULL OPERATOR_IS_NOT_NULL OPERATOR_COALESCE OPERATOR_NULLIF COMPARE_IN COMPARE_NOT_IN
    GROUPING_FUNCTION
    """)

VALUE_WORDS = words("""
    current_catalog current_database current_date current_role current_schema current_time current_timestamp
    current_user localtime localtimestamp rowid session_user user
    """)
"""Words that the engine reads as functions where no column has their name."""
