"""What a leaf of the release log says, what is blinded in it, and how it is shown.

A leaf is canonical JSON. When, by which way and for what purpose stand in it for anyone
who is shown it; who, under which verdict, what else the row says, and which objects are
digests over a secret and the content. So a leaf is shown to somebody with as much of
it opened as that one may know, and what is opened is proven.

The objects of a page are a tree of their own, as wide as a power of two: each leaf is
the digest of an object behind a salt, and what fills it up is no object. A path in it
shows neither the other objects nor how many there are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from serantau import typed
from serantau.rules.canonical import canonical
from serantau.rules.receipt import (
    EMPTY,
    includes,
    inclusion_ranges,
    leaf_hash,
    path_of,
    root_of,
)

VERSION: Final = 1
RELEASE: Final = "release"
READING: Final = "reading"
DECISION: Final = "decision"
SECRET_BYTES: Final = 32
_SALT_BYTES: Final = 16
_NARROWEST: Final = 16
_MOST_PATH: Final = 64
# A detached JWS, as `rules.jws` writes it into an object.
_signature: Final = re.compile(rb'"eyJ[A-Za-z0-9_-]{1,400}\.\.[A-Za-z0-9_-]{86}"').sub
_hex_hash: Final = re.compile(r"[0-9a-f]{64}").fullmatch
_hex_salt: Final = re.compile(r"[0-9a-f]{32}").fullmatch


class Salts(NamedTuple):
    """What blinds one leaf: 16 bytes for each thing that may be opened by itself."""

    recipient: bytes
    verdict: bytes
    rest: bytes
    objects: bytes


def salts_of(secret: bytes, kind: str, row: int) -> Salts:
    """Make the salts of a leaf of the log's secret; the same ones each time.

    Args:
        secret: the log's.
        kind: the leaf's type.
        row: the number of the row that it is made of.
    """
    named = b"%b:%d" % (kind.encode(), row)
    made = hashlib.blake2b(named, key=secret, digest_size=4 * _SALT_BYTES).digest()
    return Salts(made[:16], made[16:32], made[32:48], made[48:])


def blinded(salt: bytes, content: bytes) -> str:
    """Give the digest that stands for a content until the salt is shown."""
    return hashlib.sha256(salt + content).hexdigest()


def release_leaf(
    *,
    node: str,
    seq: int,
    at: int,
    way: str,
    purpose: str,
    recipient: str,
    verdict: str,
    rest: str,
    objects: str,
    receipt: str = "",
) -> bytes:
    """Write the leaf of one release, as `canonical` would.

    Args:
        node: the member whose node let it go.
        seq: the leaf's place in the tree.
        at: when, as an instant.
        way: by which door.
        purpose: what for.
        recipient: the party's name, blinded.
        verdict: the digest of the verdicts in force, blinded.
        rest: what else the row says, blinded.
        objects: the root of the page's objects.
        receipt: the digest of the receipt that was given for it, empty for none.
    """
    promised = f',"receipt":"{receipt}"' if receipt else ""
    return (
        f'{{"at":{at},"node":{json_text(node)},"objects":"{objects}",'
        f'"purpose":{json_text(purpose)}{promised},"recipient":"{recipient}",'
        f'"rest":"{rest}","seq":{seq},"type":"{RELEASE}","v":{VERSION},'
        f'"verdict":"{verdict}","way":{json_text(way)}}}'
    ).encode()


def act_leaf(*, kind: str, node: str, seq: int, at: int, said: bytes) -> bytes:
    """Write the leaf of what one of a node's own people did, as `canonical` would.

    It says when and that something was done. Who did what is in the digest, which is
    over a salt, and the salt is shown to nobody.

    Args:
        kind: READING or DECISION.
        node: the member whose node it was.
        seq: the leaf's place in the tree.
        at: when, as an instant.
        said: the digest of all that the row says.
    """
    return (
        f'{{"at":{at},"node":{json_text(node)},"said":"{said.hex()}","seq":{seq},'
        f'"type":"{kind}","v":{VERSION}}}'
    ).encode()


@lru_cache(maxsize=256)
def json_text(text: str) -> str:
    """Write a text as JSON; what stands in leaves comes again and again."""
    return orjson.dumps(text).decode()


def object_digest(object_id: str, modified: str, body: bytes) -> bytes:
    """Give the digest that stands for one object version.

    Args:
        object_id: its id.
        modified: the text of its version, empty where it has none.
        body: its JSON text as it is served.
    """
    return version_digest(object_id, modified, text_digest(body))


def text_digest(body: bytes) -> str:
    """Give the SHA-256 of an object's JSON text, its signatures left empty.

    An object may be signed anew when a key is not believed any more, and is the same
    version: what was proven of it must go on to hold.
    """
    if b'"eyJ' in body:
        body = _signature(b'""', body)
    return hashlib.sha256(body).hexdigest()


def version_digest(object_id: str, modified: str, sha256: str) -> bytes:
    """Give the digest that stands for one object version.

    Args:
        object_id: its id.
        modified: the text of its version, empty where it has none.
        sha256: of its JSON text, as `text_digest` gives it.
    """
    told = b'{"id":%b,"modified":%b,"sha256":"%b"}' % (
        orjson.dumps(object_id),
        orjson.dumps(modified),
        sha256.encode(),
    )
    return hashlib.sha256(told).digest()


def object_salt(salt: bytes, digest: bytes) -> bytes:
    """Give what blinds one object of a page."""
    return hashlib.blake2b(digest, key=salt, digest_size=_SALT_BYTES).digest()


def page_leaves(salt: bytes, digests: Sequence[bytes]) -> list[bytes]:
    """Give the hashes of the leaves of a page's tree, in their order.

    Args:
        salt: the page's.
        digests: of its objects, each once, in any order.
    """
    if not digests:
        return []
    blake2b = hashlib.blake2b
    sha256 = hashlib.sha256
    found = [
        sha256(
            b"\0" + blake2b(one, key=salt, digest_size=_SALT_BYTES).digest() + one
        ).digest()
        for one in digests
    ]
    width = max(1 << (len(digests) - 1).bit_length(), _NARROWEST)
    found += [
        blake2b(b"%d" % place, key=salt, digest_size=32, person=b"nothing").digest()
        for place in range(width - len(digests))
    ]
    # Sorted by what nobody can foresee, a place tells nothing of an object.
    found.sort()
    return found


def page_root(salt: bytes, digests: Sequence[bytes]) -> bytes:
    """Give the root of a page's tree; that of the empty tree for no objects."""
    return root_of(page_leaves(salt, digests))


class Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One object of a leaf, opened.

    id, modified, sha256: which version, and the digest of its JSON text (see
    `text_digest`). salt: what blinded it. index, path: its place in the page's tree.
    rule: under which rule it went, as the node says; empty when it does not.
    """

    id: str
    modified: str
    sha256: str
    salt: str
    index: int
    path: list[str]
    rule: str = ""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A leaf, shown to somebody.

    leaf: its text. path: that it is in the tree. recipient, recipient_salt: who got it,
    opened; both empty when that is not told. kind: what kind of party, as the node
    says. width: of the page's tree. objects: those that are opened. page_salt: opens
    all of them, for whoever got the page.
    """

    leaf: str
    path: list[str]
    recipient: str = ""
    recipient_salt: str = ""
    kind: str = ""
    width: int = 0
    objects: list[Shown] = []
    page_salt: str = ""


class Leaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A leaf as it was read; fields as `release_leaf` has them."""

    at: int
    node: str
    objects: str
    purpose: str
    recipient: str
    rest: str
    seq: int
    type: str
    v: int
    verdict: str
    way: str
    receipt: str = ""


_read_leaf: Final = typed.reader(Leaf)


def read_leaf(text: str) -> Leaf:
    """Read a leaf of a release.

    Raises:
        ValueError: it is none, or not in the one form that it has.
    """
    try:
        leaf = _read_leaf(text)
        again = canonical(orjson.loads(text))
    except (msgspec.DecodeError, orjson.JSONDecodeError, UnicodeEncodeError) as fault:
        raise ValueError(f"no leaf of a release: {fault}") from fault
    if again != text.encode() or leaf.v != VERSION or leaf.type != RELEASE:
        raise ValueError("no leaf of a release as this version writes it")
    return leaf


def fault_of(entry: Entry, root: bytes, size: int) -> str:
    """Say what of an entry does not hold in a tree; empty when all of it does.

    Args:
        entry: as somebody showed it.
        root: the tree's hash, as its node has signed it.
        size: how many leaves it has.
    """
    try:
        leaf = read_leaf(entry.leaf)
        path = hashes(entry.path)
        if not includes(root, size, leaf.seq, leaf_hash(entry.leaf.encode()), path):
            return f"leaf {leaf.seq} is not in the tree of {size}"
        if entry.recipient:
            salt = _salt(entry.recipient_salt)
            if blinded(salt, entry.recipient.encode()) != leaf.recipient:
                return f"leaf {leaf.seq} is not about {entry.recipient!r}"
        page = _hash(leaf.objects)
        for one in entry.objects:
            if not _is_on(one, page, entry.width):
                return f"leaf {leaf.seq} does not hold {one.id}"
    except ValueError as fault:
        return str(fault)
    return ""


def _is_on(shown: Shown, page: bytes, width: int) -> bool:
    digest = version_digest(shown.id, shown.modified, _hash(shown.sha256).hex())
    leaf = leaf_hash(_salt(shown.salt) + digest)
    return includes(page, width, shown.index, leaf, hashes(shown.path))


def shown(
    leaves: Sequence[bytes],
    salt: bytes,
    object_id: str,
    modified: str,
    sha256: str,
    rule: str = "",
) -> Shown:
    """Open one object of a page.

    Args:
        leaves: as `page_leaves` gives them.
        salt: the page's.
        object_id: the object's id.
        modified: the text of its version.
        sha256: of its JSON text, as `text_digest` gives it.
        rule: under which it went.

    Raises:
        ValueError: it is not on the page.
    """
    digest = version_digest(object_id, modified, sha256)
    own = object_salt(salt, digest)
    index = leaves.index(leaf_hash(own + digest))
    path = path_of(leaves, inclusion_ranges(index, len(leaves)))
    return Shown(
        object_id,
        modified,
        sha256,
        own.hex(),
        index,
        [one.hex() for one in path],
        rule,
    )


def holds_page(entry: Entry, digests: Sequence[bytes]) -> bool:
    """Say whether an entry's leaf is about exactly these objects.

    Args:
        entry: one whose page is opened.
        digests: of the objects, each once.
    """
    try:
        salt = _salt(entry.page_salt)
        return page_root(salt, digests) == _hash(read_leaf(entry.leaf).objects)
    except ValueError:
        return False


def hashes(texts: Sequence[Any]) -> list[bytes]:
    """Read hashes in hexadecimal.

    Raises:
        ValueError: one is none, or they are too many for any proof.
    """
    if len(texts) > _MOST_PATH:
        raise ValueError(f"a path of {len(texts)} hashes")
    return [_hash(text) for text in texts]


def _hash(text: Any) -> bytes:
    if type(text) is not str or _hex_hash(text) is None:
        raise ValueError("a hash that is not 64 small hexadecimal digits")
    return bytes.fromhex(text)


def _salt(text: str) -> bytes:
    if _hex_salt(text) is None:
        raise ValueError("a salt that is not 32 small hexadecimal digits")
    return bytes.fromhex(text)


NO_OBJECTS: Final = EMPTY.hex()
"""What a leaf has for its objects when it is about event rows."""
