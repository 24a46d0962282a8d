"""A page: whom the clocks of cases wake, and what that one is told.

It goes to addresses of believed contact cards of the party that it is about, and to no
other. It names cases by their ids and tells what is due: nothing of what is in a case,
since it passes mail servers and a phone company.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import orjson

from serantau.clock import moment
from serantau.desk.audit import zone_named
from serantau.desk.contacts import Contacts, Held
from serantau.desk.reach import certificate_of
from serantau.desk.relay import open_relay, signing_key
from serantau.desk.share import Share
from serantau.errors import BadInput, BadRequest, ConfigError, NotFound
from serantau.node import Node
from serantau.records.cards import MAIL, PHONE
from serantau.records.database import Tx
from serantau.rules.case_clock import ACKNOWLEDGE
from serantau.rules.contact import Kind as ContactKind
from serantau.rules.contact import read_address
from serantau.rules.level import Tlp
from serantau.rules.realm import LIVE
from serantau.wire.mail import Letter, Outcome, Relay, compose
from serantau.wire.webhook import post

ACTOR: Final = "serve"
ON_CALL: Final = "on-call"
DEPUTY: Final = "deputy"
COORDINATOR: Final = "coordinator"
_MOST_TOLD: Final = 20
_BRIEF: Final = 8


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody who can be paged.

    party: whose card it is. tag: names card, way and address, and tells none of them.
    """

    party: str
    held: Held
    way: str
    address: str
    tag: str


@dataclass(frozen=True, slots=True)
class Item:
    """What somebody is paged for.

    case: its id. party: the name of whom something is due of. at: since when.
    """

    case: str
    level: Tlp
    severity: str
    party: str
    clock: str
    at: int


