"""The Merkle tree, held against the recursive definition of RFC 9162 and the published test vectors."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.tree import (
    EMPTY_ROOT,
    Frontier,
    Subtree,
    consistency_path,
    extend,
    inclusion_path,
    leaf_hash,
    perfect_root,
    resolve,
    verify_consistency,
    verify_inclusion,
)

INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""The inputs and roots with which the certificate transparency implementations test themselves."""

SIZES = st.integers(1, 300)


def bodies(size: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(size)]


def split(size: int) -> int:
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def mth(data: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, word for word."""
    if not data:
        return sha256(b"").digest()
    if len(data) == 1:
        return sha256(b"\x00" + data[0]).digest()
    k = split(len(data))
    return sha256(b"\x01" + mth(data[:k]) + mth(data[k:])).digest()


def path(m: int, data: list[bytes]) -> list[bytes]:
    """RFC 9162 section 2.1.3.1, word for word."""
    if len(data) == 1:
        return []
    k = split(len(data))
    if m < k:
        return [*path(m, data[:k]), mth(data[k:])]
    return [*path(m - k, data[k:]), mth(data[:k])]


def subproof(m: int, data: list[bytes], complete: bool) -> list[bytes]:  # noqa: FBT001 - as the RFC writes it
    """RFC 9162 section 2.1.4.1, word for word."""
    if m == len(data):
        return [] if complete else [mth(data)]
    k = split(len(data))
    if m <= k:
        return [*subproof(m, data[:k], complete), mth(data[k:])]
    return [*subproof(m - k, data[k:], False), mth(data[:k])]


def hash_source(data: list[bytes]) -> Callable[[Subtree], bytes]:
    leaves = [leaf_hash(body) for body in data]
    return lambda part: perfect_root(leaves[part.index << part.level : (part.index + 1) << part.level])


@pytest.mark.parametrize("size", range(1, 9))
def test_published_roots(size: int) -> None:
    """The published inputs give the published roots (S39)."""
    leaves = [leaf_hash(bytes.fromhex(text)) for text in INPUTS[:size]]
    assert extend(Frontier(), leaves).frontier.root().hex() == ROOTS[size - 1]


def test_empty_root() -> None:
    """The empty tree's root is the hash of nothing."""
    assert Frontier().root() == EMPTY_ROOT == sha256(b"").digest()


@given(SIZES, st.data())
def test_batches_do_not_matter(size: int, data: st.DataObject) -> None:
    """However a tree is split into appends, it ends in the recursive definition's root."""
    cut = data.draw(st.integers(0, size))
    leaves = [leaf_hash(body) for body in bodies(size)]
    first = extend(Frontier(), leaves[:cut]).frontier
    assert extend(first, leaves[cut:]).frontier.root() == mth(bodies(size))


@given(SIZES, st.data())
def test_inclusion_proofs(size: int, data: st.DataObject) -> None:
    """Every audit path equals the recursive definition's and verifies."""
    index = data.draw(st.integers(0, size - 1))
    entries = bodies(size)
    proof = resolve(inclusion_path(index, size), hash_source(entries))
    assert proof == path(index, entries)
    assert verify_inclusion(leaf_hash(entries[index]), index, size, proof, mth(entries))


@given(SIZES, st.data())
def test_inclusion_refuses_what_is_not_there(size: int, data: st.DataObject) -> None:
    """A wrong leaf, position, root, or a damaged, shortened or lengthened path does not verify."""
    index = data.draw(st.integers(0, size - 1))
    entries = bodies(size)
    leaf, root = leaf_hash(entries[index]), mth(entries)
    proof = resolve(inclusion_path(index, size), hash_source(entries))
    other = leaf_hash(b"another")
    assert not verify_inclusion(other, index, size, proof, root)
    assert not verify_inclusion(leaf, index, size, proof, other)
    assert not verify_inclusion(leaf, index, size, [*proof, other], root)
    assert not verify_inclusion(leaf, size, size, proof, root)
    for position in range(len(proof)):
        assert not verify_inclusion(leaf, index, size, proof[:position] + proof[position + 1 :], root)
        assert not verify_inclusion(leaf, index, size, [*proof[:position], other, *proof[position + 1 :]], root)
    for wrong in set(range(size)) - {index}:
        assert not verify_inclusion(leaf, wrong, size, proof, root)


@given(SIZES, st.data())
def test_consistency_proofs(size: int, data: st.DataObject) -> None:
    """Every consistency proof equals the recursive definition's and verifies."""
    first = data.draw(st.integers(1, size))
    entries = bodies(size)
    proof = resolve(consistency_path(first, size), hash_source(entries))
    assert proof == subproof(first, entries, True)
    assert verify_consistency(first, size, mth(entries[:first]), mth(entries), proof)


@given(st.integers(2, 300), st.data())
def test_consistency_refuses_another_history(size: int, data: st.DataObject) -> None:
    """A tree with one old entry changed is not a continuation, whatever its own proof says (S39)."""
    first = data.draw(st.integers(1, size - 1))
    changed = data.draw(st.integers(0, first - 1))
    entries = bodies(size)
    forged = [*entries[:changed], b"forged", *entries[changed + 1 :]]
    proof = resolve(consistency_path(first, size), hash_source(forged))
    assert not verify_consistency(first, size, mth(entries[:first]), mth(forged), proof)


@given(st.integers(2, 200), st.data())
def test_consistency_refuses_damaged_proofs(size: int, data: st.DataObject) -> None:
    """A proof with a node replaced, missing or added does not verify."""
    first = data.draw(st.integers(1, size - 1))
    entries = bodies(size)
    roots = mth(entries[:first]), mth(entries)
    proof = resolve(consistency_path(first, size), hash_source(entries))
    other = leaf_hash(b"another")
    assert not verify_consistency(first, size, *roots, [*proof, other])
    for position in range(len(proof)):
        assert not verify_consistency(first, size, *roots, proof[:position] + proof[position + 1 :])
        assert not verify_consistency(first, size, *roots, [*proof[:position], other, *proof[position + 1 :]])


def test_consistency_edges() -> None:
    """Equal sizes need equal roots and no proof; the empty tree is everyone's beginning; shrinking never verifies."""
    old, new = mth(bodies(3)), mth(bodies(5))
    assert verify_consistency(3, 3, old, old, [])
    assert not verify_consistency(3, 3, old, new, [])
    assert not verify_consistency(3, 3, old, old, [old])
    assert verify_consistency(0, 5, EMPTY_ROOT, new, [])
    assert not verify_consistency(0, 5, old, new, [])
    assert not verify_consistency(5, 3, new, old, [new])
    assert not verify_consistency(3, 5, old, new, [])


def test_completed_subtrees() -> None:
    """An append names each eighth-level subtree it completes, once, with the root of its leaves."""
    entries = bodies(600)
    leaves = [leaf_hash(body) for body in entries]
    first = extend(Frontier(), leaves[:300])
    second = extend(first.frontier, leaves[300:])
    assert first.completed == ((Subtree(8, 0), mth(entries[:256])),)
    assert second.completed == ((Subtree(8, 1), mth(entries[256:512])),)


def test_stored_ranges() -> None:
    """A perfect subtree is computed from the nearest stored level at or below it."""
    assert Subtree(0, 7).stored() == (0, 7, 1)
    assert Subtree(3, 2).stored() == (0, 16, 8)
    assert Subtree(8, 5).stored() == (8, 5, 1)
    assert Subtree(10, 1).stored() == (8, 4, 4)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_no_path_to_what_is_not_there(index: int, size: int) -> None:
    """An audit path is refused for a leaf outside the tree."""
    with pytest.raises(ValueError, match="not in a tree"):
        inclusion_path(index, size)


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 3), (-1, 3)])
def test_no_proof_between_impossible_sizes(first: int, second: int) -> None:
    """A consistency proof is refused from nothing, backwards or below zero."""
    with pytest.raises(ValueError, match="consistency proof"):
        consistency_path(first, second)


def test_frontier_refuses_a_wrong_shape() -> None:
    """A frontier whose node count does not fit its size is refused at once."""
    with pytest.raises(ValueError, match="perfect subtrees"):
        Frontier(3, (EMPTY_ROOT,))


@pytest.mark.parametrize("count", [0, 3, 6])
def test_perfect_root_refuses_other_counts(count: int) -> None:
    """Only a power of two of hashes makes a perfect subtree."""
    with pytest.raises(ValueError, match="perfect subtree"):
        perfect_root([EMPTY_ROOT] * count)
