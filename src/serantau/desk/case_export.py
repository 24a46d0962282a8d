"""A case for one party, as a file of one of several forms.

Each form is made of the bodies that desk/share handed over, and of nothing else; so
what is withheld from the party, and what is private, can stand in none. The release log
has them before anything is made of them. They go as by a machine: TLP:RED is in none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from serantau.clock import instant
from serantau.desk.case_log import parties_of
from serantau.desk.case_paper import Era, Facts, Language, paper_of, values_in
from serantau.desk.contacts import Contacts
from serantau.desk.handover import bundle_of
from serantau.desk.share import HandedOver, Share
from serantau.errors import Forbidden, NotFound
from serantau.node import Node
from serantau.records.cases import Cases
from serantau.records.database import Tx
from serantau.rules.card import Card, read_card
from serantau.rules.case import Case
from serantau.rules.case_clock import paced
from serantau.rules.case_entry import TYPE, read_entry
from serantau.rules.case_incident import incident_id
from serantau.rules.level import Tlp
from serantau.rules.marking import TLP_2_IDS
from serantau.rules.party import Purpose
from serantau.rules.profile import NOT_LISTED
from serantau.rules.realm import LIVE, tag_of
from serantau.rules.release import Way
from serantau.rules.stix import id_key
from serantau.wire.iodef import Told, iodef
from serantau.wire.misp_out import level_of, to_misp_event
from serantau.wire.misp_values import derived_uuid, read_uuid
from serantau.wire.paper import markdown

EXPORT: Final = "case-export"
"""The way by which a case leaves as a file, as the release log has it."""
GUEST: Final = "case-page"
"""The way by which it leaves on a page that a guest reads."""
_ENTRY: Final = f"{TYPE}--"
_SECOND: Final = 1_000_000


class Form(StrEnum):
    """What a case can be exported as."""

    STIX = "stix"
    IODEF = "iodef"
    MISP = "misp"
    MARKDOWN = "markdown"
    PDF = "pdf"


@dataclass(frozen=True, slots=True)
class Export:
    """What an export has in it, and for the exporter alone what it has not.

    content: of the file; empty when it was only looked at. entries, objects: how many
    are in it. withheld: how many are not, by the rule that withholds them. absent: how
    many objects are evidence that this node does not have.
    """

    case: str
    party: str
    form: Form
    content: bytes
    entries: int
    objects: int
    withheld: Mapping[str, int]
    absent: int


class Exporter:
    """Exports the cases of one node. actor: the person who does, for the log."""

    def __init__(self, node: Node, actor: str) -> None:
        """Export out of `node`."""
        self._node = node
        self._actor = actor
        self._share = Share(node)
        self._cases = Cases()

    def export(
        self,
        name: str,
        party: str,
        form: Form,
        *,
        lang: Language = Language.ENGLISH,
        era: Era = Era.GREGORIAN,
        purpose: Purpose | None = None,
        look: bool = False,
    ) -> Export:
        """Export a case for a party.

        Args:
            name: of the case.
            party: who gets it.
            form: of the file.
            lang: of the paper.
            era: by which it counts years.
            purpose: what for; None: the usual purpose of the party.
            look: only say what would go; nothing leaves and nothing is logged.

        Raises:
            NotFound: no such case or party.
            Forbidden: the party may have nothing of the case.
        """
        with self._node.db.read() as tx:
            case = self._cases.find(tx, name).id
            chosen, absent = self._chosen(tx, case)
        first = self._hand(case, party, form, chosen, purpose, look=True)
        if case not in first.bodies:
            raise Forbidden(
                f"{party} may not have this case: {first.withheld[case]}.",
                mend="Who is in the case may have it: `serantau case invite`.",
            )
        chosen += self._named(first.bodies.values(), form)
        handed = self._hand(case, party, form, chosen, purpose, look=look)
        if case not in handed.bodies:
            raise Forbidden(f"{party} may not have this case any more.")
        rules = Counter(verdict.rule for verdict in handed.withheld.values())
        entries = [one for one in handed.bodies if one.startswith(_ENTRY)]
        content = b""
        if not look:
            content = self._content(case, party, form, handed.bodies, lang, era)
        return Export(
            case=case,
            party=party,
            form=form,
            content=content,
            entries=len(entries),
            objects=len(handed.bodies) - len(entries),
            withheld=dict(sorted(rules.items())),
            absent=absent,
        )

    def show(self, name: str, party: str) -> Facts:
        """Give what a guest of a party sees of a case on a page, and log it.

        It is worked out of the bodies that desk/share hands over for the party, as a
        paper is, and of nothing else.

        Raises:
            NotFound: no such case, or the party may have nothing of it: which, is not
                told.
        """
        with self._node.db.read() as tx:
            case = self._cases.find(tx, name).id
            chosen, _ = self._chosen(tx, case)
        first = self._hand(case, party, GUEST, chosen, None, look=True)
        bodies: Mapping[str, bytes] = {}
        if case in first.bodies:
            chosen += self._named(first.bodies.values(), Form.MARKDOWN)
            bodies = self._hand(case, party, GUEST, chosen, None, look=False).bodies
        if case not in bodies:
            raise NotFound("There is no such case.")
        folded, objects = self._folded(case, bodies)
        return self._facts(folded, objects, bodies, party)

    def _hand(
        self,
        case: str,
        party: str,
        way: str,
        ids: Iterable[str],
        purpose: Purpose | None,
        *,
        look: bool,
    ) -> HandedOver:
        return self._share.hand_over(
            party,
            ids,
            purpose=purpose,
            case=case if way == GUEST else f"{case} as {way}",
            actor=self._actor,
            look=look,
            way=GUEST if way == GUEST else EXPORT,
            by=Way.MACHINE,
        )

    # What is asked for

    def _chosen(self, tx: Tx, case: str) -> tuple[list[str], int]:
        """Give entries, incidents and evidence; and how much of it is not here."""
        folded = Case(case, self._cases.entries(tx, case))
        entries = [line.entry.id for line in folded.lines()]
        entries += [one.id for one in folded.waiting]
        evidence = self._here(tx, folded.state.evidence)
        incidents = self._here(tx, map(incident_id, folded.state.terms))
        absent = len(folded.state.evidence) - len(evidence)
        return [*entries, *incidents, *evidence], absent

    def _here(self, tx: Tx, ids: Iterable[str]) -> list[str]:
        return [
            one
            for one in dict.fromkeys(ids)
            if tx.value(
                "SELECT 1 FROM object WHERE key = :key AND id = :id LIMIT 1",
                key=id_key(one),
                id=one,
            )
        ]

    def _named(self, bodies: Iterable[bytes], form: Form) -> list[str]:
        """Give what belongs to released objects: who made them, how they are marked.

        And for IODEF the contact cards of the parties in the case.
        """
        found: dict[str, None] = {}
        for body in bodies:
            one = orjson.loads(body)
            found |= dict.fromkeys(one.get("object_marking_refs", ()))
            found |= dict.fromkeys(one.get("extensions", ()))
            found |= dict.fromkeys(
                str(one[key]) for key in ("created_by_ref", "party_ref") if key in one
            )
        for mark in TLP_2_IDS.values():
            found.pop(mark, None)
        with self._node.db.read() as tx:
            here = self._here(tx, found)
            known = parties_of(self._node, tx)
        parties = {name for one, name in known.items() if one in found}
        if form is Form.IODEF:
            cards = Contacts(self._node).all()
            here += [
                held.card.id
                for held in cards
                if held.believed and held.card.party in parties
            ]
        return here

    # What is made of it

    def _content(
        self,
        case: str,
        party: str,
        form: Form,
        bodies: Mapping[str, bytes],
        lang: Language,
        era: Era,
    ) -> bytes:
        realm = self._node.config.node.realm
        if form is Form.STIX:
            return bundle_of(bodies, realm)
        folded, objects = self._folded(case, bodies)
        if form is Form.IODEF:
            return iodef(self._told(folded, objects, bodies))
        facts = self._facts(folded, objects, bodies, party)
        paper = paper_of(facts, lang, era)
        if form is Form.MISP:
            incident = incident_id(folded.state.term)
            shared = [bodies[one] for one in (*objects, incident) if one in bodies]
            return self._misp(folded, bodies[case], shared, markdown(paper))
        if form is Form.MARKDOWN:
            return markdown(paper).encode()
        from serantau.wire.paper_pdf import pdf

        return pdf(paper)

    @staticmethod
    def _folded(
        case: str, bodies: Mapping[str, bytes]
    ) -> tuple[Case, dict[str, dict[str, Any]]]:
        """Fold the entries that were handed over, and read the evidence among it."""
        entries = [bodies[one] for one in bodies if one.startswith(_ENTRY)]
        folded = Case(case, map(read_entry, entries))
        objects = {
            one: orjson.loads(bodies[one])
            for one in folded.state.evidence
            if one in bodies
        }
        return folded, objects

    def _names(self, folded: Case, bodies: Mapping[str, bytes]) -> dict[str, str]:
        """Give what parties are called: by no name that only this node uses."""
        profile = self._node.profile
        with self._node.db.read() as tx:
            known = parties_of(self._node, tx)
        named = {}
        for identity in folded.state.parts:
            member = profile.member(known.get(identity, ""))
            if member is not None:
                named[identity] = f"{member.state} ({member.code})"
            elif identity in bodies:
                said = str(orjson.loads(bodies[identity]).get("name", ""))
                named[identity] = f"{said} ({identity})"
        return named

    def _zones(self) -> dict[str, str]:
        profile = self._node.profile
        found = {}
        with self._node.db.read() as tx:
            known = parties_of(self._node, tx)
        for identity, name in known.items():
            member = profile.member(name)
            if member is not None and member.zones[0] != NOT_LISTED:
                found[identity] = member.zones[0]
        return found

    def _facts(
        self,
        folded: Case,
        objects: Mapping[str, Mapping[str, Any]],
        bodies: Mapping[str, bytes],
        party: str,
    ) -> Facts:
        held = self._node.config.node
        names, zones = self._names(folded, bodies), self._zones()
        with self._node.db.read() as tx:
            known = {name: one for one, name in parties_of(self._node, tx).items()}
        theirs = held.identity if party == held.member else known.get(party, "")
        return Facts(
            case=folded,
            objects=objects,
            names=names,
            zones=zones,
            team=held.team or held.member,
            party=names.get(theirs, theirs),
            zone=zones.get(theirs) or zones.get(held.identity) or "UTC",
            at=self._node.clock.now(),
            realm="" if held.realm == LIVE else held.realm,
            terms=paced(self._node.config.clocks.pace),
        )

    def _told(
        self,
        folded: Case,
        objects: Mapping[str, dict[str, Any]],
        bodies: Mapping[str, bytes],
    ) -> Told:
        held = self._node.config.node
        with self._node.db.read() as tx:
            markings = dict(self._node.audiences.known(tx))
            identities = {name: one for one, name in parties_of(self._node, tx).items()}
        cards: dict[str, list[Card]] = {}
        for one in Contacts(self._node).all():
            if one.card.id in bodies and one.card.party in identities:
                card, _ = read_card(orjson.loads(bodies[one.card.id]))
                cards.setdefault(identities[card.party], []).append(card)
        return Told(
            case=folded,
            objects=[
                (one, level_of(one, markings, Tlp.AMBER_STRICT))
                for one in objects.values()
            ],
            names=self._names(folded, bodies),
            cards=cards,
            team=held.team or held.member,
            site=held.identity or held.member,
            at=self._node.clock.now(),
            values=values_in,
            realm="" if held.realm == LIVE else held.realm,
        )

    def _misp(
        self, folded: Case, opening: bytes, shared: Sequence[bytes], report: str
    ) -> bytes:
        """Make one MISP event: the evidence, and the case's paper as its report."""
        held = self._node.config.node
        with self._node.db.read() as tx:
            markings = dict(self._node.audiences.known(tx))
        own = held.identity.partition("--")[2]
        name = derived_uuid("case", folded.id)
        sent = to_misp_event(
            shared or [opening],
            organisation=held.team or held.member,
            organisation_uuid=read_uuid(own) or derived_uuid("team", held.member),
            info=folded.state.name,
            uuid=name,
            known=markings,
            handled_as=Tlp.AMBER_STRICT,
        )
        event = sent.event["Event"]
        event["uuid"] = name
        # The report says what the entries say, so it is marked at least as they are.
        tags = [tag["name"] for tag in event["Tag"]]
        levels = [Tlp.parse(tag) for tag in tags if tag.startswith("tlp:")]
        levels.append(level_of(orjson.loads(opening), markings))
        rest = [tag for tag in tags if not tag.startswith("tlp:")]
        if held.realm != LIVE:
            rest.append(tag_of(held.realm))
        event["Tag"] = [{"name": tag} for tag in (max(levels).label.lower(), *rest)]
        event["timestamp"] = str(
            max(int(event["timestamp"]), instant(folded.state.last) // _SECOND)
        )
        event["EventReport"].append(
            {
                "uuid": derived_uuid("case report", folded.id),
                "name": folded.state.name,
                "content": report,
                "distribution": "5",
                "timestamp": event["timestamp"],
            }
        )
        return orjson.dumps(sent.event) + b"\n"
