"""Random well-typed expressions over all functions and types."""

import random
from typing import Any

ODD = {
    "text": ["Ab c", "  x ", "CP1", "LEI1", "12", "-3.50", "2024-02-29", "2025-03-10T23:30:00Z", "ünï✓ß", "a'b\"c", "%_\\", "\t\n", "0", "+7", "1e5", "NaN", "true", "DE", "EUR", "XLON", "XOFF", "ESVUFR", "DEUTDEFF", "DEUTDEFF500"],
    "ident": ["US0378331005", "US0378331006", "DE000BAY0017", "HWUPKR0MPOU8FGXBT394", "HWUPKR0MPOU8FGXBT395", "HWUPKR0MPOU8FGXBT394TRADE1", "DE89370400440532013000", "DE88370400440532013000", "GB82WEST12345698765432", "hwupkr0mpou8fgxbt394", "GBX", "XXXX"],
    "integer": ["0", "1", "-1", "7", "-12", "1000", "+5", "007", "1.0", "x", "999999999999999999", "-999999999999999999", " 1", "NaN", "1e3"],
    "decimal": ["0", "-0.00", "1.5", "-2.5", "0.3333", "1234.5678", "2.5000", "99999999.9999", "1e3", "NaN", "inf", "1,5", "-0.0001", "3", ".5", "5."],
    "boolean": ["true", "false", "TRUE", "1", "yes"],
    "date": ["2025-03-10", "2024-02-29", "2023-02-29", "2025-1-5", "0001-01-01", "9999-12-31", "2025-12-31", "infinity", "1999-01-31", "x"],
    "timestamp": ["2025-03-11T06:30:00Z", "2025-03-10T23:30:00.120Z", "2025-03-11T01:00:00+02:00", "2024-02-29 12:00-0500", "2025-03-11T06:30:00", "2025-13-01T00:00:00Z", "1970-01-01T00:00:00.000001Z", "9999-12-31T23:59:59Z"],
}  # fmt: skip
PATTERNS = ["[A-Z]{2}[0-9]*", "[0-9]+(\\\\.[0-9]+)?", "(CP|LEI)1", "a+b*", "\\\\d{2}", "[^x]*", "", "2025-.*|x"]


