"""What a team publishes of itself, made from its own cards: RFC 2350, security.txt.

Only what a card of the own party says goes in, and what a person wrote for the sections
that no card knows. Nobody's private number: people are named by their duties alone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from typing import Final

from serantau.clock import moment, stix_text
from serantau.desk.contacts import OURS, Contacts
from serantau.desk.relay import signing_key
from serantau.errors import BadInput, BadRequest, NotFound
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.rules import rfc2350, security_txt
from serantau.rules.card import Card, Duty, KeyKind
from serantau.rules.rfc2350 import SECTIONS
from serantau.rules.security_txt import SecurityTxt

TEXTS: Final = "rfc2350.toml"
_DAY: Final = 86_400_000_000
_PUBLIC: Final = (Duty.ALWAYS, Duty.TECHNICAL)


class Papers:
    """The papers of one node's team."""

    def __init__(self, node: Node) -> None:
        """Write of `node`'s team."""
        self._node = node
        self._contacts = Contacts(node)

    def desks(self, party: str) -> list[Card]:
        """Give the cards that may be published: desks, the best first; no persons.

        Raises:
            NotFound: there is none.
        """
        found = [
            one.card
            for one in self._contacts.all(party)
            if one.believed
            and not one.card.person
            and {*one.card.duties} & {*_PUBLIC}
            and (party != self._node.config.node.member or one.origin == OURS)
        ]
        if not found:
            raise NotFound(
                f"{party} has no desk that can be published.",
                mend=f"`serantau contacts add {party} NAME --desk --duty 24x7 ...`",
            )
        return found

    def rfc2350(self, party: str) -> tuple[str, list[str]]:
        """Write the document of a party, and tell what it lacks.

        Raises:
            NotFound: it has no desk.
            BadInput: the file with the texts is wrong.
        """
        node = self._node
        desks = self.desks(party)
        with node.db.read() as tx:
            _, held = node.registry.party(tx, party)
            now = node.clock.now()
            assets = [
                f"{one.kind} {one.value}"
                for one in Assets().of(tx, party)
                if one.until is None or now < one.until
            ]
        team = held.title or party
        if party == node.config.node.member:
            team = node.config.node.team or team
        keys = [key for desk in desks for key in desk.keys]
        first = desks[0]
        said = {
            "1.1": f"{moment(node.clock.now()):%Y-%m-%d}",
            "2.1": team,
            "2.3": ", ".join(dict.fromkeys(one.zone for one in desks if one.zone)),
            "2.4": _listed(phone for one in desks for phone in one.phones),
            "2.7": _listed(mail for one in desks for mail in one.mail),
            "2.8": _listed(
                f"{key.kind} {key.fingerprint}"
                + (f", until {moment(key.expires):%Y-%m-%d}" if key.expires else "")
                for key in keys
            ),
            "2.11": f"{first.name}: "
            + ", ".join((*first.mail[:1], *first.phones[:1]))
            + (". By day and night." if Duty.ALWAYS in first.duties else "."),
            "3.2": _listed(assets),
            **(self._texts() if party == node.config.node.member else {}),
        }
        text = rfc2350.write(team, {name: one for name, one in said.items() if one})
        ended = [
            f"the key {key.fingerprint} has ended" for key in keys if not key.holds(now)
        ]
        return text, [*rfc2350.check(text), *ended]

    def _texts(self) -> dict[str, str]:
        path = self._node.home / TEXTS
        if not path.exists():
            return {}
        try:
            said = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as fault:
            raise BadInput(f"{path}: {fault}.") from fault
        wrong = [
            name
            for name, text in said.items()
            if name not in SECTIONS
            or name in rfc2350.HEADINGS
            or not isinstance(text, str)
        ]
        if wrong:
            raise BadInput(
                f"{path}: {wrong[0]!r} is no section with a text.",
                mend='It has lines such as "3.1" = "We help ...", quotes included.',
            )
        return said

    def security_txt(
        self,
        *,
        days: int = 180,
        canonical: Sequence[str] = (),
        policy: Sequence[str] = (),
        encryption: Sequence[str] = (),
    ) -> str:
        """Write security.txt of the own team, signed when there is a key.

        Raises:
            NotFound: the own team has no desk.
            BadRequest: it would not be as RFC 9116 asks.
            ConfigError: the key cannot be used.
        """
        now = self._node.clock.now()
        desks = self.desks(self._node.config.node.member)
        prints = [
            f"openpgp4fpr:{key.fingerprint}"
            for desk in desks
            for key in desk.keys
            if key.kind is KeyKind.OPENPGP and key.holds(now)
        ]
        contacts = [f"mailto:{mail}" for desk in desks for mail in desk.mail]
        contacts += [f"tel:{phone}" for desk in desks for phone in desk.phones]
        until = now + days * _DAY
        made = SecurityTxt(
            contacts=list(dict.fromkeys(contacts)),
            expires=stix_text(until - until % _DAY),
            encryption=[*encryption, *dict.fromkeys(prints)],
            languages=list(
                dict.fromkeys(tag for desk in desks for tag in desk.languages)
            ),
            canonical=canonical,
            policy=policy,
        ).text
        key = signing_key(self._node)
        text = made if key is None else key.sign_text(made)
        faults = security_txt.check(text, now)
        if faults:
            raise BadRequest(f"security.txt would be wrong: {'; '.join(faults)}.")
        return text


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in dict.fromkeys(lines))
