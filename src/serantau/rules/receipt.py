"""The tree of the release log: RFC 9162 §2.1, and nothing of what its leaves say.

A tree is its leaves' hashes in order. Whoever keeps one keeps the roots of its complete
subtrees: level 0 are the leaves, and the node `index` of a level covers the leaves from
`index << level` on. Everything else is made of these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

HASH_BYTES: Final = 32
EMPTY: Final = hashlib.sha256().digest()
"""RFC 9162 §2.1.1: the hash of no leaves."""

_sha256 = hashlib.sha256


def leaf_hash(leaf: bytes) -> bytes:
    """Give the hash of one leaf (RFC 9162 §2.1.1)."""
    return _sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Give the hash of two subtrees side by side (RFC 9162 §2.1.1)."""
    return _sha256(b"\1" + left + right).digest()


def paired(hashes: Sequence[bytes]) -> list[bytes]:
    """Give the next level of hashes of complete subtrees; a last odd one is left."""
    half = iter(hashes)
    return [
        _sha256(b"\1" + left + right).digest()
        for left, right in zip(half, half, strict=False)
    ]


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Give the Merkle Tree Hash of leaves, given by their hashes."""
    if not hashes:
        return EMPTY
    level = list(hashes)
    while len(level) > 1:
        # RFC 9162 §2.1.1 splits at the largest power of two, which is the same: the
        # last one without a partner goes up as it is.
        level = paired(level) + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def cover(start: int, end: int) -> list[tuple[int, int]]:
    """Give the complete subtrees, as (level, index), that together are a range.

    Args:
        start: the first leaf; its range is one that RFC 9162 makes a hash of.
        end: behind the last leaf.

    Returns:
        The largest first; `folded` makes the range's hash of theirs.
    """
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def folded(hashes: Sequence[bytes]) -> bytes:
    """Give the hash of a range from those of its complete subtrees, at least one."""
    whole = hashes[-1]
    for left in reversed(hashes[:-1]):
        whole = node_hash(left, whole)
    return whole


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Give the ranges whose hashes prove that a leaf is in a tree (RFC 9162 §2.1.3.1).

    Raises:
        ValueError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} of a tree of {size}")
    found = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(first: int, second: int) -> list[tuple[int, int]]:
    """Give the ranges that prove that a tree has only grown (RFC 9162 §2.1.4.1).

    Raises:
        ValueError: the second size is smaller than the first.
    """
    if not 0 <= first <= second:
        raise ValueError(f"a tree of {first} before one of {second}")
    if first in (0, second):
        return []
    found = []
    start, end, known = 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start, known = middle, False
    if not known:
        found.append((start, end))
    return found[::-1]


def _split(size: int) -> int:
    """Give the largest power of two that is smaller than a size."""
    return 1 << (size - 1).bit_length() - 1


def path_in(
    ranges: Iterable[tuple[int, int]], node: Callable[[int, int], bytes]
) -> list[bytes]:
    """Give the hashes of ranges.

    Args:
        ranges: as `inclusion_ranges` or `consistency_ranges` gives them.
        node: gives the hash of the complete subtree of a level and an index.
    """
    return [
        folded([node(level, index) for level, index in cover(start, end)])
        for start, end in ranges
    ]


def path_of(hashes: Sequence[bytes], ranges: Iterable[tuple[int, int]]) -> list[bytes]:
    """Give the hashes of ranges of a tree whose leaves' hashes are all at hand."""
    return [root_of(hashes[start:end]) for start, end in ranges]


def includes(
    root: bytes, size: int, index: int, leaf: bytes, path: Sequence[bytes]
) -> bool:
    """Say whether a path proves that a tree has a leaf (RFC 9162 §2.1.3.2).

    Args:
        root: the tree's hash.
        size: how many leaves it has.
        index: the leaf's place.
        leaf: its hash.
        path: the proof.
    """
    if not 0 <= index < size:
        return False
    here, last, found = index, size - 1, leaf
    for other in path:
        if last == 0:
            return False
        if here & 1 or here == last:
            found = node_hash(other, found)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, other)
        here, last = here >> 1, last >> 1
    return last == 0 and found == root


def continues(
    first: int,
    first_root: bytes,
    second: int,
    second_root: bytes,
    path: Sequence[bytes],
) -> bool:
    """Say whether a path proves that a tree has only grown (RFC 9162 §2.1.4.2).

    Args:
        first: how many leaves the earlier tree had.
        first_root: its hash.
        second: how many the later one has.
        second_root: its hash.
        path: the proof; none where the first tree had no leaf, or is the second.
    """
    if not 0 <= first <= second or (first in (0, second) and path):
        return False
    if first == second:
        return first_root == second_root
    if first == 0:
        # Every tree goes on from the empty one, which has one hash only.
        return first_root == EMPTY
    hashes = list(path)
    if first & first - 1 == 0:
        hashes.insert(0, first_root)
    if not hashes:
        return False
    here, last = first - 1, second - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    old = new = hashes[0]
    for other in hashes[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            old, new = node_hash(other, old), node_hash(other, new)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            new = node_hash(new, other)
        here, last = here >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root
