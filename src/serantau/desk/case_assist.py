"""Asking other states for help in a case, and answering them.

An ask is an entry of the shared log: what, by when, within which legal limits, in which
languages, of one party or several. Each of them accepts it, declines it with the
reason, or refers it to whoever can. Until it has answered, its ask is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serantau.clock import stix_text
from serantau.desk.cases import Casework
from serantau.errors import BadRequest
from serantau.records.cases import Summary
from serantau.rules.case_entry import Kind

ANSWERS = {
    "accept": Kind.ACCEPTED,
    "decline": Kind.DECLINED,
    "refer": Kind.REFERRED,
}
"""How an ask is answered, by the word for it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An ask, and how one party answered it.

    case, title: the case and its name. id: of the ask. what: is asked. by, to: who asks
    whom, by name. due: by when; empty: whenever. answer: open, accepted, declined or
    referred. ours: this node is the one that is asked.
    """

    case: str
    title: str
    id: str
    what: str
    by: str
    to: str
    due: str
    answer: str
    ours: bool


class Assistance(Casework):
    """The asks in the cases of one node."""

    def ask(
        self,
        name: str,
        what: str,
        parties: Sequence[str],
        *,
        due: int = 0,
        limits: str = "",
        languages: Sequence[str] = (),
        text: str = "",
    ) -> tuple[Summary, str]:
        """Ask parties of a case for something; gives the ask's id.

        Args:
            name: of the case.
            what: is asked, in a line.
            parties: whom.
            due: by when, as an instant; 0: whenever.
            limits: what the law asks or forbids, in words.
            languages: BCP 47 tags of what is understood.
            text: more words.

        Raises:
            BadRequest: nobody is asked, or this node itself.
            NotFound: no such case, or no such party in it.
            Forbidden: this node is not in the case.
        """
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            asked = [self._inside(tx, case, party) for party in dict.fromkeys(parties)]
            if not asked or self._own in asked:
                raise BadRequest("Name whom you ask: parties of the case, but not us.")
            said = {
                "name": what,
                "party_refs": asked,
                "due": stix_text(due) if due else "",
                "limits": limits,
                "languages": list(dict.fromkeys(languages)),
                "description": text,
            }
            (ask,) = self._write(tx, case, [(Kind.ASKED, said)])
            return self._summary(tx, case), ask

    def answer(
        self, name: str, ask: str, how: str, *, text: str = "", to: str = ""
    ) -> Summary:
        """Answer an ask of this node.

        Args:
            name: of the case.
            ask: its id, or how that begins.
            how: accept, decline or refer.
            text: declining needs the reason.
            to: referring needs the party that can.

        Raises:
            BadRequest: a reason or party is missing, or too much.
            NotFound: no such case, ask or party.
            Forbidden: this node is not asked.
            Conflict: it has answered so already.
        """
        if how == "decline" and not text:
            raise BadRequest("Say why not: --text.")
        if (how == "refer") != bool(to):
            raise BadRequest("Referring names who can, nothing else does: --to PARTY.")
        with self._node.db.write() as tx:
            case = self._cases.find(tx, name).id
            about = self._one(ask, self._folded(tx, case).state.asks, "ask")
            said = {
                "about_ref": about,
                "description": text,
                "party_ref": self._identity(tx, to) if to else "",
            }
            self._write(tx, case, [(ANSWERS[how], said)])
            return self._summary(tx, case)

    def asks(self, *, answered: bool = False) -> list[Asked]:
        """Give the asks of open cases that nobody has answered yet, or all of them.

        Those of this node come first, then by when they are due.
        """
        names = self.names()
        found = []
        with self._node.db.read() as tx:
            for summary in self._cases.board(tx):
                if not (summary.asks or answered):
                    continue
                for ask_id, ask in self._folded(tx, summary.id).state.asks.items():
                    found += [
                        Asked(
                            case=summary.id,
                            title=summary.name,
                            id=ask_id,
                            what=ask.name,
                            by=names.get(ask.by, ask.by),
                            to=names.get(party, party),
                            due=ask.due,
                            answer=answer,
                            ours=party == self._own,
                        )
                        for party, answer in ask.to.items()
                        if answered or answer == "open"
                    ]
        return sorted(found, key=lambda one: (not one.ours, one.due or "~", one.id))
