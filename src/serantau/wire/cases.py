"""What a peer of our kind is asked about a case. It tells hashes, and no entry."""

from __future__ import annotations

from typing import Final

import msgspec

from serantau import typed
from serantau.wire.connection import Connection, clean

PATH: Final = "/federation/cases"


class CaseState(msgspec.Struct, frozen=True):
    """How a case stands at a node.

    case: its id. hash: of the folded state. entries: how many the node has. waiting: of
    them for one that is not there. authors: count and digest of each author's entries.
    """

    case: str
    hash: str
    entries: int
    waiting: int
    authors: dict[str, tuple[int, str]]


def ask_case(line: Connection, case: str) -> CaseState:
    """Ask how a case stands there.

    Raises:
        PeerError: the peer does not tell, or did not answer as agreed.
    """
    url = line.url.join(f"{PATH}/state").copy_merge_params({"case": case})
    answer = line.get(url)
    try:
        told = typed.read(answer.body, CaseState)
    except msgspec.DecodeError as fault:
        raise line.fault(
            f"sent at {answer.url.path} what cannot be read: {clean(str(fault))}",
            "what docs/cases.md describes",
            mend="Its node may be of another version: compare the versions.",
        ) from fault
    if told.case != case:
        raise line.fault(f"told of case {clean(told.case)}", f"case {case}")
    return told
