"""Comparing cases with those who are in them: equal entries are an equal state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx2

from serantau.desk.case_log import parties_of, summary_of
from serantau.desk.federate import Federation
from serantau.errors import NotFound, PeerError
from serantau.node import Node
from serantau.records.cases import Cases
from serantau.records.peers import Peer
from serantau.records.registry import Caller
from serantau.rules.case import Case
from serantau.rules.case_clock import paced
from serantau.rules.case_entry import circle_of
from serantau.wire.cases import CaseState, ask_case


@dataclass(frozen=True, slots=True)
class Compared:
    """How a case stands at one party, against how it stands here.

    equal: None where that could not be found out, and `fault` says why. differs: by
    party that wrote entries, how many there and how many here, where the sets differ.
    """

    party: str
    equal: bool | None
    hash: str = ""
    entries: int = 0
    differs: tuple[tuple[str, int, int], ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found. board: whether the board says what the entries say."""

    here: CaseState
    board: bool
    compared: list[Compared]


def state_of(node: Node, case: str) -> CaseState:
    """Fold a case anew from what is stored, and say how it stands."""
    with node.db.read() as tx:
        return _state(Case(case, Cases().entries(tx, case)))


def _state(folded: Case) -> CaseState:
    return CaseState(
        folded.id, folded.hash(), len(folded), len(folded.waiting), folded.digests()
    )


def tell_state(node: Node, caller: Caller, case: str) -> CaseState:
    """Tell a party how a case stands here.

    Raises:
        NotFound: there is none, or the caller is not in it: which, is not told.
    """
    with node.db.read() as tx:
        circle = node.audiences.circles(tx).get(circle_of(case))
        inside = circle is not None and caller.party.name in circle.members
    if not caller.own and (not inside or caller.party.blocked):
        raise NotFound(f"No case {case[:100]!r} is here.")
    return state_of(node, case)


def verify(
    node: Node,
    name: str,
    *,
    transport: Callable[[Peer], httpx2.BaseTransport | None] = lambda _: None,
) -> Verified:
    """Compare a case with every party in it that this node pulls from.

    Args:
        node: an open node.
        name: of the case, by its id or how that begins.
        transport: what carries the requests to a peer, None for sockets.

    Raises:
        NotFound: no such case.
    """
    cases = Cases()
    with node.db.read() as tx:
        held = cases.find(tx, name)
        folded = Case(held.id, cases.entries(tx, held.id))
        names = parties_of(node, tx)
        parts = [part.name for part in cases.parts(tx, held.id)]
    here = _state(folded)
    federation = Federation(node, transport=transport)
    with node.db.read() as tx:
        peers = {peer.name for peer in federation.peers.list(tx)}
    own, terms = node.config.node.member, paced(node.config.clocks.pace)
    compared = [
        _compared(federation, here, party, names)
        if party in peers
        else Compared(party, None, fault="this node does not pull from it")
        for party in sorted({*parts} - {own, ""})
    ]
    return Verified(
        here, summary_of(folded, node.config.node.identity, terms) == held, compared
    )


def _compared(
    federation: Federation, here: CaseState, party: str, names: dict[str, str]
) -> Compared:
    try:
        with federation.client(federation.peer(party)) as client:
            there = ask_case(client.line, here.case)
    except PeerError as fault:
        return Compared(party, None, fault=str(fault))
    differs = tuple(
        (names.get(who, who), theirs[0], ours[0])
        for who in sorted({*there.authors, *here.authors})
        if (theirs := there.authors.get(who, (0, "")))
        != (ours := here.authors.get(who, (0, "")))
    )
    return Compared(party, there.hash == here.hash, there.hash, there.entries, differs)
