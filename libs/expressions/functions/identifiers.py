from libs.expressions.codes import codes
from libs.expressions.functions.registry import function
from libs.expressions.values import Value, boolean, shared

_GROUP = "Identifiers"
_CHARACTER_VALUE = "CAST(CASE WHEN ord(c) > 57 THEN ord(c) - 55 ELSE ord(c) - 48 END AS INTEGER)"


@function(
    "lei(value: text)", "boolean", "Whether it is a well-formed LEI (ISO 17442) with right check digits.", group=_GROUP
)
def _lei(value: Value) -> Value:
    return shared(value, lambda raw: _checked(raw, _lei_pattern(raw), f"{_mod_97(raw.sql)} = 1"))


def _lei_pattern(raw: Value) -> str:
    return f"regexp_full_match({raw.sql}, '[0-9A-Z]{{18}}(0[2-9]|[1-8][0-9]|9[0-8])')"


def _checked(raw: Value, pattern: str, check: str) -> Value:
    """Combine pattern and check digit: the latter is computed only where the pattern holds."""
    return boolean(f"(CASE WHEN {pattern} THEN {check} WHEN {raw.sql} IS NOT NULL THEN false END)", raw)


def _mod_97(raw: str) -> str:
    """ISO 7064 mod 97-10: letters count as two digits, 10 to 35."""
    values = f"list_transform(string_split({raw}, ''), lambda c: {_CHARACTER_VALUE})"
    return f"list_reduce({values}, lambda a, v: (a * (CASE WHEN v > 9 THEN 100 ELSE 10 END) + v) % 97)"


@function(
    "isin(value: text)",
    "boolean",
    "Whether it is a well-formed ISIN (ISO 6166) with a right check digit.",
    group=_GROUP,
)
def _isin(value: Value) -> Value:
    return shared(
        value,
        lambda raw: _checked(
            raw, f"regexp_full_match({raw.sql}, '[A-Z]{{2}}[0-9A-Z]{{9}}[0-9]')", f"{_luhn(raw.sql)} = 0"
        ),
    )


def _luhn(raw: str) -> str:
    """Luhn from the right over the digits that letters expand to; state = 10 * (next digit doubles) + sum mod 10."""
    values = f"list_transform(list_reverse(string_split({raw}, '')), lambda c: {_CHARACTER_VALUE})"
    return f"list_reduce(list_prepend(0, {values}), lambda a, v: {_luhn_step()}) % 10"


def _luhn_step() -> str:
    doubled = "((2 * {0}) // 10 + (2 * {0}) % 10)"
    low, high = "(v % 10)", "(v // 10)"
    plain = f"CASE WHEN v > 9 THEN (a + {low} + {doubled.format(high)}) % 10 ELSE 10 + (a + {low}) % 10 END"
    twice = (
        f"CASE WHEN v > 9 THEN 10 + (a + {doubled.format(low)} + {high}) % 10 ELSE (a + {doubled.format(low)}) % 10 END"
    )
    return f"CASE WHEN a < 10 THEN {plain} ELSE {twice} END"


def _listed(value: Value, name: str) -> Value:
    """Match the whole list as one pattern: an automaton, 20 times faster than IN over the 2,000 market codes."""
    return boolean(f"regexp_full_match({value.sql}, '{'|'.join(codes(name))}')", value)


@function("mic(value: text)", "boolean", "Whether it is an active market identifier code (ISO 10383).", group=_GROUP)
def _mic(value: Value) -> Value:
    return _listed(value, "mic")


@function("currency(value: text)", "boolean", "Whether it is a currency code in use (ISO 4217).", group=_GROUP)
def _currency(value: Value) -> Value:
    return _listed(value, "currency")


@function("country(value: text)", "boolean", "Whether it is a country code (ISO 3166-1 alpha-2).", group=_GROUP)
def _country(value: Value) -> Value:
    return _listed(value, "country")


@function(
    "cfi(value: text)",
    "boolean",
    "Whether it has the form of a classification code (ISO 10962): a known category and five letters.",
    group=_GROUP,
)
def _cfi(value: Value) -> Value:
    return boolean(f"regexp_full_match({value.sql}, '[ECDRFOSHIJKLTM][A-Z]{{5}}')", value)


@function(
    "bic(value: text)",
    "boolean",
    "Whether it has the form of a business identifier code (ISO 9362), 8 or 11 characters.",
    group=_GROUP,
)
def _bic(value: Value) -> Value:
    return boolean(f"regexp_full_match({value.sql}, '[A-Z0-9]{{4}}[A-Z]{{2}}[A-Z0-9]{{2}}([A-Z0-9]{{3}})?')", value)


@function(
    "uti(value: text)",
    "boolean",
    "Whether it has the form of a UTI (ISO 23897): an LEI, then up to 32 capitals and digits.",
    group=_GROUP,
)
def _uti(value: Value) -> Value:
    return shared(
        value,
        lambda raw: _checked(
            raw,
            f"regexp_full_match({raw.sql}, '[0-9A-Z]{{18}}(0[2-9]|[1-8][0-9]|9[0-8])[A-Z0-9]{{1,32}}')",
            f"{_mod_97(f'left({raw.sql}, 20)')} = 1",
        ),
    )