class Maker:
    """Makes random expressions; every function of the language is among the ways to make its type."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - for variety, not for secrets

    def pick(self, *options: Any) -> Any:
        return self.dice.choice(options)

    def make(self, kind: str, depth: int) -> str:
        """Return an expression of a type: text, number, integer, boolean, date or timestamp."""
        if depth <= 0 or self.dice.random() < 0.15:
            return str(getattr(self, f"{kind}_leaf")())
        return str(getattr(self, kind)(depth - 1))

    def text_leaf(self) -> str:
        word = (
            self.dice.choice(ODD["text"])
            .replace("\\", "\\\\")
            .replace("'", "\\'")
            .replace("\t", "\\t")
            .replace("\n", "\\n")
        )
        return self.pick("code", "ident", "other", "code", "ident", f"'{word}'")

    def integer_leaf(self) -> str:
        return self.pick("quantity", "lots", str(self.dice.randint(-9, 40)), "0", "12")

    def number_leaf(self) -> str:
        return self.pick("price", "amount", "price", self.integer_leaf(), f"{self.dice.randint(-500, 500) / 100}")

    def boolean_leaf(self) -> str:
        return self.pick("active", "closed", "true", "false", "null")

    def date_leaf(self) -> str:
        return self.pick("traded", "settled", "business_date", "date('2024-12-31')", "date('2024-02-29')")

    def timestamp_leaf(self) -> str:
        return self.pick("done_at", "sent_at", "as_of", "timestamp('2025-03-30T01:59:59.5+01:00')")

    def any(self, depth: int) -> tuple[str, str]:
        kind = self.pick("text", "number", "integer", "boolean", "date", "timestamp")
        return kind, self.make(kind, depth)

    def chosen(self, kind: str, depth: int) -> str:
        one, two, test = self.make(kind, depth), self.make(kind, depth), self.make("boolean", depth)
        return self.pick(f"({one} if {test} else {two})", f"coalesce({one}, {two})", f"min_of({one}, {two})", f"max_of({one}, {two}, {one})")  # fmt: skip

    def text(self, depth: int) -> str:
        inner, other, count = (self.make(kind, depth) for kind in ("text", "text", "integer"))
        return self.pick(
            f"upper({inner})", f"lower({inner})", f"trim({inner})", f"concat({inner}, {other})", f"({inner} + {other})",
            f"substring({inner}, {count})", f"substring({inner}, {count}, {self.make('integer', depth)})", f"left({inner}, {count})",
            f"right({inner}, {count})", f"replace({inner}, 'a', 'bb')", f"replace({inner}, 'P1', '')", f"to_text({self.any(depth)[1]})",
            f"lookup('cp', {inner}, 'lei')", f"lookup('cp', {inner}, 'country')", "field('other')", self.chosen("text", depth),
        )  # fmt: skip

    def integer(self, depth: int) -> str:
        number, text = self.make("number", depth), self.make("text", depth)
        moment = self.make(self.pick("date", "timestamp"), depth)
        left, right = self.make("integer", depth), self.make("integer", depth)
        return self.pick(
            f"floor({number})", f"ceil({number})", f"round({number})", f"round_half_up({number})", f"length({text})", f"to_integer({text})",
            f"year({moment})", f"month({moment})", f"day({moment})", f"days_between({self.make('date', depth)}, {self.make('date', depth)})",
            f"({left} + {right})", f"({left} - {right})", f"({left} * {right})", f"({left} // {right})", f"({left} % {right})", f"(-{left})", f"abs({left})",
            self.chosen("integer", depth),
        )  # fmt: skip

    def number(self, depth: int) -> str:
        left, right, places = self.make("number", depth), self.make("number", depth), self.dice.randint(0, 6)
        return self.pick(
            f"({left} + {right})", f"({left} - {right})", f"({left} * {right})", f"({left} / {right})", f"({left} // {right})", f"({left} % {right})",
            f"abs({left})", f"(-{left})", f"(+{left})", f"round({left}, {places})", f"round_half_up({left}, {places})", f"to_decimal({self.make('text', depth)})",
            self.make("integer", depth), self.chosen("number", depth),
        )  # fmt: skip

    def date(self, depth: int) -> str:
        day, count = self.make("date", depth), self.make("integer", depth)
        return self.pick(
            f"add_days({day}, {count})", f"add_months({day}, {count})", f"add_years({day}, {count})", f"date({self.make('timestamp', depth)})",
            f"to_date({self.make('text', depth)})", self.chosen("date", depth),
        )  # fmt: skip

    def timestamp(self, depth: int) -> str:
        moment, count = self.make("timestamp", depth), self.make("integer", depth)
        return self.pick(
            f"add_days({moment}, {count})", f"add_months({moment}, {count})", f"add_years({moment}, {count})",
            f"to_timestamp({self.make('text', depth)})", self.chosen("timestamp", depth),
        )  # fmt: skip

    def boolean(self, depth: int) -> str:
        kind, left = self.any(depth)
        right, third, text = self.make(kind, depth), self.make(kind, depth), self.make("text", depth)
        flag, other = self.make("boolean", depth), self.make("boolean", depth)
        sign = self.pick("==", "!=", "<", "<=", ">", ">=")
        name = self.pick("lei", "isin", "iban", "uti", "mic", "currency", "country", "cfi", "bic")
        whole = self.pick("starts_with", "ends_with", "contains")
        ways = [
            f"({left} {sign} {right})", f"({left} <= {right} < {third})", f"({flag} and {other})", f"({flag} or {other})", f"(not {flag})",
            f"({left} is null)", f"({left} is not null)", f"between({left}, {right}, {third})", f"{name}({text})", f"{name}(ident)",
            f"{whole}({text}, {self.make('text', depth)})", f"matches({text}, '{self.pick(*PATTERNS)}')", f"has('cp', {text})",
            f"({self.make('number', depth)} {self.pick('in', 'not in')} [1, 2.5, -3, 12])", f"({text} {self.pick('in', 'not in')} ['CP1', 'x', 'DE'])",
            f"({flag} if {other} else {self.make('boolean', depth)})",
        ]  # fmt: skip
        return str(self.pick(*ways))
