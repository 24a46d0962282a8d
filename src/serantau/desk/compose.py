"""Making and changing this node's own objects by hand, and seeing who would get them.

What somebody pasted is read for values; each becomes an indicator. An object that is
changed gets a new version. Both come into the store as what is loaded does: checked,
signed in the node's name, and shared as they are marked.
"""

from __future__ import annotations

import re
import uuid
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from serantau.clock import instant, stix_text
from serantau.desk.intake import USER, Intake
from serantau.desk.keys import Bringer
from serantau.desk.recall import Recalling
from serantau.desk.shelf import Label, label_of
from serantau.desk.warned import warned
from serantau.errors import BadRequest, ConfigError, Conflict, Forbidden, NotFound
from serantau.node import Node
from serantau.records import acts
from serantau.records.database import Tx
from serantau.records.search import Found
from serantau.rules.level import Pap, Tlp
from serantau.rules.marking import (
    TLP_2_IDS,
    Marking,
    MarkingSet,
    look_up,
    make_audience,
    read_marking,
)
from serantau.rules.party import Kind, Party
from serantau.rules.recall import stricter
from serantau.rules.release import Verdict, ended, judge
from serantau.rules.signature import unsigned
from serantau.rules.text import HASH_KINDS, defang, find_values
from serantau.wire.bundle import Piece
from serantau.wire.misp_tags import pap_definition

MOST: Final = 200
"""Values that are taken from one text."""
PAGE: Final = "a page"
CHANGED: Final = frozenset(
    (
        *("attack-pattern", "campaign", "course-of-action", "grouping", "indicator"),
        *("infrastructure", "intrusion-set", "malware", "report", "threat-actor"),
        *("tool", "vulnerability", "sighting", "relationship", "observed-data"),
    )
)
"""Types whose objects are changed here. What has a room of its own is changed there."""
NAMED: Final = CHANGED - {"sighting", "relationship", "observed-data"}
"""Those that have a name; of these all but a sighting have a description, too."""

_SPACE: Final = uuid.UUID("b1c6f4f8-3d0b-5b8c-8f0e-0d9a7a5f2e61")
_MILLISECOND: Final = 1000
_PLAIN: Final = (
    *("ipv4-addr", "ipv6-addr", "domain-name", "url", "email-addr", "mac-addr"),
)
# STIX 2.1 §10.12: these names are fixed; others are written as they are known.
_HASH_NAMES: Final = {
    "md5": "MD5",
    "sha-1": "SHA-1",
    "sha-256": "SHA-256",
    "sha-512": "SHA-512",
    "ssdeep": "SSDEEP",
    "tlsh": "TLSH",
}
_LABEL: Final = re.compile(r"[^,\n]+")


# Reading what was pasted


@dataclass(frozen=True, slots=True)
class Value:
    """A value that was found in a text.

    shown: it, defanged. pattern: of the indicator that it becomes. lists: warninglists
    that have it. held: ids of objects that have it already.
    """

    kind: str
    value: str
    shown: str
    pattern: str
    lists: Sequence[str]
    held: Sequence[str]

    @property
    def key(self) -> str:
        """Give what names it in a form."""
        return f"{self.kind}:{self.value}"


def values_in(node: Node, text: str) -> list[Value]:
    """Find what a text holds that an indicator can be made of, in order."""
    found = [
        (kind, value)
        for kind, value in find_values(text)
        if kind in _PLAIN or kind in HASH_KINDS or kind == "windows-registry-key"
    ][:MOST]
    lists = warned(node, found)
    with node.db.read() as tx:
        held = [
            [one.id for one in node.search.find(tx, value, limit=3)]
            for _, value in found[:20]
        ]
    held += [[]] * (len(found) - len(held))
    return [
        Value(kind, value, defang(value), pattern_of(kind, value), names, ids)
        for (kind, value), names, ids in zip(found, lists, held, strict=True)
    ]


def pattern_of(kind: str, value: str) -> str:
    """Write the STIX pattern that a value of a kind is matched by."""
    said = value.replace("\\", "\\\\").replace("'", "\\'")
    if kind in HASH_KINDS:
        return f"[file:hashes.'{_HASH_NAMES.get(kind, kind.upper())}' = '{said}']"
    return f"[{kind}:{'key' if kind == 'windows-registry-key' else 'value'} = '{said}']"


# Marking


