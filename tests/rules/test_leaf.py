"""What a leaf says, what it hides, and that only what is true can be shown of it."""

import hashlib
import re
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serantau.rules.canonical import canonical
from serantau.rules.leaf import (
    DECISION,
    NO_OBJECTS,
    READING,
    Entry,
    Shown,
    act_leaf,
    blinded,
    fault_of,
    hashes,
    holds_page,
    object_digest,
    page_leaves,
    page_root,
    read_leaf,
    release_leaf,
    salts_of,
    shown,
    text_digest,
)
from serantau.rules.receipt import (
    inclusion_ranges,
    leaf_hash,
    path_of,
    root_of,
)

SECRET = bytes(range(32))
OBJECTS = [
    (f"indicator--{n}", f"2026-03-{n + 1:02}T00:00:00.000Z", b'{"n":%d}' % n)
    for n in range(21)
]
DIGESTS = [object_digest(*one) for one in OBJECTS]


def made(seq: int, **more: Any) -> tuple[str, Any]:
    """Make a leaf about `OBJECTS` for vn, and its salts."""
    salts = salts_of(SECRET, "release", seq)
    told: dict[str, Any] = {
        "node": "th",
        "seq": seq,
        "at": 1_790_000_000_000_000 + seq,
        "way": "taxii",
        "purpose": "defence",
        "recipient": blinded(salts.recipient, b"vn"),
        "verdict": blinded(salts.verdict, b"verdicts"),
        "rest": blinded(salts.rest, b"rest"),
        "objects": page_root(salts.objects, DIGESTS).hex(),
    }
    return release_leaf(**told | more).decode(), salts


def entry(**more: Any) -> tuple[Entry, bytes, int]:
    """Show leaf 3 of a tree of 7: recipient and one object."""
    leaves = [made(seq)[0] for seq in range(7)]
    tree = [leaf_hash(leaf.encode()) for leaf in leaves]
    salts = salts_of(SECRET, "release", 3)
    page = page_leaves(salts.objects, DIGESTS)
    object_id, version, body = OBJECTS[4]
    sha256 = hashlib.sha256(body).hexdigest()
    told: dict[str, Any] = {
        "leaf": leaves[3],
        "path": [one.hex() for one in path_of(tree, inclusion_ranges(3, 7))],
        "recipient": "vn",
        "recipient_salt": salts.recipient.hex(),
        "width": len(page),
        "objects": [shown(page, salts.objects, object_id, version, sha256, "rule")],
        "page_salt": salts.objects.hex(),
    }
    return Entry(**told | more), root_of(tree), 7


names = st.text(st.characters(codec="utf-8"), max_size=20)


@given(names, names, names, st.booleans(), st.integers(0, 2**53 - 1))
def test_a_leaf_is_canonical_json_whatever_is_in_it(
    node: str, way: str, purpose: str, promised: bool, seq: int
) -> None:
    receipt = "ab" * 32 if promised else ""
    text, _ = made(seq % 1000, node=node, way=way, purpose=purpose, receipt=receipt)
    assert canonical(orjson.loads(text)) == text.encode()
    leaf = read_leaf(text)
    assert (leaf.node, leaf.way, leaf.purpose) == (node, way, purpose)
    assert (leaf.seq, leaf.receipt) == (seq % 1000, receipt)


@given(names, st.integers(0, 2**53 - 1), st.sampled_from([READING, DECISION]))
def test_a_leaf_of_what_people_did_is_canonical_and_no_leaf_of_a_release(
    node: str, at: int, kind: str
) -> None:
    text = act_leaf(kind=kind, node=node, seq=7, at=at, said=b"\1" * 32)
    told = orjson.loads(text)
    assert canonical(told) == text
    assert told == {
        "at": at,
        "node": node,
        "said": "01" * 32,
        "seq": 7,
        "type": kind,
        "v": 1,
    }
    with pytest.raises(ValueError, match="no leaf of a release"):
        read_leaf(text.decode())


def test_what_is_true_of_a_leaf_can_be_shown() -> None:
    found, root, size = entry()
    assert fault_of(found, root, size) == ""
    assert holds_page(found, DIGESTS)
    assert holds_page(found, DIGESTS[::-1])
    plain = msgspec.json.decode(msgspec.json.encode(found), type=Entry)
    assert fault_of(plain, root, size) == ""


