"""Where an indicator is going: over its last values, in whole millionths. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

RUNS = 20
"""How many values a trend looks at, the newest included."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The value before, the mean, and by how much a value changes from run to run; in millionths."""

    runs: int
    previous: int | None
    average: int
    slope: int | None


def trend(values: Sequence[int]) -> Trend:
    """Return the trend of the last `RUNS` of `values` (millionths, oldest first, at least one).

    The average is their mean. The slope is that of the least-squares line through (0, v0) ... (n-1, vn-1):
    (n Σ i·v - Σ i Σ v) / (n Σ i² - (Σ i)²). Both are computed exactly and rounded half to even.
    """
    recent = values[-RUNS:]
    count, total = len(recent), sum(recent)
    average = round(Fraction(total, count))
    if count == 1:
        return Trend(1, None, average, None)
    places = count * (count - 1) // 2
    squares = (count - 1) * count * (2 * count - 1) // 6
    weighted = sum(place * value for place, value in enumerate(recent))
    slope = Fraction(count * weighted - places * total, count * squares - places**2)
    return Trend(count, recent[-2], average, round(slope))