@dataclass(frozen=True, slots=True)
class Marks:
    """How an object is to be marked.

    parties: names of those that it is meant for; empty: no audience. kept: ids of other
    markings that it bears already.
    """

    tlp: Tlp
    pap: Pap | None = None
    parties: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def definitions(self) -> list[dict[str, Any]]:
        """Give the definitions that no standard fixes.

        Raises:
            BadRequest: a name that is none.
        """
        made: list[dict[str, Any]] = []
        if self.pap is not None:
            made.append(pap_definition(self.pap.label))
        if self.parties:
            try:
                made.append(dict(make_audience(named=self.parties)))
            except ValueError as fault:
                raise BadRequest(f"{fault}.") from fault
        return made

    def refs(self) -> tuple[str, ...]:
        """Give the ids of all markings."""
        made = [str(one["id"]) for one in self.definitions()]
        return (TLP_2_IDS[self.tlp], *made, *self.kept)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who would get what is marked so, of all parties; and it as a label."""

    label: Label
    verdicts: Sequence[tuple[Party, Verdict]]

    @property
    def goes(self) -> list[str]:
        """Name those who would get it, by machine."""
        return [party.name for party, verdict in self.verdicts if verdict.released]


def outcome(node: Node, marks: Marks) -> Outcome:
    """Work out who would get an object that is marked so. Nothing is stored.

    Raises:
        NotFound: it is meant for a party that is not here.
    """
    with node.db.read() as tx:
        return _outcome(node, tx, marks)


def _outcome(node: Node, tx: Tx, marks: Marks) -> Outcome:
    audiences = node.audiences
    parties = audiences.parties(tx)
    _check_parties(parties.values(), marks)
    known = known_with(audiences.known(tx), marks.definitions())
    marked = MarkingSet(refs=marks.refs())
    circles, now = audiences.circles(tx), tx.clock.now()
    verdicts = [
        (
            party,
            judge(
                marked,
                known,
                party,
                own=audiences.own,
                policy=audiences.policy,
                circles=circles,
            )
            if party.active(now)
            else ended(party),
        )
        for party in parties.values()
        if party.kind is not Kind.OWN
    ]
    order = sorted(verdicts, key=lambda one: (not one[1].released, one[0].name))
    return Outcome(label_of(known, marked), order)


def _check_parties(parties: Iterable[Party], marks: Marks) -> None:
    names = {party.name for party in parties}
    for name in marks.parties:
        if name not in names:
            raise NotFound(
                f"No party is named {name!r}.", mend="Names are like th or sg."
            )


def known_with(
    known: Mapping[str, Marking], made: Iterable[Mapping[str, Any]]
) -> Mapping[str, Marking]:
    """Give the markings that are known, and those of definitions just made."""
    fresh = {read.id: read for read in map(read_marking, made)}
    return ChainMap(fresh, dict(known))


# Making


@dataclass(frozen=True, slots=True)
class Draft:
    """Indicators that are to be made, one a value.

    seed: of the form that asks for it; sending it twice makes nothing twice. name:
    empty for the value itself. until: an instant, 0 for none. confidence: 0 to 100,
    None for not said.
    """

    seed: str
    values: Sequence[tuple[str, str]]
    marks: Marks
    name: str = ""
    description: str = ""
    labels: tuple[str, ...] = ()
    until: int = 0
    confidence: int | None = None


def labels_in(text: str) -> tuple[str, ...]:
    """Read labels, with commas or line ends between."""
    found = (" ".join(one.split()) for one in _LABEL.findall(text))
    return tuple(dict.fromkeys(filter(None, found)))


def make(node: Node, draft: Draft, user: str) -> list[str]:
    """Store indicators as this node's own, and give their ids.

    Raises:
        ConfigError: the node has no identity to sign with.
        BadRequest: nothing to make, or a time that has passed.
        NotFound: it is meant for a party that is not here.
        Conflict: the store refused one; nothing was stored.
    """
    own = _identity(node)
    if not draft.values:
        raise BadRequest("There is no value to make an indicator of.")
    now = node.clock.now()
    if draft.until and draft.until <= now:
        raise BadRequest("The time until which it holds has passed.")
    made = []
    for kind, value in draft.values:
        name = draft.name or value
        if draft.name and len(draft.values) > 1:
            name = f"{draft.name}: {value}"
        one: dict[str, Any] = {
            "type": "indicator",
            "spec_version": "2.1",
            "id": f"indicator--{uuid.uuid5(_SPACE, f'{draft.seed}|{kind}:{value}')}",
            "created_by_ref": own,
            "created": stix_text(now),
            "modified": stix_text(now),
            "name": name,
            "pattern": pattern_of(kind, value),
            "pattern_type": "stix",
            "valid_from": stix_text(now),
            "object_marking_refs": list(draft.marks.refs()),
        }
        if draft.until:
            one["valid_until"] = stix_text(draft.until)
        _put(one, "description", draft.description)
        _put(one, "labels", list(draft.labels))
        _put(one, "confidence", draft.confidence)
        made.append(one)
    ids = [str(one["id"]) for one in made]
    with node.db.write() as tx:
        if node.search.versions(tx, ids[0], hidden=True):
            return ids  # the form was sent before
        _check_parties(node.audiences.parties(tx).values(), draft.marks)
        _admit(node, tx, [*draft.marks.definitions(), *made], user)
        for one in made:
            acts.decided(tx, "made an object", str(one["id"]), after=_told(one))
    return ids


# Changing


@dataclass(frozen=True, slots=True)
class Own:
    """An own object that may be changed. version: that it has now. marks: as they are.

    gone: names of those who got it, by the release log.
    """

    id: str
    version: str
    data: Mapping[str, Any]
    marks: Marks
    gone: Sequence[str]


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be said by a new version. None leaves a field out; `until` 0 does."""

    marks: Marks
    name: str = ""
    description: str = ""
    labels: tuple[str, ...] = ()
    confidence: int | None = None
    until: int = 0
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change would do. before, after: who gets it. stricter: fewer, or less."""

    before: Outcome
    after: Outcome
    stricter: bool
    changes: Sequence[tuple[str, Any, Any]] = field(default=())

    @property
    def lose(self) -> list[str]:
        """Name those who may have it now, and would not any more."""
        return [name for name in self.before.goes if name not in self.after.goes]


def own_object(node: Node, object_id: str) -> Own:
    """Give an object of this node's own as it is to be changed.

    Raises:
        NotFound: it is not here.
        Forbidden: another made it, or it is changed elsewhere.
    """
    with node.db.read() as tx:
        newest = _newest(node, tx, object_id)
        known = node.audiences.known(tx)
        data = orjson.loads(newest.body)
        handled = node.audiences.set_of(tx, newest.marking_set).handled_as
    return Own(
        object_id,
        newest.version,
        data,
        _marks_of(data, known, Tlp.RED if handled is None else handled),
        [party for party, _ in Recalling(node).got(object_id)],
    )


def effect(node: Node, held: Own, change: Change) -> Effect:
    """Work out what a change would do. Nothing is stored.

    Raises:
        NotFound: it is meant for a party that is not here.
    """
    with node.db.read() as tx:
        before, after = (
            _outcome(node, tx, each) for each in (held.marks, change.marks)
        )
        known = known_with(
            node.audiences.known(tx),
            [*held.marks.definitions(), *change.marks.definitions()],
        )
    return Effect(
        before,
        after,
        stricter(
            MarkingSet(refs=change.marks.refs()),
            MarkingSet(refs=held.marks.refs()),
            known,
        ),
        _differing(held.data, _changed(held.data, change)),
    )


def revise(node: Node, held: Own, change: Change, user: str) -> bool:
    """Store a new version of an own object; False when it would say nothing new.

    Raises:
        Conflict: somebody made a newer version meanwhile, or the store refused it;
            nothing was stored.
        BadRequest: it would hold until before it began.
        NotFound, Forbidden: as `own_object`.
    """
    _identity(node)
    with node.db.write() as tx:
        newest = _newest(node, tx, held.id)
        if newest.version != held.version:
            raise Conflict(
                "Somebody made a newer version of this object meanwhile.",
                mend="Nothing was stored. Open it again, and change that one.",
            )
        _check_parties(node.audiences.parties(tx).values(), change.marks)
        before = orjson.loads(newest.body)
        after = _changed(unsigned(before), change)
        if not _differing(before, after):
            return False
        began = after.get("valid_from")
        if change.until and began and change.until <= instant(str(began)):
            raise BadRequest("It would hold until before it began to hold.")
        now = max(tx.clock.now(), instant(str(before["modified"])) + _MILLISECOND)
        after["modified"] = stix_text(now)
        _admit(node, tx, [*change.marks.definitions(), after], user)
        acts.decided(
            tx, "changed an object", held.id, before=_told(before), after=_told(after)
        )
    return True


def _newest(node: Node, tx: Tx, object_id: str) -> Found:
    found = node.search.versions(tx, object_id)
    if not found:
        raise NotFound(f"This node has no object {object_id}.")
    newest = found[-1]
    data = orjson.loads(newest.body)
    own = node.config.node.identity
    if not own or data.get("created_by_ref") != own:
        raise Forbidden(
            "Only who made an object makes versions of it, and this node did not.",
            mend="Ask its creator.",
        )
    if newest.type not in CHANGED or "modified" not in data:
        raise Forbidden(f"A {newest.type} is not changed here.")
    if data.get("revoked"):
        raise Forbidden("It is revoked. STIX has no way back: make a new one.")
    return newest


def _changed(data: Mapping[str, Any], change: Change) -> dict[str, Any]:
    kind = str(data["type"])
    made = dict(data)
    if kind in NAMED:
        made["name"] = change.name or made.get("name", "")
        if not made["name"]:
            del made["name"]
    if kind in NAMED or kind == "relationship":
        _put(made, "description", change.description)
    _put(made, "labels", list(change.labels))
    _put(made, "confidence", change.confidence)
    if kind == "indicator":
        same = change.until == _instant(data.get("valid_until"))
        if not same:
            _put(made, "valid_until", stix_text(change.until) if change.until else "")
    refs = list(change.marks.refs())
    if set(refs) != set(data.get("object_marking_refs", [])):
        made["object_marking_refs"] = refs
    if change.revoked:
        made["revoked"] = True
    return made


def _instant(text: Any) -> int:
    return instant(text) if isinstance(text, str) else 0


def _put(made: dict[str, Any], name: str, value: Any) -> None:
    """Say something, or leave it out when it is empty. STIX has no empty lists."""
    if value is None or value in ("", []):
        made.pop(name, None)
    else:
        made[name] = value


def _differing(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    """Give what differs but for the signature and the time: (name, was, is)."""
    was, now = unsigned(dict(before)), unsigned(dict(after))
    return [
        (name, was.get(name), now.get(name))
        for name in sorted({*was, *now} - {"modified"})
        if was.get(name) != now.get(name)
    ]


def _marks_of(
    data: Mapping[str, Any], known: Mapping[str, Marking], handled: Tlp
) -> Marks:
    """Read how an object is marked, as far as a form can say it; the rest is kept."""
    refs = [str(ref) for ref in data.get("object_marking_refs", [])]
    found = [look_up(ref, known) for ref in refs]
    levels = [one.tlp for one in found if one.tlp is not None]
    paps = [one.pap for one in found if one.pap is not None]
    kept: list[str] = []
    parties: set[str] = set()
    for one in found:
        if one.tlp is not None or one.pap is not None:
            continue
        plain = (
            one.audience is not None
            and one.audience.named
            and (
                not one.audience.circles and one.id == _audience_id(one.audience.named)
            )
        )
        if plain and one.audience is not None and not parties:
            parties |= one.audience.named
        else:
            kept.append(one.id)
    level = max(levels, default=handled)
    return Marks(level, max(paps, default=None), tuple(sorted(parties)), tuple(kept))


def _audience_id(named: Iterable[str]) -> str:
    return str(make_audience(named=sorted(named))["id"])


def _identity(node: Node) -> str:
    own = node.config.node.identity
    if not own:
        raise ConfigError(
            "This node has no identity, so it can sign nothing.",
            mend="Set node.identity; `serantau init` makes one.",
        )
    return own


def _admit(node: Node, tx: Tx, made: Sequence[Mapping[str, Any]], user: str) -> None:
    """Let objects in as what a person loads, or none of them."""
    intake = Intake(node)
    source = USER + user
    fresh = [
        one
        for one in made
        if one["type"] != "marking-definition"
        or not node.search.versions(tx, str(one["id"]), hidden=True)
    ]
    report, _ = intake.batch(
        tx,
        [
            Piece(ordinal=place, offset=0, line=place, raw=orjson.dumps(one))
            for place, one in enumerate(fresh, 1)
        ],
        source=source,
        origin=PAGE,
        handling=intake.handling(source),
        bringer=Bringer(source, PAGE, ours=True),
    )
    if report.refused:
        fault = report.faults[0]
        raise Conflict(
            f"The store refused it: {fault.rule}: got {fault.got}, expected "
            f"{fault.expected}{f' at {fault.place}' if fault.place else ''}.",
            mend="Nothing was stored.",
        )


def _told(data: Mapping[str, Any]) -> dict[str, Any]:
    """Give what the log of decisions is told of a version."""
    names = ("name", "modified", "object_marking_refs", "revoked", "valid_until")
    return {name: data[name] for name in names if name in data}
