"""The proof about the case: all who are in it have the same, and nobody else anything.

Equal states are asked of the nodes. That nobody else has anything is not asked of any
node: every byte in its folder is searched. The same search finds all of it where it
must be, so that one that finds nothing means something.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from serantau.apps.demo import case_act
from serantau.apps.demo.case_act import (
    HOME,
    INSIDE,
    ON_CALL,
    SILENT,
    Worked,
    folded,
)
from serantau.apps.demo.catcher import Caught
from serantau.apps.demo.region import Region
from serantau.rules.case import Case
from serantau.rules.case_entry import Kind, circle_of

SHARED: Final = (
    *(case_act.TITLE, case_act.SAID, case_act.TASK, case_act.BESIDE),
    *(case_act.ASKED, case_act.KIT),
)
_CHUNK: Final = 1 << 22


@dataclass(slots=True)
class CaseProof:
    """What was found.

    hashes: of the state, by node, from the entries in its own store. found: how many of
    the case's ids and words are in each node's folder. wanted: how many there are.
    private: nodes whose folders have the private note. pages: mails that were caught.
    """

    hashes: dict[str, str] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    wanted: int = 0
    private: list[str] = field(default_factory=list)
    pages: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Say whether nothing is missing, and nothing is where it must not be."""
        return not self.faults


def prove_case(region: Region, worked: Worked) -> CaseProof:
    """Check what came of the case, at every node."""
    proof = CaseProof(faults=list(worked.late))
    cases = {name: folded(region[name].opened, worked.case) for name in INSIDE}
    proof.hashes = {name: one.hash() for name, one in cases.items()}
    if len({*proof.hashes.values()}) != 1:
        proof.faults.append("its parties do not have the same state")
    _check_log(proof, region, cases[HOME])
    _check_verified(proof, worked)
    _check_apart(proof, worked)
    _check_pages(proof, cases[HOME], worked.mails)
    _check_bytes(proof, region, worked.case)
    return proof


def _check_log(proof: CaseProof, region: Region, case: Case) -> None:
    state = case.state
    inside = {region[name].opened.config.node.identity for name in INSIDE}
    if {*state.parts} != inside:
        proof.faults.append("others are in the case than those who were invited")
    if not state.closed:
        proof.faults.append("it was not closed")
    if case.flagged() or case.waiting:
        proof.faults.append("there are entries that do not count, or wait")
    if state.silent:
        proof.faults.append("somebody never answered")
    if [one.to for one in state.asks.values()] != [
        {region[SILENT].opened.config.node.identity: "accepted"}
    ]:
        proof.faults.append("the ask for assistance was not answered")


def _check_verified(proof: CaseProof, worked: Worked) -> None:
    found = worked.verified
    if found is None or not found.board:
        proof.faults.append("the board does not say what the entries say")
        return
    if {one.party for one in found.compared if one.equal} != {*INSIDE} - {HOME}:
        told = [f"{one.party}: {one.fault or 'differs'}" for one in found.compared]
        proof.faults.append(f"`case verify` did not find all equal: {'; '.join(told)}")


def _check_apart(proof: CaseProof, worked: Worked) -> None:
    if len({one.hash for one in worked.apart.values()}) != 2:
        proof.faults.append("the two halves were not apart")


def _check_pages(proof: CaseProof, case: Case, mails: Sequence[Caught]) -> None:
    steps = [line.entry.kind for line in case.lines() if line.entry.clock]
    paged = steps.count(Kind.PAGE)
    proof.pages = len(mails)
    if not (paged and Kind.REMINDER in steps):
        proof.faults.append(f"{SILENT} was not reminded and then paged")
    # Where nobody knows whether it arrived, a page goes once more.
    if len(mails) < paged:
        proof.faults.append(f"{len(mails)} pages were caught, the log has {paged}")
    for mail in mails:
        if mail.recipients != (ON_CALL,):
            proof.faults.append(f"a page went to {', '.join(mail.recipients)}")
        body = mail.message.get_body(("plain",))
        text = f"{mail.message['Subject']} {body.get_content() if body else ''}"
        if any(one in text for one in (*SHARED, case_act.PRIVATE)):
            proof.faults.append("a page tells what is in the case")


def _check_bytes(proof: CaseProof, region: Region, case: str) -> None:
    ids = [one.partition("--")[2] for one in (case, circle_of(case))]
    words = [word.encode() for word in (*ids, *SHARED)]
    private = case_act.PRIVATE.encode()
    proof.wanted = len(words)
    for name, site in region.sites.items():
        found = _search(site.home, [*words, private])
        proof.found[name] = len(found - {private})
        if private in found:
            proof.private.append(name)
        if name not in INSIDE and found:
            said = ", ".join(sorted(one.decode() for one in found))
            proof.faults.append(f"{name} is not in the case, and has: {said}")
        elif name in INSIDE and not found.issuperset(words):
            proof.faults.append(f"what {name} has of the case is not found there")
    if proof.private != [HOME]:
        said = ", ".join(proof.private) or "no node"
        proof.faults.append(f"the private note of {HOME} is at {said}")


def _search(folder: Path, words: Iterable[bytes]) -> set[bytes]:
    """Give the words that are in any file of a folder and below."""
    missing, found = set(words), set[bytes]()
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        with path.open("rb") as stream:
            tail = b""
            while missing and (chunk := stream.read(_CHUNK)):
                piece = tail + chunk
                here = {word for word in missing if word in piece}
                found |= here
                missing -= here
                tail = piece[-1024:]
    return found
