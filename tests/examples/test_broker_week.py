"""The generated week: the same every time, well-formed where it is good, spoilt exactly where its key says."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from stdnum import isin, lei

from examples.broker_week import parties
from examples.broker_week.defects import KINDS
from examples.broker_week.generate import write
from examples.broker_week.trades import Trade
from examples.broker_week.week import Answer, week


def _made(rows: int = 5_000, seed: int = 1) -> tuple[list[Trade], list[Answer]]:
    answers: list[Answer] = []
    return list(week(rows, seed).trades(answers)), answers


def _digest(folder: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.iterdir()))).hexdigest()


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """Two generations from one seed give the same files, byte for byte; another seed gives others."""
    for name, seed in (("one", 7), ("two", 7), ("other", 8)):
        write(week(1_000, seed), tmp_path / name)
    assert _digest(tmp_path / "one") == _digest(tmp_path / "two") != _digest(tmp_path / "other")


def test_instruments_are_well_formed() -> None:
    """Every listed instrument has a right ISIN check digit and occurs once."""
    isins = [instrument.isin for instrument in parties.instruments()]
    assert all(isin.is_valid(code) for code in isins)
    assert len(isins) == len(set(isins)) >= 40


def test_leis_are_well_formed_but_one() -> None:
    """The firm's and all counterparties' LEIs have right check digits, except the last counterparty's."""
    *good, bad = [party.lei for party in parties.counterparties(seed=1)]
    assert all(lei.is_valid(code) for code in (parties.FIRM_LEI, *good))
    assert not lei.is_valid(bad)


@pytest.mark.parametrize("rows", [200, 1_000, 5_000, 20_000])
def test_every_kind_occurs_as_often_as_planned(rows: int) -> None:
    """Any size has exactly the asked number of rows and one defect of each kind for every 1,000 (at least one)."""
    trades, answers = _made(rows)
    assert len(trades) == rows
    assert Counter(answer.defect for answer in answers) == dict.fromkeys(KINDS, max(1, rows // 1000))


def test_answer_key_names_the_rows() -> None:
    """Each answer's ordinal leads to the row with its key, and no row is named twice."""
    trades, answers = _made()
    for answer in answers:
        row = trades[answer.ordinal - 1]
        assert (row.trade_id, row.version, row.action) == (answer.trade_id, answer.version, answer.action)
    assert len({answer.ordinal for answer in answers}) == len(answers)


def test_corrections_have_their_cancellation() -> None:
    """Every second version has its first version and that one's cancellation among the good rows."""
    trades, answers = _made()
    bad = {answer.ordinal for answer in answers}
    good = {(row.trade_id, row.version, row.action) for ordinal, row in enumerate(trades, 1) if ordinal not in bad}
    corrected = [reference for reference, version, _ in good if version == "2"]
    assert len(corrected) == 15
    assert all({(ref, "1", "NEW"), (ref, "1", "CANCEL")} <= good for ref in corrected)


def test_too_small_a_week_is_refused() -> None:
    """A week that cannot hold every kind is refused with a reason."""
    with pytest.raises(ValueError, match="at least 200 rows"):
        week(rows=199)


def test_concat_identifier() -> None:
    """The CONCAT identifier drops prefixes, marks and punctuation, and pads short names."""
    assert parties.concat_id(parties.Client("C", "Zoë", "de Vries", "1980-01-02", "IE")) == "IE19800102ZOE##VRIES"
    assert parties.concat_id(parties.Client("C", "Łucja", "O'Brien", "1999-12-31", "AT")) == "AT19991231LUCJAOBRIE"


def test_some_purchases_are_marked_as_short_sales() -> None:
    """The week has a few good rows that deserve a warning: purchases with a short-sale mark."""
    trades, _ = _made()
    assert 0 < sum(trade.side == "B" and trade.short_sale != "" for trade in trades) < 50
