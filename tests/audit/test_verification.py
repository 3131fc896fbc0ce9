"""What a verification finds in a trail, with and without a checkpoint kept aside (S39)."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.tree import leaf_hash
from services.audit.verification import Finding, Mark, Verdict, Verification
from tests.audit.trails import Row, checkpoint, honest, rows_of


def judge(rows: list[Row], *marks: Mark, head: object = None) -> Verdict:
    verification = Verification(marks)
    for row in rows:
        verification.feed(row.seq, row.leaf_hash, row.body)
    return verification.verdict(head)  # type: ignore[arg-type]


def held(rows: list[Row], size: int | None = None) -> Mark:
    return Mark(checkpoint(rows, size), held=True)


def stored(rows: list[Row], size: int | None = None) -> Mark:
    return Mark(checkpoint(rows, size))


@given(st.integers(1, 60), st.data())
def test_honest_trail(size: int, data: st.DataObject) -> None:
    """An untouched trail is proven up to the held checkpoint's size, however it grew after it."""
    rows = honest(size)
    kept = data.draw(st.integers(1, size))
    verdict = judge(rows, held(rows, kept), head=checkpoint(rows))
    assert (verdict.finding, verdict.proven_size, verdict.size) == (Finding.PROVEN, kept, size)


def test_no_checkpoint() -> None:
    """Without a held checkpoint the verdict says plainly that it proves only agreement with itself."""
    rows = honest(5)
    verdict = judge(rows, stored(rows), head=checkpoint(rows))
    assert verdict.finding is Finding.CONSISTENT
    assert "no checkpoint kept aside" in verdict.detail


def test_empty_trail() -> None:
    """A trail without entries is consistent; a checkpoint over nothing proves nothing."""
    assert judge([], held([]), head=checkpoint([])).finding is Finding.CONSISTENT


@given(st.integers(1, 40), st.data())
def test_edited_body(size: int, data: st.DataObject) -> None:
    """A body that was edited beside its old hash is named exactly, with and without a checkpoint."""
    rows = honest(size)
    bad = data.draw(st.integers(0, size - 1))
    forged = [*rows]
    forged[bad] = Row(bad, rows[bad].leaf_hash, b"edited")
    for marks in ([held(rows)], []):
        verdict = judge(forged, *marks)
        assert (verdict.finding, verdict.seq) == (Finding.EDITED, bad)


@given(st.integers(1, 40), st.data())
def test_careful_edit(size: int, data: st.DataObject) -> None:
    """An edit that also repairs the hash is found and bracketed by the checkpoints around it."""
    rows = honest(size)
    bad = data.draw(st.integers(0, size - 1))
    forged = [*rows]
    forged[bad] = Row(bad, leaf_hash(b"edited"), b"edited")
    marks = [stored(rows, at) for at in range(5, size, 5)]
    verdict = judge(forged, held(rows), *marks)
    assert verdict.finding is Finding.REWRITTEN
    assert verdict.seq == bad // 5 * 5
    assert verdict.until == min(verdict.seq + 5, size)


@given(st.integers(1, 40), st.data())
def test_cut_tail(size: int, data: st.DataObject) -> None:
    """A tail that was cut, head and all, is found by the held checkpoint, which counts what is missing."""
    rows = honest(size)
    left = data.draw(st.integers(0, size - 1))
    verdict = judge(rows[:left], held(rows), head=checkpoint(rows, left))
    assert (verdict.finding, verdict.seq, verdict.until) == (Finding.CUT, left, size)


def test_cut_tail_with_old_head() -> None:
    """A tail that was cut without touching the head is found without any checkpoint."""
    rows = honest(9)
    verdict = judge(rows[:6], head=checkpoint(rows))
    assert (verdict.finding, verdict.seq, verdict.until) == (Finding.CUT, 6, 9)


def test_cut_tail_with_stored_checkpoint() -> None:
    """A tail that was cut is found by a checkpoint that was left lying beside it."""
    rows = honest(9)
    assert judge(rows[:6], stored(rows, 8)).finding is Finding.CUT


@given(st.integers(2, 40), st.data())
def test_reordered(size: int, data: st.DataObject) -> None:
    """Two entries that changed places, hashes and all, do not meet the held checkpoint."""
    rows = honest(size)
    first = data.draw(st.integers(0, size - 2))
    second = data.draw(st.integers(first + 1, size - 1))
    bodies = [row.body for row in rows]
    bodies[first], bodies[second] = bodies[second], bodies[first]
    assert judge(rows_of(bodies), held(rows)).finding is Finding.REWRITTEN


@pytest.mark.parametrize(
    ("tamper", "seq"),
    [
        (lambda rows: [rows[0], *rows[2:]], 1),
        (lambda rows: [rows[0], rows[0], *rows[1:]], 1),
        (lambda rows: [rows[1], rows[0], *rows[2:]], 0),
    ],
)
def test_out_of_order(tamper: Callable[[list[Row]], list[Row]], seq: int) -> None:
    """A missing, doubled or displaced entry is named without any checkpoint."""
    verdict = judge(tamper(honest(4)))
    assert (verdict.finding, verdict.seq) == (Finding.OUT_OF_ORDER, seq)


def test_full_rewrite() -> None:
    """A whole other trail, head and stored checkpoints made to fit, passes alone and fails the held checkpoint."""
    rows = honest(8)
    forged = rows_of(b"another history %d" % number for number in range(8))
    assert judge(forged, stored(forged), head=checkpoint(forged)).finding is Finding.CONSISTENT
    verdict = judge(forged, held(rows), stored(forged, 5), head=checkpoint(forged))
    assert verdict.finding is Finding.REWRITTEN
    assert "held" in verdict.detail


def test_head_of_another_trail() -> None:
    """A head that does not belong to the entries is found without any checkpoint."""
    rows = honest(4)
    assert judge(rows, head=checkpoint(honest(3))).finding is Finding.REWRITTEN


def test_appended_beside_the_head() -> None:
    """Entries that were slipped in behind the head's back are found without any checkpoint."""
    rows = honest(6)
    assert judge(rows, head=checkpoint(rows, 4)).finding is Finding.REWRITTEN


def test_first_fault_stays() -> None:
    """After the first fault nothing that follows changes the verdict."""
    verification = Verification()
    rows = honest(3)
    verification.feed(0, rows[1].leaf_hash, rows[0].body)
    for row in rows:
        verification.feed(row.seq, row.leaf_hash, row.body)
    verification.forged(2, "whatever")
    assert verification.broken
    assert verification.verdict().seq == 0


def test_forged_stored_checkpoint() -> None:
    """A stored checkpoint that our key did not sign is a finding of its own."""
    verification = Verification()
    verification.forged(7, "the signature does not fit")
    assert verification.verdict().finding is Finding.FORGED


def test_late_checkpoint() -> None:
    """A checkpoint that the pass has already left behind is refused, not silently skipped."""
    rows = honest(3)
    verification = Verification()
    for row in rows:
        verification.feed(row.seq, row.leaf_hash, row.body)
    with pytest.raises(ValueError, match="behind"):
        verification.expect([held(rows, 2)])