def test_nothing_else_can_be_shown_of_a_leaf() -> None:
    found, root, size = entry()
    (one,) = found.objects
    other = found.leaf.replace('"way":"taxii"', '"way":"mail"')

    def with_object(**more: Any) -> Entry:
        return msgspec.structs.replace(
            found, objects=[msgspec.structs.replace(one, **more)]
        )

    replace = msgspec.structs.replace
    for bad, said in (
        (replace(found, leaf=other), "not in the tree"),
        (replace(found, path=found.path[:-1]), "not in the tree"),
        (replace(found, leaf=found.leaf + " "), "as this version writes it"),
        (replace(found, leaf=found.leaf.replace(":1,", ":2,")), "as this version"),
        (replace(found, leaf="{}"), "no leaf of a release"),
        (replace(found, leaf="\ud800"), "no leaf of a release"),
        (replace(found, recipient="sg"), "not about 'sg'"),
        (replace(found, recipient_salt="00" * 16), "not about 'vn'"),
        (replace(found, recipient_salt="0" * 31), "a salt that is not"),
        (replace(found, path=["0" * 63]), "a hash that is not"),
        (replace(found, path=["00" * 32] * 65), "a path of 65 hashes"),
        (replace(found, width=found.width * 2), "does not hold"),
        (with_object(id="indicator--5"), "does not hold indicator--5"),
        (with_object(modified=""), "does not hold"),
        (with_object(sha256="00" * 32), "does not hold"),
        (with_object(sha256="no"), "a hash that is not"),
        (with_object(salt="00" * 16), "does not hold"),
        (with_object(index=(one.index + 1) % found.width), "does not hold"),
        (with_object(path=one.path[:-1]), "does not hold"),
    ):
        assert re.search(said, fault_of(bad, root, size)), said
    assert fault_of(found, bytes(32), size)
    assert not holds_page(found, DIGESTS[1:])
    assert not holds_page(found, [*DIGESTS, object_digest("x--1", "", b"{}")])
    assert not holds_page(replace(found, page_salt=""), DIGESTS)


def test_a_hidden_recipient_and_hidden_objects_are_no_fault() -> None:
    found, root, size = entry(recipient="", recipient_salt="", objects=[], width=0)
    assert fault_of(found, root, size) == ""
    assert "vn" not in found.leaf


def test_a_path_tells_neither_the_other_objects_nor_how_many_there_are() -> None:
    salt = salts_of(SECRET, "release", 3).objects
    known = {leaf_hash(digest) for digest in DIGESTS}
    for count in range(1, 17):
        leaves = page_leaves(salt, DIGESTS[:count])
        assert len(leaves) == 16
        assert not known & set(leaves), "who knows an object would know it again"
    assert len(page_leaves(salt, DIGESTS[:17])) == 32
    # The same object has another leaf on every page.
    other = salts_of(SECRET, "release", 4).objects
    assert not set(page_leaves(salt, DIGESTS)) & set(page_leaves(other, DIGESTS))


def test_a_page_without_objects_has_the_empty_tree() -> None:
    assert page_root(SECRET[:16], []).hex() == NO_OBJECTS
    with pytest.raises(ValueError, match="is not in list"):
        shown(page_leaves(SECRET[:16], DIGESTS), SECRET[:16], "x--1", "", "00" * 32)


def test_the_digest_of_an_object_is_made_over_canonical_json() -> None:
    told = {
        "id": "x-ธนาคาร--1",
        "modified": "",
        "sha256": hashlib.sha256(b"{}").hexdigest(),
    }
    digest = hashlib.sha256(canonical(told)).digest()
    assert object_digest("x-ธนาคาร--1", "", b"{}") == digest


def test_an_object_signed_anew_is_the_same_version() -> None:
    bare = b'{"id":"x--1","signature":"%b"}'
    one, other = (b"eyJhbGciOiJ9.." + each * 86 for each in (b"A", b"B"))
    assert text_digest(bare % one) == text_digest(bare % other)
    assert text_digest(bare % one) == hashlib.sha256(bare % b"").hexdigest()
    assert text_digest(bare % b"eyJ") != text_digest(bare % b"")


def test_what_is_shown_has_no_unknown_fields() -> None:
    found, _, _ = entry()
    plain = msgspec.to_builtins(found) | {"more": 1}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(plain, Entry)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"id": 1}, Shown)
    with pytest.raises(ValueError, match="a hash that is not"):
        hashes([7])
