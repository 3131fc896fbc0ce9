"""Products and quotients of several wide numbers: exact to twenty places as long as the number itself fits 38 digits."""

import random
from collections.abc import Callable
from fractions import Fraction

import pytest

from tests.expressions.reference import Interpreter
from tests.expressions.reference_functions import plain

Evaluate = Callable[..., str | None]

SEVERAL = [
    ("{0} * {1} * {2}", ("1000000000.25", "2500.5", "1.0834567891")),
    ("{0} * {1} * {2}", ("-99999999999.99", "100000", "1.5")),
    ("{0} * ({1} * {2})", ("1000000000.25", "2500.5", "1.0834567891")),
    ("{0} * {1} * {2} * {3}", ("1000000.25", "2500.5", "1.0834", "0.25")),
    ("({0} * {1}) / ({2} * {3})", ("1000000000.25", "2500.5", "1.0834", "0.25")),
    ("{0} / ({1} * {2})", ("100000000000000.25", "0.0025", "1.0834")),
    ("({0} * {1}) / {2}", ("123456789012.5", "1000.25", "0.0000000007")),
    ("{0} * {1} * {2}", ("0.0000000001", "0.0000000001", "0.5")),
    ("{0} * {1} * {2}", ("1.0834567891", "2.0834567891", "3.0834567891")),
    ("{0} * {1} - {2} * {3}", ("12345678901.25", "1000.5", "12345678901.25", "1000.25")),
]


def written(shape: str, numbers: tuple[str, ...]) -> str:
    """Return the expression over numbers that are as wide as a field is by default."""
    return shape.format(*(f"to_decimal('{number}')" for number in numbers))


@pytest.mark.parametrize(("shape", "numbers"), SEVERAL)
def test_several_wide_factors(evaluate: Evaluate, shape: str, numbers: tuple[str, ...]) -> None:
    """What a price, a quantity and a rate come to is known beyond a hundred million."""
    expected = Interpreter({}).run(shape.format(*numbers))
    assert isinstance(expected, Fraction)
    found = evaluate(written(shape, numbers))
    assert found is not None
    assert Fraction(found) == expected


def test_places_beyond_the_twentieth_are_rounded_half_even(evaluate: Evaluate) -> None:
    """As quotients are beyond the tenth; the factors' own places are kept."""
    assert evaluate(written("{0} * {1} * {2}", ("0.0000000005", "0.0000000001", "0.1"))) == "0.00000000000000000000"
    assert evaluate(written("{0} * {1} * {2}", ("0.0000000015", "0.0000000001", "0.1"))) == "0.00000000000000000002"
    assert evaluate("0.00000000000000000000001 * 2 * amount", amount="0.5") == "0.00000000000000000000001"


def test_what_38_digits_do_not_hold_is_unknown(evaluate: Evaluate) -> None:
    """Large numbers that use many places have no exact product here, and get no other."""
    assert evaluate(written("{0} * {1} * {2}", ("123456789.123456789", "123456789.123456789", "1.5"))) is None
    assert evaluate(written("{0} * {1} * {2}", ("999999999999", "999999999", "1.5"))) is None


@pytest.mark.parametrize("seed", range(5))
def test_numbers_of_few_places_are_multiplied_exactly(evaluate: Evaluate, seed: int) -> None:
    """Wherever the result has up to seventeen digits before the point, and no factor more than five after it."""
    dice = random.Random(seed)  # noqa: S311 - for variety, not for secrets
    for _ in range(40):
        numbers = tuple(plain(_number(dice)) for _ in range(3))
        product = Fraction(numbers[0]) * Fraction(numbers[1]) * Fraction(numbers[2])
        shape = dice.choice(("{0} * {1} * {2}", "{0} * ({1} * {2})"))
        found = evaluate(written(shape, numbers))
        assert found is not None, (shape, numbers)
        assert Fraction(found) == product


def _number(dice: random.Random) -> Fraction:
    """Return a number below 300,000, of five places."""
    return Fraction(dice.choice((1, -1)) * dice.randint(1, 3 * 10 ** dice.randint(1, 10)), 10**5)