class Pager:
    """Finds who is paged, and hands pages over. Close it after use."""

    def __init__(self, node: Node) -> None:
        """Page for `node`."""
        self._node = node
        self._contacts = Contacts(node)
        self._share = Share(node)
        self._relay: Relay | None = None
        self._asked: dict[tuple[str, str], tuple[list[Target], str]] = {}

    def targets(
        self, party: str, channel: str, *, fresh: bool = False
    ) -> tuple[list[Target], str]:
        """Give who of a party is paged now, the first first; and why nobody is.

        A card of another party that a rota or a card names is left out: to page that
        one would tell it of the case. `fresh`: by the cards of this moment.
        """
        asked = party, channel
        if fresh or asked not in self._asked:
            self._asked[asked] = self._targets(*asked)
        return self._asked[asked]

    def _targets(self, party: str, channel: str) -> tuple[list[Target], str]:
        try:
            turns = self._contacts.on_call(party)
        except (BadRequest, NotFound) as fault:
            # A card may name a time zone that there is not.
            return [], fault.message
        first = [turn.held for turn in turns]
        found = first
        if channel == DEPUTY:
            several = [held for turn in turns for held in turn.deputies]
            known = {held.card.id for held in first}
            found = [held for held in several if held.card.id not in known]
        people = {held.card.id: held for held in found if held.card.party == party}
        if not people:
            return [], f"{party} has no card for that"
        made = [
            Target(party, held, way, address, self._tag(held.card.id, way, address))
            for held in people.values()
            for way, address in self._ways(held)
        ]
        return made, "" if made else self._lacking()

    def _ways(self, held: Held) -> list[tuple[str, str]]:
        config, found = self._node.config, []
        if config.clocks.page_url:
            found += [(PHONE, one) for one in held.card.phones]
        if config.mail.host and config.mail.sender:
            found += [(MAIL, one) for one in held.card.mail]
        return found

    def _lacking(self) -> str:
        mail = self._node.config.mail
        if not (mail.host and mail.sender):
            return "mail.host or mail.sender is empty: no mail is sent"
        return "no mail address is on the card, and clocks.page_url is empty"

    def _tag(self, card: str, *said: str) -> str:
        tag = self._node.seal.tag("\x1f".join(("case page to", card, *said)))
        return f"{card}/{tag}"

    def key(self, target: Target, items: Sequence[Item]) -> str:
        """Give the key of a page: the same again when it goes again."""
        node = self._node.config.node
        said = [node.realm, node.member, target.tag]
        for one in items:
            said += [one.case, one.party, one.clock, str(one.at)]
        return self._node.seal.tag("\x1f".join(("case page", *said)))

    def release(
        self, tx: Tx, target: Target, channel: str, items: Sequence[Item]
    ) -> None:
        """Judge a page and log it, before anything of it leaves.

        Raises:
            Forbidden: the party may not have it.
        """
        levels: dict[Tlp, int] = {}
        for one in items:
            levels[one.level] = levels.get(one.level, 0) + 1
        cases = ", ".join(dict.fromkeys(brief(one.case) for one in items))
        self._share.release_rows(
            tx,
            target.party,
            target.party,
            levels,
            actor=ACTOR,
            way=f"case page by {target.way}",
            request=f"{channel} of {target.party} paged for {cases}",
        )

    def hand(
        self,
        target: Target,
        channel: str,
        items: Sequence[Item],
        handing: Callable[[], None],
    ) -> Outcome:
        """Hand a page over; `handing` is called before its last bytes go."""
        try:
            if target.way == PHONE:
                return self._text(target, channel, items, handing)
            content = self._letter(target, channel, items)
            if self._relay is None:
                self._relay = open_relay(self._node)
            return self._relay.send(target.address, content, handing)
        except BadInput as fault:
            return Outcome("fail", fault.message)
        except ConfigError as fault:
            return Outcome("defer", fault.message)

    def close(self) -> None:
        """End what is open to the mail server."""
        if self._relay is not None:
            self._relay.leave()
            self._relay = None

    def _text(
        self,
        target: Target,
        channel: str,
        items: Sequence[Item],
        handing: Callable[[], None],
    ) -> Outcome:
        config = self._node.config
        try:
            url = read_address(ContactKind.WEBHOOK, config.clocks.page_url)
        except ValueError as fault:
            raise ConfigError(f"clocks.page_url: {fault}.") from fault
        secret = ""
        if config.clocks.page_secret_file:
            path = self._node.home / config.clocks.page_secret_file
            try:
                secret = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as fault:
                raise ConfigError(f"clocks.page_secret_file: {fault}.") from fault
        key = self.key(target, items)
        said = {
            "key": key,
            "node": config.node.member,
            "realm": config.node.realm,
            "to": target.address,
            "languages": list(target.held.card.languages),
            "text": f"{self._drilled}{self._team} pages you: {self._short(items)}. "
            "Look into your node.",
        }
        return post(
            url,
            orjson.dumps(said),
            key=key,
            realm=config.node.realm,
            secret=secret,
            handing=handing,
            ca=config.notice.webhook_ca,
            timeout=config.mail.timeout_seconds,
        )

    @property
    def _team(self) -> str:
        return self._node.config.node.team or self._node.config.node.member

    @property
    def _drilled(self) -> str:
        realm = self._node.config.node.realm
        return "" if realm == LIVE else f"EXERCISE ({realm}). "

    @staticmethod
    def _short(items: Sequence[Item]) -> str:
        first = items[0]
        more = f" and {len(items) - 1} more" if len(items) > 1 else ""
        return (
            f"case {brief(first.case)}{more}, severity {first.severity}, waits for "
            f"{first.party} since {moment(first.at):%Y-%m-%d %H:%M} UTC"
        )

    def _letter(self, target: Target, channel: str, items: Sequence[Item]) -> bytes:
        config, now = self._node.config, self._node.clock.now()
        try:
            zone = zone_named(target.held.card.zone or "UTC")
        except BadRequest:
            zone = ZoneInfo("UTC")
        lines = [
            f"  case {brief(one.case)}, severity {one.severity}: {one.party} was to "
            f"{_WANTED[one.clock == ACKNOWLEDGE]} by {moment(one.at):%Y-%m-%d %H:%M} "
            f"UTC ({moment(one.at).astimezone(zone):%a %H:%M %Z})"
            for one in items[:_MOST_TOLD]
        ]
        if len(items) > _MOST_TOLD:
            lines.append(f"  and {len(items) - _MOST_TOLD} more")
        text = _TEXT.format(
            drilled=f"{self._drilled.strip()}\n\n" if self._drilled else "",
            team=self._team,
            whom=_WHOM[channel].format(party=items[0].party),
            lines="\n".join(lines),
            case=brief(items[0].case),
        )
        realm = config.node.realm
        letter = Letter(
            sender_name=self._team,
            sender=config.mail.sender,
            to=target.address,
            subject=f"{self._drilled}Page from {self._team}: {self._short(items)}",
            text=text,
            key=self.key(target, items),
            at=now,
            cover=f"{self._drilled}A page from {self._team}",
            realm="" if realm == LIVE else realm,
        )
        certificate = certificate_of(target.held.card, now)
        return compose(letter, signing_key(self._node), certificate)


def brief(case: str) -> str:
    """Give the beginning of a case's id, by which people name it."""
    return case.partition("--")[2][:_BRIEF]


_WHOM: Final = {
    ON_CALL: "on-call contact of {party}",
    DEPUTY: "deputy of {party}'s on-call contact",
    COORDINATOR: "coordinator of cases in which somebody does not answer",
}
_WANTED: Final = {True: "answer", False: "say what it makes of it"}
_TEXT: Final = """{drilled}{team} pages you, as {whom}.

{lines}

Please open it in your node, `serantau case show {case}`, and say that you have it:
`serantau case ack {case}`. What the case is about is told there only.

If you are not the right one, please tell {team}.
"""
