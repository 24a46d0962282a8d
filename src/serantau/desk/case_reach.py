"""Whom what is written into a case reaches, told before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from serantau.desk.case_log import parties_of
from serantau.desk.cases import Casework, Unseen
from serantau.records.cases import Summary
from serantau.records.database import Tx
from serantau.records.peers import Peers
from serantau.rules.case import Line
from serantau.rules.case_entry import TYPE, audience_of, circle_of
from serantau.rules.marking import (
    TLP_2_IDS,
    MarkingSet,
    Recalled,
    Tlp,
    read_marking,
)
from serantau.rules.party import Circle, Kind
from serantau.rules.release import ended, judge

NODE: Final = "node"
MAIL: Final = "mail"
OTHERS: Final = "others"
NOWHERE: Final = ""
_NEW: Final = f"{TYPE}--00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Receiver:
    """A party that is in a case, or would be.

    name: what it is called here, else its identity. gets: the release policy gives it
    the log. why: the verdict, for this node's own people. way: by which it gets it,
    one of NODE (it has a peer or login here), MAIL (this node writes to it), OTHERS
    (another node does), NOWHERE. fresh: it is not in the case yet.
    """

    name: str
    gets: bool
    why: str
    way: str
    fresh: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A party that can be invited. named: its identity is known."""

    name: str
    kind: Kind
    named: bool
    blocked: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """An object that a case names.

    title: its name or value; empty for one that is not here, or that was recalled and
    is hidden. recalled: its creator wants it back.
    """

    id: str
    type: str
    title: str
    here: bool
    recalled: bool


class Reach(Casework):
    """What a person looks at before an entry is written."""

    def look(self, name: str) -> Summary:
        """Give the line of the board of a case.

        Raises:
            NotFound: no such case.
        """
        with self._node.db.read() as tx:
            return self._cases.find(tx, name)

    def of(
        self, name: str, invited: Sequence[str] = (), *, by_mail: bool = False
    ) -> list[Receiver]:
        """Give who has the log of a case, or will once `invited` are in it.

        Raises:
            NotFound: no such case.
        """
        with self._node.db.read() as tx:
            case = self._cases.find(tx, name)
            own = self._own
            level = Tlp.parse(case.level)
            ways: dict[str, str] = {}
            found: list[Receiver] = []
            state = self._cases.parts(tx, case.id)
            inside = {part.name for part in state if part.party != own}
            here = self._reached(tx)
            for part in state:
                if part.party == own:
                    continue
                if part.mail:
                    ways[part.name] = MAIL
                if not part.name:
                    found.append(Receiver(part.party, True, "", OTHERS, False))
            names = sorted({*inside, *invited} - {""})
            judged = self._judged(tx, level, case.id, names)
            for party, (gets, why) in judged.items():
                fresh = party not in inside
                way = MAIL if fresh and by_mail else ways.get(party, "")
                way = way or (NODE if party in here else NOWHERE)
                found.append(Receiver(party, gets, why, way, fresh))
        return found

    def if_opened(self, level: Tlp, parties: Sequence[str]) -> list[Receiver]:
        """Give who would have the log of a case with these parties.

        Raises:
            NotFound: no such party.
        """
        with self._node.db.read() as tx:
            here = self._reached(tx)
            judged = self._judged(tx, level, _NEW, sorted({*parties}))
        return [
            Receiver(party, gets, why, NODE if party in here else NOWHERE, True)
            for party, (gets, why) in judged.items()
        ]

    def _judged(
        self, tx: Tx, level: Tlp, case: str, parties: Sequence[str]
    ) -> dict[str, tuple[bool, str]]:
        audiences, marking = self._node.audiences, audience_of(case)
        known = audiences.known(tx) | {marking["id"]: read_marking(marking)}
        circle = circle_of(case)
        circles = audiences.circles(tx) | {
            circle: Circle(circle, "of this case", frozenset(parties))
        }
        marked = MarkingSet(refs=(TLP_2_IDS[level], marking["id"]))
        found = {}
        for party in parties:
            _, held = self._node.registry.party(tx, party)
            verdict = judge(
                marked, known, held, own=audiences.own, policy=audiences.policy,
                circles=circles,
            )  # fmt: skip
            if not held.active(tx.clock.now()):
                verdict = ended(held)
            found[party] = (verdict.released, str(verdict))
        return found

    def _reached(self, tx: Tx) -> set[str]:
        """Give the parties that have a peer or a login here."""
        peers = {peer.name for peer in Peers().list(tx)}
        return peers | {user.party for user in self._node.registry.users(tx)}

    def candidates(self, name: str = "") -> list[Candidate]:
        """Give the parties that can be let into a case: those not in it yet.

        Raises:
            NotFound: no such case.
        """
        with self._node.db.read() as tx:
            named = set(parties_of(self._node, tx).values())
            inside: set[str] = set()
            if name:
                case = self._cases.find(tx, name).id
                inside = {part.name for part in self._cases.parts(tx, case)}
            return [
                Candidate(party, held.kind, party in named, held.blocked)
                for party, (_, held) in sorted(self._node.registry.parties(tx).items())
                if held.kind not in {Kind.OWN, Kind.PUBLIC} and party not in inside
            ]

    def unseen(self, name: str, objects: Sequence[str]) -> list[Unseen]:
        """Give who in a case may not have objects that would be evidence, and why.

        Raises:
            NotFound: no such case, or an object that is not here.
        """
        with self._node.db.read() as tx:
            return self._unseen(
                tx, self._cases.find(tx, name).id, self._slots(tx, objects)
            )

    def evidence(self, objects: Sequence[str]) -> list[Evidence]:
        """Tell of objects that a case names, as they are here."""
        found = []
        with self._node.db.read() as tx:
            for one in objects:
                versions = self._node.search.versions(tx, one, hidden=True)
                last = versions[-1] if versions else None
                title = ""
                if last is not None and last.recalled is not Recalled.HIDDEN:
                    data = orjson.loads(last.body)
                    title = str(data.get("name") or data.get("value") or "")
                found.append(
                    Evidence(
                        one,
                        one.partition("--")[0],
                        title,
                        last is not None,
                        last is not None and last.recalled is not Recalled.NO,
                    )
                )
        return found

    def since(self, name: str, seen: int) -> tuple[int, list[Line]]:
        """Give the stamp of the last entry of a case, and what came behind `seen`.

        Raises:
            NotFound: no such case.
        """
        with self._node.db.read() as tx:
            case = self._cases.find(tx, name).id
            last = self._cases.held(tx, case)[1]
            fresh = self._cases.entries(tx, case, seen) if seen < last else []
        return last, [Line(one, ()) for one in fresh]
