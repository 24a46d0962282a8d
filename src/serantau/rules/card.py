"""A contact card: whom of a party one reaches for what, how, and how sure that is.

A card is a STIX identity with a property-extension. So it is marked, signed, shared and
recalled as any object, and who does not know the extension sees a name, roles and how
to reach them. What of a card cannot be read is left out and told; the rest counts, and
the object stays as it came.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Any, Final, TypeVar

from serantau.clock import instant, stix_text
from serantau.rules.contact import Kind as Way
from serantau.rules.contact import read_address
from serantau.rules.marking import DECLARED, DECLARED_BY, IDENTITY, NAME
from serantau.rules.rota import (
    DAYS,
    HOLIDAY,
    Override,
    Rota,
    Shift,
    read_time,
    time_text,
)

T = TypeVar("T")

CARD_EXTENSION: Final = "extension-definition--ebf4ae06-dac0-4dee-8f90-ef2c97c39b80"
_LINE: Final = 300
_TEXT: Final = 5000
_MOST: Final = 100
_CERTIFICATE: Final = 200_000
_SURE: Final = 100
# E.164 §6.2: at most fifteen digits, of which the first is of the country code.
_PHONE: Final = re.compile(r"\+[1-9][0-9]{3,14}")
_BETWEEN: Final = re.compile(r"[\s().\-\u00a0\u2010-\u2015/]+")
# RFC 5646 §2.1, without the tags that are registered whole.
_LANGUAGE: Final = re.compile(
    r"[a-z]{2,3}(-[a-z]{3}){0,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?"
    r"(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(-[a-wy-z0-9](-[a-z0-9]{2,8})+)*"
    r"(-x(-[a-z0-9]{1,8})+)?"
)
_ZONE: Final = re.compile(r"[A-Z][A-Za-z_]*(/[A-Za-z0-9_+-]+){0,2}")
_TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BREAKING: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


class Duty(StrEnum):
    """What a card is for."""

    DIPLOMATIC = "diplomatic"
    POLICY = "policy"
    TECHNICAL = "technical"
    ALWAYS = "24x7"
    SECTOR = "sector"


class KeyKind(StrEnum):
    """What a key is of."""

    OPENPGP = "openpgp"
    SMIME = "smime"


_DIGITS: Final = {KeyKind.OPENPGP: (40, 64), KeyKind.SMIME: (64,)}


@dataclass(frozen=True, slots=True)
class CardKey:
    """Whom mail can be encrypted for.

    fingerprint: lower-case hex; of S/MIME the SHA-256 of the certificate. expires: an
    instant, None for never. certificate: in ASCII armour or PEM; empty when only the
    fingerprint is known.
    """

    kind: KeyKind
    fingerprint: str
    expires: int | None = None
    certificate: str = ""

    def holds(self, now: int) -> bool:
        """Say whether it has not ended."""
        return self.expires is None or now < self.expires


@dataclass(frozen=True, slots=True)
class Card:
    """One person or desk of a party.

    id: of the identity object. party: whose it is, by name. person: one human being,
    not a desk. title: what they are there. duties: what for. sector: of Duty.SECTOR.
    languages: BCP 47, the best first. zone: IANA. mail, phones: the best first. keys:
    for mail. deputies: cards of those who stand in, in order. rota: of a desk, who has
    it when. source: who says all this. verified: instant at which it last proved right,
    0 never. confidence: 0 to 100, None where nobody says. remark: for people.
    """

    name: str
    party: str
    id: str = ""
    person: bool = True
    title: str = ""
    duties: tuple[Duty, ...] = ()
    sector: str = ""
    languages: tuple[str, ...] = ()
    zone: str = ""
    mail: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    keys: tuple[CardKey, ...] = ()
    deputies: tuple[str, ...] = ()
    rota: Rota = field(default_factory=Rota)
    source: str = ""
    verified: int = 0
    confidence: int | None = None
    remark: str = ""


# --- single values -------------------------------------------------------------------


def read_line(text: object) -> str:
    """Give a line of text in any script.

    Raises:
        ValueError: it is none, is too long, or could break or turn a line.
    """
    if not isinstance(text, str):
        raise ValueError("this is no text")
    said = unicodedata.normalize("NFC", text.strip())
    if len(said) > _LINE:
        raise ValueError(f"{len(said)} letters, expected at most {_LINE}")
    for one in said:
        if unicodedata.category(one) in _BREAKING or one in _TURNING:
            raise ValueError(
                f"it has the character U+{ord(one):04X}, which no line has"
            )
    return said


def _name(text: object) -> str:
    said = read_line(text)
    if not said:
        raise ValueError("it is empty")
    return said


def read_party(text: object) -> str:
    """Give a party's name.

    Raises:
        ValueError: it is none.
    """
    said = read_line(text)
    if not NAME.fullmatch(said):
        raise ValueError(f"{said!r} is no party's name such as th")
    return said


def read_mail(text: object) -> str:
    """Give a mail address as it is written to.

    Raises:
        ValueError: it is none.
    """
    return read_address(Way.MAIL, read_line(text).removeprefix("mailto:"))


def read_phone(text: object) -> str:
    """Give a phone number as E.164 has it: +6621234567.

    Raises:
        ValueError: it is none; a number without its country's code is none.
    """
    said = _BETWEEN.sub("", read_line(text).removeprefix("tel:"))
    if not _PHONE.fullmatch(said):
        raise ValueError(f"{text!r} is no phone number such as +66 2 123 4567")
    return said


def read_language(text: object) -> str:
    """Give a language tag in its usual case: zh-Hant-TW.

    Raises:
        ValueError: it is not well-formed (RFC 5646 §2.1).
    """
    said = read_line(text)
    parts, inside = said.lower().split("-"), False
    for place, part in enumerate(parts[1:], 1):
        if not inside and part.isalpha() and len(part) in {2, 4}:
            parts[place] = part.upper() if len(part) == 2 else part.title()
        inside = inside or len(part) == 1
    tag = "-".join(parts)
    if not _LANGUAGE.fullmatch(tag):
        raise ValueError(f"{said!r} is no language tag such as th or zh-Hant")
    return tag


def read_zone(text: object) -> str:
    """Give a zone's name. Whether there is such a zone is not known here.

    Raises:
        ValueError: it cannot be one: +07:00 tells nothing of summer.
    """
    said = read_line(text)
    if said and not _ZONE.fullmatch(said):
        raise ValueError(f"{said!r} is no time zone such as Asia/Yangon")
    return said


def read_fingerprint(kind: KeyKind, text: object) -> str:
    """Give a key's fingerprint in lower-case hex.

    Raises:
        ValueError: it is not as long as one of this kind. Short key ids are none.
    """
    said = re.sub(r"[\s:]", "", read_line(text)).lower().removeprefix("0x")
    if not re.fullmatch("[0-9a-f]+", said) or len(said) not in _DIGITS[kind]:
        wanted = " or ".join(map(str, _DIGITS[kind]))
        raise ValueError(f"{text!r} is no {kind} fingerprint: {wanted} digits of hex")
    return said


def _card_id(text: object) -> str:
    if not isinstance(text, str) or not IDENTITY.fullmatch(text):
        raise ValueError(f"{text!r} is no id of a card, identity--UUID")
    return text


def _sure(said: object) -> int | None:
    if type(said) is not int or not 0 <= said <= _SURE:
        raise ValueError(f"{said!r} is no number from 0 to {_SURE}")
    return said


def _when(text: object) -> int:
    return instant(text) if isinstance(text, str) else 0


def _remark(text: object) -> str:
    if not isinstance(text, str) or len(text) > _TEXT:
        raise ValueError(f"expected at most {_TEXT} letters of text")
    return text.strip()


# --- the object ----------------------------------------------------------------------


def card_object(
    card: Card, *, creator: str, created: int, modified: int, marks: Iterable[str]
) -> dict[str, Any]:
    """Write a card as an object, not signed yet.

    Args:
        card: with its id.
        creator: the identity that says it.
        created: instant of its first version.
        modified: instant of this one.
        marks: ids of markings.
    """
    said: dict[str, Any] = {
        "party": card.party,
        "title": card.title,
        "duties": [str(duty) for duty in card.duties],
        "sector": card.sector,
        "languages": list(card.languages),
        "zone": card.zone,
        "mail": list(card.mail),
        "phones": list(card.phones),
        "keys": [_key_object(key) for key in card.keys],
        "deputy_refs": list(card.deputies),
        "shifts": [_shift_object(each) for each in card.rota.shifts],
        "overrides": [_override_object(each) for each in card.rota.overrides],
        "holidays": [
            {"day": day.isoformat(), "name": name}
            for day, name in sorted(card.rota.holidays.items())
        ],
        "source": card.source,
        "last_verified": stix_text(card.verified) if card.verified else "",
        "remark": card.remark,
    }
    plain: dict[str, Any] = {
        "confidence": card.confidence,
        "roles": [each for each in (*said["duties"], card.title) if each],
        "sectors": [card.sector] if card.sector else [],
        # STIX 2.1 §4.5: for people, and for programs that know no more.
        "contact_information": "; ".join((*card.mail, *card.phones)),
    }
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": card.id,
        "created_by_ref": creator,
        "created": stix_text(created),
        "modified": stix_text(modified),
        "name": card.name,
        "identity_class": "individual" if card.person else "group",
        **{name: value for name, value in plain.items() if value not in ([], "", None)},
        "object_marking_refs": list(marks),
        "extensions": {
            CARD_EXTENSION: {
                "extension_type": "property-extension",
                **{name: value for name, value in said.items() if value},
            }
        },
    }


def _key_object(key: CardKey) -> dict[str, str]:
    made = {"kind": str(key.kind), "fingerprint": key.fingerprint}
    if key.expires is not None:
        made["expires"] = stix_text(key.expires)
    return {**made, "certificate": key.certificate} if key.certificate else made


def _shift_object(shift: Shift) -> dict[str, Any]:
    return {
        "person_ref": shift.person,
        "days": [day for day in (*DAYS, HOLIDAY) if day in shift.days],
        "begin": time_text(shift.begin),
        "end": time_text(shift.end),
    }


def _override_object(each: Override) -> dict[str, str]:
    begin, end = stix_text(each.begin), stix_text(each.end)
    return {"person_ref": each.person, "begin": begin, "end": end}


def is_card(data: Mapping[str, Any]) -> bool:
    """Say whether an object is a contact card."""
    extensions = data.get("extensions")
    return (
        data.get("type") == "identity"
        and isinstance(extensions, dict)
        and isinstance(extensions.get(CARD_EXTENSION), dict)
    )


def read_card(data: Mapping[str, Any]) -> tuple[Card, list[str]]:
    """Read a card from an object that `is_card`; and what of it could not be read.

    The STIX reader has checked what is no extension's.
    """
    reading = _Reading(data["extensions"][CARD_EXTENSION])
    outside = _Reading(data)
    card = Card(
        name=outside.one("name", _name, "?"),
        party=reading.one("party", read_party, ""),
        id=str(data["id"]),
        person=data.get("identity_class") == "individual",
        title=reading.one("title", read_line, ""),
        duties=reading.several("duties", lambda said: Duty(read_line(said))),
        sector=reading.one("sector", read_line, ""),
        languages=reading.several("languages", read_language),
        zone=reading.one("zone", read_zone, ""),
        mail=reading.several("mail", read_mail),
        phones=reading.several("phones", read_phone),
        keys=reading.several("keys", _read_key),
        deputies=reading.several("deputy_refs", _card_id),
        rota=Rota(
            reading.several("shifts", _read_shift),
            reading.several("overrides", _read_override),
            dict(reading.several("holidays", _read_holiday)),
        ),
        source=reading.one("source", read_line, ""),
        verified=reading.one("last_verified", _when, 0),
        confidence=outside.one("confidence", _sure, None),
        remark=reading.one("remark", _remark, ""),
    )
    return card, [*outside.faults, *reading.faults]


class _Reading:
    """Reads values by name, and notes which cannot be read."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._said = said
        self.faults: list[str] = []

    def one(self, name: str, read: Callable[[object], T], other: T) -> T:
        if name not in self._said:
            return other
        try:
            return read(self._said[name])
        except (ValueError, OverflowError) as fault:
            self.faults.append(f"{name}: {fault}")
            return other

    def several(self, name: str, read: Callable[[Any], T]) -> tuple[T, ...]:
        said = self._said.get(name, [])
        if not isinstance(said, list):
            self.faults.append(f"{name}: this is no list")
            return ()
        if len(said) > _MOST:
            self.faults.append(f"{name}: {len(said)}, read were {_MOST}")
        found = []
        for each in said[:_MOST]:
            try:
                found.append(read(each))
            except (ValueError, OverflowError) as fault:
                self.faults.append(f"{name}: {fault}")
        return tuple(found)


