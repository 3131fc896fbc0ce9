"""The comparison of times tells a difference from noise; tried on made-up series, where the truth is known."""

import random

import pytest

from tests.tenancy.strangers import SERIES, Times, compared

TRIES = 200
(FIRST, GLANCE), *_, (ROUNDS, ERRORS) = SERIES


def series(seed: int, slower: float) -> Times:
    """Return times of a busy machine: spread, a drift, and now and then a request that takes ten times as long."""
    chance = random.Random(seed)  # noqa: S311 - noise, to be had again
    made: Times = ([], [], [])
    for round_ in range(ROUNDS):
        for which, times in enumerate(made):
            usual = 0.005 * (1 + round_ / ROUNDS) * chance.lognormvariate(0, 0.15)
            times.append(usual * (10 if chance.random() < 0.05 else 1) * (slower if which == 0 else 1))
    return made


def test_noise_tells_nothing() -> None:
    """In two hundred series without a difference none is found."""
    assert not [seed for seed in range(TRIES) if compared(series(seed, 1.0), ERRORS)[0]]


@pytest.mark.parametrize("slower", [1.3, 0.75])
def test_a_quarter_is_told(slower: float) -> None:
    """A quarter more or less is found nearly always."""
    found = [seed for seed in range(TRIES) if compared(series(seed, slower), ERRORS)[0]]
    assert len(found) > 0.9 * TRIES


def test_the_first_look_is_cheap_and_sees_much() -> None:
    """Few rounds are enough to look closer where something takes half as long again."""
    short: list[Times] = []
    for seed in range(TRIES):
        one, two, three = series(seed, 1.5)
        short.append((one[:FIRST], two[:FIRST], three[:FIRST]))
    assert len([each for each in short if compared(each, GLANCE)[0]]) > 0.9 * TRIES
