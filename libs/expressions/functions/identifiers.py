from libs.expressions.codes import codes
from libs.expressions.functions.registry import function
from libs.expressions.values import Value, boolean, shared

_GROUP = "Identifiers"
_LEI = "[0-9A-Z]{18}(0[2-9]|[1-8][0-9]|9[0-8])"
_IBAN_LENGTHS = {
    15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SV", 29: "BR EG PS QA UA",
    30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
_BASE = 1024
_RING = _BASE**2 - 1


@function(
    "lei(value: text)", "boolean", "Whether it has the form and check digits of an LEI (ISO 17442).", group=_GROUP
)
def _lei(value: Value) -> Value:
    return shared(value, lambda raw: _checked(raw, _LEI, f"{_mod_97(raw.sql)} = 1"))


@function(
    "uti(value: text)",
    "boolean",
    "Whether it has the form of a UTI (ISO 23897): an LEI, then up to 32 capitals and digits.",
    group=_GROUP,
)
def _uti(value: Value) -> Value:
    return shared(value, lambda raw: _checked(raw, _LEI + "[A-Z0-9]{1,32}", f"{_mod_97(f'left({raw.sql}, 20)')} = 1"))


@function(
    "isin(value: text)", "boolean", "Whether it has the form and check digit of an ISIN (ISO 6166).", group=_GROUP
)
def _isin(value: Value) -> Value:
    return shared(value, lambda raw: _checked(raw, "[A-Z]{2}[0-9A-Z]{9}[0-9]", f"{_luhn(raw.sql)} = 0"))


@function(
    "iban(value: text)",
    "boolean",
    "Whether it has the length for its country and the check digits of an account number (ISO 13616), without spaces.",
    group=_GROUP,
)
def _iban(value: Value) -> Value:
    forms = "|".join(
        f"({'|'.join(countries.split())})(0[2-9]|[1-8][0-9]|9[0-8])[0-9A-Z]{{{length - 4}}}"
        for length, countries in _IBAN_LENGTHS.items()
    )
    return shared(
        value, lambda raw: _checked(raw, forms, f"{_mod_97(f'(substring({raw.sql}, 5) || left({raw.sql}, 4))')} = 1")
    )


def _checked(raw: Value, pattern: str, check: str) -> Value:
    """Combine pattern and check digit: the latter is computed only where the pattern holds."""
    form = f"regexp_full_match({raw.sql}, '{pattern}')"
    return boolean(f"(CASE WHEN {form} THEN {check} WHEN {raw.sql} IS NOT NULL THEN false END)", raw)


def _characters(raw: str) -> str:
    """Return SQL of the text's code points."""
    return f"list_transform(string_split({raw}, ''), lambda c: ord(c))"


def _mod_97(raw: str) -> str:
    """ISO 7064 mod 97-10: letters count as two digits, 10 to 35."""
    step = "CASE WHEN c > 57 THEN (a * 100 + c - 55) % 97 ELSE (a * 10 + c - 48) % 97 END"
    return f"list_reduce({_characters(raw)}, lambda a, c: {step}, 0)"


def _luhn(raw: str) -> str:
    """Luhn over the digits that letters expand to, modulo 10.

    Which digits count twice is known only at the end. So two sums run side by side, `plain + _BASE * doubled`, for
    the last digit being counted once or twice; a new digit swaps them, which is multiplying by _BASE modulo
    _BASE ** 2 - 1. A letter is two digits and swaps twice: not at all.
    """
    weights = ", ".join(str(_luhn_weight(chr(code))) for code in range(ord("0"), ord("Z") + 1))
    swap = f"a * (CASE WHEN c > 57 THEN 1 ELSE {_BASE} END)"
    step = f"({swap} + ([{weights}]::INTEGER[])[c - 47]) % {_RING}"
    return f"(list_reduce({_characters(raw)}, lambda a, c: {step}, 0) % {_BASE}) % 10"


def _luhn_weight(char: str) -> int:
    """Return what a character adds to the two sums."""
    if not char.isalnum():
        return 0
    tens, ones = divmod(int(char, 36), 10)
    return ones + _doubled(tens) + _BASE * (_doubled(ones) + tens)


def _doubled(digit: int) -> int:
    return sum(divmod(2 * digit, 10))


def _listed(value: Value, name: str) -> Value:
    """Match the whole list as one pattern: an automaton, 20 times faster than IN over the 2,000 market codes."""
    return _shaped(value, "|".join(codes(name)))


def _shaped(value: Value, pattern: str) -> Value:
    return boolean(f"regexp_full_match({value.sql}, '{pattern}')", value)


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
    return _shaped(value, "[ECDRFOSHIJKLTM][A-Z]{5}")


@function(
    "bic(value: text)",
    "boolean",
    "Whether it has the form of a business identifier code (ISO 9362), 8 or 11 characters.",
    group=_GROUP,
)
def _bic(value: Value) -> Value:
    return _shaped(value, "[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?")