def _part(said: Any, name: str) -> Any:
    if not isinstance(said, dict) or name not in said:
        raise ValueError(f"expected a part with {name}")
    return said[name]


def _read_key(said: Any) -> CardKey:
    kind = KeyKind(read_line(_part(said, "kind")))
    text = said.get("certificate", "")
    if not isinstance(text, str) or len(text) > _CERTIFICATE:
        raise ValueError(f"a certificate is at most {_CERTIFICATE} letters")
    return CardKey(
        kind,
        read_fingerprint(kind, _part(said, "fingerprint")),
        instant(read_line(said["expires"])) if "expires" in said else None,
        text,
    )


def _read_shift(said: Any) -> Shift:
    days = _part(said, "days")
    if not isinstance(days, list) or not days or not {*map(str, days)} <= _KNOWN_DAYS:
        raise ValueError(f"days are of {', '.join(DAYS)}, {HOLIDAY}")
    return Shift(
        _card_id(_part(said, "person_ref")),
        frozenset(days),
        read_time(read_line(_part(said, "begin"))),
        read_time(read_line(_part(said, "end"))),
    )


_KNOWN_DAYS: Final = frozenset({*DAYS, HOLIDAY})


def _read_override(said: Any) -> Override:
    person = _card_id(_part(said, "person_ref"))
    begin = instant(read_line(_part(said, "begin")))
    end = instant(read_line(_part(said, "end")))
    if begin >= end:
        raise ValueError("an override ends before it begins")
    return Override(person, begin, end)


