"""Random well-typed expressions over all functions and types."""

import random
import re

ODD = {
    "text": ["Ab c", "  x ", "CP1", "LEI1", "12", "-3.50", "2024-02-29", "2025-03-10T23:30:00Z", "ünï✓ß", "a'b\"c", "%_\\", "\t\n", "0", "+7", "1e5", "NaN", "true", "DE", "EUR", "XLON", "XOFF", "ESVUFR", "DEUTDEFF", "DEUTDEFF500"],
    "ident": ["US0378331005", "US0378331006", "DE000BAY0017", "HWUPKR0MPOU8FGXBT394", "HWUPKR0MPOU8FGXBT395", "HWUPKR0MPOU8FGXBT394TRADE1", "DE89370400440532013000", "DE88370400440532013000", "GB82WEST12345698765432", "hwupkr0mpou8fgxbt394", "GBX", "XXXX"],
    "integer": ["0", "1", "-1", "7", "-12", "1000", "+5", "007", "1.0", "x", "999999999999999999", "-999999999999999999", " 1", "NaN", "1e3"],
    "decimal": ["0", "-0.00", "1.5", "-2.5", "0.3333", "1234.5678", "2.5000", "99999999.9999", "1e3", "NaN", "inf", "1,5", "-0.0001", "3", ".5", "5."],
    "boolean": ["true", "false", "TRUE", "1", "yes"],
    "date": ["2025-03-10", "2024-02-29", "2023-02-29", "2025-1-5", "0001-01-01", "9999-12-31", "2025-12-31", "infinity", "1999-01-31", "x"],
    "timestamp": ["2025-03-11T06:30:00Z", "2025-03-10T23:30:00.120Z", "2025-03-11T01:00:00+02:00", "2024-02-29 12:00-0500", "2025-03-11T06:30:00", "2025-13-01T00:00:00Z", "1970-01-01T00:00:00.000001Z", "9999-12-31T23:59:59Z"],
}  # fmt: skip
ODDER = {
    "text": ["a\0b", "e\u0301", "\u00e9", "\u202eCP1", "\U0001f600x\U0001f600", "\u00a0x", "\u2003", "\u200b", "\u0130\u0131", "\u212a", "a\r\nb", "CP1\n", "CP1 ", " CP1", "cp1", "\uff11\uff12", "\u0661", "x" * 300, "|", "\\", "\0", "\ufeffCP1", "\U0010ffff", "-0", "0.50", "+3"],
    "ident": ["US0378331005 ", "us0378331005", "\uff35S0378331005", "US037833100\u0665", "US0378331005\n", "AU0000XVGZA3", "GB0002634946", "US0000000000", "HWUPKR0MPOU8FGXBT394 ", "HWUPKR0MPOU8FGXBT3\u0669\u0664", "HWUPKR0MPOU8FGXBT394-1", "HWUPKR0MPOU8FGXBT394" + "A" * 33, "DE89 3704 0044 0532 0130 00", "NO9386011117947", "XX89370400440532013000", "MT84MALT011000012345MTLCAST001S", "EUR ", "eur", "XLON\n", "xlon", "DEUTDEFF5", "deutdeff", "ESVUF", "ESVUFRX", "DEUTDEFF\u0131"],
    "integer": ["-0", "+0", "0" * 18, "0" * 19, "\u0663", "\uff11", "1_000", "0x1", "1\n", "--1", "+", "-", "1.", "9223372036854775807", "-9223372036854775808", "12\0"],
    "decimal": ["0" * 40 + "1.5", "1.5" + "0" * 40, "+0.0", "-0", "0.00005", "1.00005", "\uff11.5", "1.5\n", "1.5.5", "99999999999999.9999", "100000000000000", "999999999999999999", "-999999999999999999.9999999999", "1.0000000001", "5e-1", "infinity", "1.5\0", "2.", "-.5"],
    "boolean": ["True", "t", "0", "true ", "false\n", "on"],
    "date": ["0000-01-01", "0000-12-31", "10000-01-01", "1900-02-29", "2000-02-29", "2100-02-28", "2025-02-30", "2025-04-31", "2025-3-10", "2025-03-10 ", "2025-03-10\n", "20250310", "2025-03-10T00:00:00Z", "\uff12025-03-10", "-2025-03-10", "2024-12-31", "1582-10-10", "1500-02-28", "today", "2025-00-10", "2025-03-00"],
    "timestamp": ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00", "0001-01-01T00:30:00+01:00", "0001-01-01T23:59:59-14:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T00:00:00+00:00", "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:59+14:00", "2025-03-10T23:59:60Z", "2025-03-10T24:00:00Z", "2025-03-10T09:00:00-00:30", "2025-03-10T09:00:00+14:59", "2025-03-10T09:00:00+15:00", "2025-03-10T09:00Z", "2025-03-10T09Z", "2025-03-10T09:00:00.1234560Z", "2025-03-10T09:00:00.1234561Z", "2025-03-10T09:00:00.Z", "2025-03-10T09:00:00z", "2025-03-10T09:00:00+0100", "2025-03-10T09:00:00+01", "2025-03-10T09:00:00 +01", "2024-02-29T12:00:00Z", "1900-02-28T12:00:00Z", "1582-10-10T00:00:00Z", "2025-02-29T12:00:00Z", "0000-12-31T23:00:00-02:00", "2025-03-10T09:00:00Z\n", "infinity", "epoch"],
}  # fmt: skip
"""More of them, for tests that write no CSV files, which some of these do not survive."""
PATTERNS = ["[A-Z]{2}[0-9]*", "[0-9]+(\\\\.[0-9]+)?", "(CP|LEI)1", "a+b*", "\\\\d{2}", "[^x]*", "", "2025-.*|x"]
_CHOICES = (
    "(<same> if <boolean> else <same>)", "coalesce(<same>, <same>)", "min_of(<same>, <same>)", "max_of(<same>, <same>, <same>)"
)  # fmt: skip
_MOVED = ("add_days(<same>, <integer>)", "add_months(<same>, <integer>)", "add_years(<same>, <integer>)")
_SIGNS = ("==", "!=", "<", "<=", ">", ">=")
_KINDS = ("text", "number", "integer", "boolean", "date", "timestamp")
_IDENTIFIERS = ("lei", "isin", "iban", "uti", "mic", "currency", "country", "cfi", "bic")
LEAVES = {
    "text": ("code", "ident", "other", "code", "ident", "<word>"),
    "integer": ("quantity", "lots", "<small>", "0", "12"),
    "number": ("price", "amount", "price", "quantity", "<cents>"),
    "boolean": ("active", "closed", "true", "false", "null"),
    "date": ("traded", "settled", "business_date", "date('2024-12-31')", "date('2024-02-29')"),
    "timestamp": ("done_at", "sent_at", "as_of", "timestamp('2025-03-30T01:59:59.5+01:00')"),
}
WAYS: dict[str, tuple[str, ...]] = {
    "text": (
        "upper(<text>)", "lower(<text>)", "trim(<text>)", "concat(<text>, <text>)", "(<text> + <text>)", "substring(<text>, <integer>)",
        "substring(<text>, <integer>, <integer>)", "left(<text>, <integer>)", "right(<text>, <integer>)", "replace(<text>, 'a', 'bb')",
        "replace(<text>, 'P1', '')", "to_text(<any>)", "lookup('cp', <text>, 'lei')", "lookup('cp', <text>, 'country')", "field('other')", *_CHOICES,
    ),
    "integer": (
        "floor(<number>)", "ceil(<number>)", "round(<number>)", "round_half_up(<number>)", "length(<text>)", "to_integer(<text>)", "year(<moment>)",
        "month(<moment>)", "day(<moment>)", "days_between(<date>, <date>)", "(<integer> + <integer>)", "(<integer> - <integer>)",
        "(<integer> * <integer>)", "(<integer> // <integer>)", "(<integer> % <integer>)", "(-<integer>)", "abs(<integer>)", *_CHOICES,
    ),
    "number": (
        "(<number> + <number>)", "(<number> - <number>)", "(<number> * <number>)", "(<number> / <number>)", "(<number> // <number>)",
        "(<number> % <number>)", "abs(<number>)", "(-<number>)", "(+<number>)", "round(<number>, <places>)", "round_half_up(<number>, <places>)",
        "to_decimal(<text>)", "<integer>", *_CHOICES,
    ),
    "date": (*_MOVED, "date(<timestamp>)", "to_date(<text>)", *_CHOICES),
    "timestamp": (*_MOVED, "to_timestamp(<text>)", *_CHOICES),
    "boolean": (
        *(f"(<{kind}> {sign} <{kind}>)" for kind in _KINDS for sign in _SIGNS),
        *(f"(<{kind}> <= <{kind}> < <{kind}>)" for kind in ("text", "number", "date", "timestamp")),
        *(f"between(<{kind}>, <{kind}>, <{kind}>)" for kind in ("text", "number", "date", "timestamp")),
        *(f"{name}({of})" for name in _IDENTIFIERS for of in ("<text>", "ident", "code")),
        *(f"{name}(<text>, <text>)" for name in ("starts_with", "ends_with", "contains")),
        *["(<boolean> and <boolean>)", "(<boolean> or <boolean>)", "(not <boolean>)"] * 6,
        *["(<any> is null)", "(<any> is not null)", "matches(<text>, '<pattern>')", "has('cp', <text>)"] * 3,
        "(<number> in [1, 2.5, -3, 12])", "(<number> not in [1, 2.5, -3, 12])", "(<text> in ['CP1', 'x', 'DE'])", "(<text> not in ['CP1', 'x'])",
        "(<boolean> if <boolean> else <boolean>)",
    ),
}  # fmt: skip
_AMONG = {"any": _KINDS, "moment": ("date", "timestamp")}
_RANGES = {"small": (-9, 40, 1), "cents": (-500, 500, 100), "places": (0, 6, 1)}
_PLACE = re.compile("<([a-z]+)>")


class Maker:
    """Makes random expressions; every function of the language is among the ways to make its type."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - for variety, not for secrets

    def make(self, kind: str, depth: int) -> str:
        """Return an expression of a type: text, number, integer, boolean, date or timestamp."""
        leaf = depth <= 0 or self.dice.random() < 0.15
        form = self.dice.choice(LEAVES[kind] if leaf else WAYS[kind])
        return _PLACE.sub(lambda found: self._filled(found[1], kind, depth - 1), form)

    def _filled(self, place: str, kind: str, depth: int) -> str:
        if place in _RANGES:
            low, high, unit = _RANGES[place]
            number = self.dice.randint(low, high)
            return str(number if unit == 1 else number / unit)
        if place == "pattern":
            return self.dice.choice(PATTERNS)
        if place == "word":
            word = self.dice.choice(ODD["text"]).replace("\\", "\\\\").replace("'", "\\'")
            return "'" + word.replace("\t", "\\t").replace("\n", "\\n") + "'"
        return self.make(kind if place == "same" else self.dice.choice(_AMONG.get(place, (place,))), depth)
