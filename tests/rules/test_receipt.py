"""The tree of RFC 9162 §2.1, against published vectors and against its definition."""

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from serantau.rules.receipt import (
    EMPTY,
    consistency_ranges,
    continues,
    cover,
    folded,
    includes,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    path_in,
    path_of,
    root_of,
)

# The vectors that implementations of RFC 6962 and RFC 9162 share.
LEAVES = [
    leaf_hash(bytes.fromhex(text))
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
INCLUSION = {
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
CONSISTENCY = {
    (1, 1): (),
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node_hash(naive_root(hashes[:split]), naive_root(hashes[split:]))


def naive_inclusion(index: int, hashes: list[bytes]) -> list[bytes]:
    """RFC 9162 §2.1.3.1, word for word."""
    if len(hashes) == 1:
        return []
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    if index < split:
        return [*naive_inclusion(index, hashes[:split]), naive_root(hashes[split:])]
    path = naive_inclusion(index - split, hashes[split:])
    return [*path, naive_root(hashes[:split])]


def naive_consistency(
    first: int, hashes: list[bytes], whole: bool = True
) -> list[bytes]:
    """RFC 9162 §2.1.4.1, word for word."""
    if first == len(hashes):
        return [] if whole else [naive_root(hashes)]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    if first <= split:
        path = naive_consistency(first, hashes[:split], whole)
        return [*path, naive_root(hashes[split:])]
    path = naive_consistency(first - split, hashes[split:], False)
    return [*path, naive_root(hashes[:split])]


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(count)]


sizes = st.integers(min_value=1, max_value=300)


def test_roots_are_those_of_the_published_vectors() -> None:
    assert root_of([]) == EMPTY == hashlib.sha256(b"").digest()
    assert [root_of(LEAVES[:size]).hex() for size in range(1, 9)] == list(ROOTS)


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_those_of_the_published_vectors(
    index: int, size: int
) -> None:
    path = path_of(LEAVES[:size], inclusion_ranges(index, size))
    assert tuple(one.hex() for one in path) == INCLUSION[index, size]
    assert includes(root_of(LEAVES[:size]), size, index, LEAVES[index], path)


@pytest.mark.parametrize(("first", "second"), CONSISTENCY)
def test_consistency_proofs_are_those_of_the_published_vectors(
    first: int, second: int
) -> None:
    path = path_of(LEAVES[:second], consistency_ranges(first, second))
    assert tuple(one.hex() for one in path) == CONSISTENCY[first, second]
    roots = [bytes.fromhex(root) for root in ROOTS]
    assert continues(first, roots[first - 1], second, roots[second - 1], path)


@given(sizes, st.data())
def test_proofs_are_what_the_standard_defines(size: int, data: st.DataObject) -> None:
    hashes = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    root = naive_root(hashes)
    assert root_of(hashes) == root
    path = path_of(hashes, inclusion_ranges(index, size))
    assert path == naive_inclusion(index, hashes)
    assert includes(root, size, index, hashes[index], path)
    first = data.draw(st.integers(1, size))
    grown = path_of(hashes, consistency_ranges(first, size))
    assert grown == naive_consistency(first, hashes)
    assert continues(first, naive_root(hashes[:first]), size, root, grown)


@given(sizes, st.data())
def test_complete_subtrees_are_enough_to_prove_everything(
    size: int, data: st.DataObject
) -> None:
    hashes = leaves(size)

    def node(level: int, index: int) -> bytes:
        end = index + 1 << level
        assert end <= size, "a subtree that is not complete is kept by nobody"
        return naive_root(hashes[index << level : end])

    assert folded([node(*one) for one in cover(0, size)]) == root_of(hashes)
    first = data.draw(st.integers(0, size))
    ranges = consistency_ranges(first, size)
    assert path_in(ranges, node) == path_of(hashes, ranges)
    ranges = inclusion_ranges(data.draw(st.integers(0, size - 1)), size)
    assert path_in(ranges, node) == path_of(hashes, ranges)


@given(sizes, st.data())
def test_a_changed_proof_proves_nothing(size: int, data: st.DataObject) -> None:
    hashes, index = leaves(size), data.draw(st.integers(0, size - 1))
    root = root_of(hashes)
    path = path_of(hashes, inclusion_ranges(index, size))
    change = data.draw(st.sampled_from(("leaf", "root", "index", "cut", "long", "bit")))
    bad = bytes(32)
    if change == "leaf":
        assert not includes(root, size, index, bad, path)
    elif change == "root":
        assert not includes(bad, size, index, hashes[index], path)
    elif change == "index":
        other = data.draw(st.integers(-1, size))
        assume(other != index)
        assert not includes(root, size, other, hashes[index], path)
    elif change == "long":
        assert not includes(root, size, index, hashes[index], [*path, bad])
    else:
        assume(path)
        broken = path[:-1] if change == "cut" else [*path[:-1], bad]
        assert not includes(root, size, index, hashes[index], broken)


@given(sizes, sizes, st.data())
def test_a_tree_that_did_not_only_grow_is_found_out(
    one: int, other: int, data: st.DataObject
) -> None:
    first, second = sorted((one, other))
    assume(first < second)
    hashes = leaves(second)
    changed = data.draw(st.integers(0, first - 1))
    forked = [*hashes[:changed], leaf_hash(b"another"), *hashes[changed + 1 : first]]
    path = path_of(hashes, consistency_ranges(first, second))
    roots = root_of(hashes[:first]), root_of(hashes)
    assert continues(first, roots[0], second, roots[1], path)
    assert not continues(first, root_of(forked), second, roots[1], path)
    assert not continues(first, roots[0], second, root_of(forked), path)
    assert not continues(second, roots[1], first, roots[0], path)
    assert not continues(first, roots[0], second, roots[1], [*path, bytes(32)])
    assert not continues(first, roots[0], second, roots[1], path[:-1])
    assert not continues(first, roots[0], second, roots[1], [*path[:-1], bytes(32)])


def test_reordered_leaves_are_another_tree() -> None:
    hashes = leaves(100)
    swapped = [*hashes[:40], hashes[41], hashes[40], *hashes[42:]]
    path = path_of(swapped, consistency_ranges(60, 100))
    assert not continues(60, root_of(hashes[:60]), 100, root_of(swapped), path)


def test_an_empty_tree_is_the_beginning_of_every_tree_and_of_nothing_else() -> None:
    root = root_of(leaves(3))
    assert consistency_ranges(0, 3) == consistency_ranges(3, 3) == []
    assert continues(0, EMPTY, 3, root, [])
    assert continues(3, root, 3, root, [])
    assert not continues(0, root, 3, root, [])
    assert not continues(0, EMPTY, 3, root, [root])
    assert not continues(3, root, 3, EMPTY, [])
    assert not continues(3, root, 3, root, [root])
    assert not continues(3, root, 5, root, [])
    assert not continues(2, root, 3, root, [])


def test_what_is_in_no_tree_is_refused() -> None:
    assert not includes(EMPTY, 1, 1, EMPTY, [])
    assert not includes(EMPTY, 1, 0, EMPTY, [EMPTY])
    for index, size in ((3, 3), (-1, 3), (0, 0)):
        with pytest.raises(ValueError, match="of a tree of"):
            inclusion_ranges(index, size)
    with pytest.raises(ValueError, match="before one of"):
        consistency_ranges(4, 3)