def _read_holiday(said: Any) -> tuple[date, str]:
    day = date.fromisoformat(read_line(_part(said, "day")))
    return day, read_line(said.get("name", ""))


def checked(card: Card) -> Card:
    """Give a card as it is kept, if all of it is right.

    Raises:
        ValueError: what is wrong, all of it, one finding a line.
    """
    faults = []
    marked = card_object(card, creator="", created=0, modified=0, marks=())
    read, told = read_card(marked)
    faults += told
    if not card.party:
        faults.append("party: empty, expected whose card it is")
    if not read.duties:
        faults.append(f"duties: none, expected one of {', '.join(Duty)}")
    if (Duty.SECTOR in read.duties) != bool(read.sector):
        faults.append("sector: it goes with the duty sector, and with no other")
    if not (read.mail or read.phones or read.rota.people):
        faults.append("mail, phones: nobody is reached by this card")
    if not read.source:
        faults.append("source: empty, expected who says this")
    if read.rota.people and not read.zone:
        faults.append("zone: shifts are times in a zone, and there is none")
    if card.id in (*read.deputies, *read.rota.people):
        faults.append("deputies, shifts: the card names itself")
    if faults:
        raise ValueError("\n".join(faults))
    return read


def blank(card: Card) -> Card:
    """Give what stays of a card when the person in it is to be forgotten."""
    return replace(Card("(erased)", card.party, card.id), person=card.person)


def card_extension_object() -> dict[str, Any]:
    """Give the definition of the extension that makes an identity a contact card."""
    return {
        "type": "extension-definition",
        "id": CARD_EXTENSION,
        **DECLARED,
        "created_by_ref": DECLARED_BY,
        "name": "Contact card",
        "description": "How a person or desk of a party is reached, and who says so.",
        "schema": (
            "A property-extension of identity. 'party' names whose card it is; "
            "'duties' are of diplomatic, policy, technical, 24x7, sector; 'mail' are "
            "addresses, 'phones' E.164 numbers, 'languages' BCP 47 tags, 'zone' an "
            "IANA time zone; 'keys' have kind (openpgp, smime), fingerprint, expires "
            "and certificate. 'shifts' (person_ref, days, begin, end, in the zone), "
            "'overrides' (person_ref, begin, end) and 'holidays' (day, name) say who "
            "of a desk is on call. 'source' says who told it, 'last_verified' when it "
            "last proved right."
        ),
        "version": "1.0",
        "extension_types": ["property-extension"],
    }
