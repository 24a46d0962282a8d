"""Handing objects over to one party by hand, for a purpose, as one STIX bundle.

This is the way by which police get something: a person chooses it, names the case, and
the release log has it under its own way and purpose.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Final

from serantau.errors import BadRequest, NotFound
from serantau.node import Node
from serantau.rules.realm import LIVE, PROPERTY

MOST: Final = 10_000
"""Objects of one hand-over."""


def chosen(node: Node, words: list[str]) -> list[str]:
    """Give the ids that words name, or of what a search for them finds.

    Raises:
        BadRequest: they find too much.
        NotFound: they find nothing.
    """
    if all("--" in word for word in words):
        return words
    query = " ".join(words)
    with node.db.read() as tx:
        found = node.search.find(tx, query, limit=MOST + 1)
    if len(found) > MOST:
        raise BadRequest(f"The query finds more than {MOST:,} objects.")
    if not found:
        raise NotFound(f"Nothing is found for {query!r}.")
    return list(dict.fromkeys(one.id for one in found))


def bundle_of(bodies: Mapping[str, bytes], realm: str) -> bytes:
    """Write a bundle of objects, byte for byte as they are held; its id is its content.

    Args:
        bodies: of the objects, at least one.
        realm: of the node; an exercise's says so before its objects.
    """
    head = "" if realm == LIVE else f',"{PROPERTY}":"{realm}"'
    inside = b",".join(bodies.values())
    digest = hashlib.blake2b(inside, digest_size=16).digest()
    name = uuid.UUID(bytes=digest, version=4)
    return b'{"type":"bundle"%b,"id":"bundle--%b","objects":[%b]}\n' % (
        head.encode(),
        str(name).encode(),
        inside,
    )
