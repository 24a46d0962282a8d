"""What a peer of our kind is asked about its release log. Nothing of it is believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
import orjson

from serantau import typed
from serantau.errors import PeerError
from serantau.rules.leaf import Entry
from serantau.rules.proof import Proof, read_proof
from serantau.wire.connection import Answer, Connection, clean

PATH: Final = "/federation/ledger"
_MOST_HEADS: Final = 200

T = TypeVar("T")


class Told(msgspec.Struct, frozen=True):
    """A peer's answer about its tree.

    head: the signed text. path: that the tree has only grown since the size asked
    about. seen: heads of others that the peer was shown, as they were signed.
    """

    head: str
    path: list[str] = []
    seen: list[str] = []


class _Path(msgspec.Struct, frozen=True):
    path: list[str]


class _Entries(msgspec.Struct, frozen=True):
    entries: dict[str, Entry]


def ask_head(line: Connection, since: int) -> Told:
    """Ask for the head of the tree, and for a proof that it has only grown.

    Raises:
        PeerError: the peer did not answer as agreed.
    """
    told = _read(line, _get(line, "head", since=since), Told)
    if len(told.seen) > _MOST_HEADS:
        raise line.fault(f"tells of {len(told.seen)} heads", f"{_MOST_HEADS} at most")
    return told


def ask_consistency(line: Connection, first: int, second: int) -> list[str]:
    """Ask for a proof that the tree has only grown from one size to another.

    Raises:
        PeerError: the peer has none, or did not answer as agreed.
    """
    answer = _get(line, "consistency", first=first, second=second)
    return _read(line, answer, _Path).path


def ask_receipts(
    line: Connection, digests: Sequence[str], size: int
) -> dict[str, Entry]:
    """Ask for the leaves of receipts, by their digests.

    Raises:
        PeerError: the peer did not answer as agreed.
    """
    body = orjson.dumps({"size": size, "receipts": list(digests)})
    answer = line.post(line.url.join(f"{PATH}/receipts"), body)
    return _read(line, answer, _Entries).entries


def ask_passed(line: Connection, object_id: str, after: int) -> Proof:
    """Ask to whom objects of ours were passed.

    Raises:
        PeerError: the peer does not tell, or did not answer as agreed.
    """
    answer = _get(line, "passed", object=object_id, after=after)
    try:
        return read_proof(answer.body)
    except ValueError as fault:
        raise _unread(line, answer, fault) from fault


def _get(line: Connection, name: str, **query: Any) -> Answer:
    asked = {key: str(value) for key, value in query.items()}
    return line.get(line.url.join(f"{PATH}/{name}").copy_merge_params(asked))


def _read(line: Connection, answer: Answer, kind: type[T]) -> T:
    try:
        return typed.read(answer.body, kind)
    except msgspec.DecodeError as fault:
        raise _unread(line, answer, fault) from fault


def _unread(line: Connection, answer: Answer, fault: Exception) -> PeerError:
    return line.fault(
        f"sent at {answer.url.path} what cannot be read: {clean(str(fault))}",
        "what docs/ledger.md describes",
        mend="Its node may be of another version: compare the versions.",
    )
