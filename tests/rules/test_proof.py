"""A proof that is handed on holds as it was made, and in no other way."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serantau.rules import jws
from serantau.rules.head import Head, signed_text
from serantau.rules.key import Key
from serantau.rules.leaf import Entry, blinded, release_leaf, salts_of
from serantau.rules.proof import Proof, faults, head_of, read_proof, signed
from serantau.rules.receipt import inclusion_ranges, leaf_hash, path_of, root_of

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = Key.of(PRIVATE.public_key().public_bytes_raw())
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def sign(payload: bytes) -> str:
    return jws.sign(payload, KEY.id, PRIVATE.sign)


def made(node: str = "th") -> Proof:
    salts = salts_of(bytes(32), "release", 1)
    leaves = [
        release_leaf(
            node="th",
            seq=seq,
            at=seq,
            way="taxii",
            purpose="",
            recipient=blinded(salts.recipient, b"vn"),
            verdict="00" * 32,
            rest="00" * 32,
            objects="00" * 32,
        )
        for seq in range(3)
    ]
    tree = [leaf_hash(leaf) for leaf in leaves]
    root = root_of(tree).hex()
    head = Head(at=9, log="log", node="th", realm="live", root=root, size=3)
    path = [one.hex() for one in path_of(tree, inclusion_ranges(1, 3))]
    entry = Entry(leaves[1].decode(), path, "vn", salts.recipient.hex())
    proof = Proof(
        after=0,
        asker="vn",
        at=10,
        entries=[entry],
        head=signed_text(head, sign),
        node=node,
        object="",
        through=3,
    )
    return signed(proof, sign)


def test_a_proof_holds_also_after_it_was_written_down() -> None:
    proof = read_proof(msgspec.json.encode(made()))
    assert faults(proof, [KEY]) == []
    assert head_of(proof).size == 3


def test_a_proof_that_was_changed_does_not_hold() -> None:
    proof, replace = made(), msgspec.structs.replace
    other = Key.of(STRANGER.public_key().public_bytes_raw())
    assert faults(proof, []) == ["the head is not signed by this node"]
    assert faults(proof, [other]) == ["the head is not signed by this node"]
    assert faults(made("sg"), [KEY]) == ["the head is not signed by this node"]
    unsigned = "the proof is not signed by this node"
    assert faults(replace(proof, through=2), [KEY]) == [unsigned]
    assert faults(replace(proof, entries=[]), [KEY]) == [unsigned]
    entry = replace(proof.entries[0], recipient="sg")
    assert faults(replace(proof, entries=[entry]), [KEY]) == [
        "leaf 1 is not about 'sg'",
        unsigned,
    ]
    assert faults(replace(proof, head="x"), [KEY]) == [
        "it is not header.payload.signature"
    ]
    assert faults(replace(proof, signature=""), [KEY]) == [
        "it is not header..signature"
    ]
    strange = jws.sign(b"", other.id, STRANGER.sign)
    assert faults(replace(proof, signature=strange), [KEY]) == [unsigned]


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff"])
def test_what_is_no_proof_is_not_read_as_one(text: bytes) -> None:
    with pytest.raises(ValueError, match="it is no proof"):
        read_proof(text)
    later = msgspec.structs.replace(made(), v=2)
    with pytest.raises(ValueError, match="of this version"):
        read_proof(msgspec.json.encode(later))
