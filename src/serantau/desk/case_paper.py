"""A case as a paper for people, in English or Thai.

It is written from what was released and from nothing else: the entries are folded anew,
so the paper says what the recipient's own node would say of the same entries.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final
from zoneinfo import ZoneInfo

from serantau.clock import instant, moment
from serantau.rules.case import Case, Line
from serantau.rules.case_clock import TERMS, Terms, clocks
from serantau.rules.case_entry import Kind
from serantau.rules.indicator import PatternError, values_of
from serantau.wire.paper import Block, Heading, Lines, Paper, Plain, Table, shown

_BUDDHIST_YEARS: Final = 543
# Kinds of entries by which something is decided.
_DECIDING: Final = frozenset(
    {
        *(Kind.OPENED, Kind.OWNER, Kind.HANDED_OVER, Kind.ASSESSMENT, Kind.EMBARGO),
        *(Kind.ACCEPTED, Kind.DECLINED, Kind.REFERRED, Kind.CLOSED, Kind.REOPENED),
    }
)


class Language(StrEnum):
    """What a paper can be written in."""

    ENGLISH = "en"
    THAI = "th"


class Era(StrEnum):
    """How years are counted."""

    GREGORIAN = "gregorian"
    BUDDHIST = "buddhist"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a paper about a case is written from, all of it released to who gets it.

    case: its entries. objects: that are evidence, by id. names: of parties, by
    identity. zones: of parties, by identity, as IANA names. team: who makes the paper.
    party: who gets it. zone: whose local time stands beside UTC. at: the instant when.
    realm: of an exercise; empty: live. terms: by which the clocks run.
    """

    case: Case
    objects: Mapping[str, Mapping[str, Any]]
    names: Mapping[str, str]
    zones: Mapping[str, str]
    team: str
    party: str
    zone: str
    at: int
    realm: str = ""
    terms: Mapping[str, Terms] = field(default_factory=lambda: TERMS)


def paper_of(facts: Facts, lang: Language, era: Era = Era.GREGORIAN) -> Paper:
    """Write the paper."""
    return _Writing(facts, lang, era).paper()


def values_in(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Give the values by which an object is known: what kind each is, and the value."""
    if one.get("type") == "indicator":
        if one.get("pattern_type", "stix") != "stix":
            return []
        try:
            return list(values_of(str(one.get("pattern", ""))))
        except PatternError:
            return []
    hashes = one.get("hashes")
    found = [(str(one.get("type")), str(one[key])) for key in _KEYS if one.get(key)]
    if isinstance(hashes, dict):
        found += [(str(name).lower(), str(said)) for name, said in hashes.items()]
    return found


_KEYS: Final = ("value", "number", "path", "key")


@cache
def words(lang: Language) -> Mapping[str, Mapping[str, Any]]:
    """Give the words of a language, by table."""
    place = files("serantau") / "data" / "papers" / f"{lang}.toml"
    return tomllib.loads(place.read_text(encoding="utf-8"))


def _joined(between: str, texts: Iterable[str]) -> Plain:
    return Plain(between.join(shown(each) for each in texts if each))


class _Writing:
    """A paper while it is written."""

    def __init__(self, facts: Facts, lang: Language, era: Era) -> None:
        self._facts = facts
        self._case = facts.case
        self._lang = lang
        self._era = era
        self._words = words(lang)
        self._zone = ZoneInfo(facts.zone)

    def paper(self) -> Paper:
        facts, state = self._facts, self._case.state
        return Paper(
            title=state.name,
            label=self._case.entry(self._case.id).level.label,
            lang=self._lang,
            banner=self._say("exercise") if facts.realm else "",
            blocks=[*self._head(), *self._standing(), *self._work(), *self._history()],
        )

    # Words

    def _say(self, key: str, /, **values: str) -> Plain:
        said = str(self._words["words"][key])
        return Plain(
            said.format(**{name: shown(each) for name, each in values.items()})
        )

    def _word(self, table: str, key: str) -> str:
        """Give a word of ours for what an entry says; else what it says."""
        found = self._words[table].get(key)
        return key if found is None else Plain(found)

    def _name(self, identity: str) -> str:
        return self._facts.names.get(identity, identity) if identity else ""

    def _utc(self, text: str) -> Plain:
        return self._when(text, "UTC") if text else self._say("none")

    def _local(self, text: str, zone: str = "") -> Plain:
        return self._when(text, zone or self._facts.zone)

    def _when(self, text: str, zone: str) -> Plain:
        """Write a time in a zone: to the minute, with the zone's distance to UTC."""
        at = moment(instant(text)).astimezone(
            self._zone if zone == self._facts.zone else ZoneInfo(zone)
        )
        if self._era is Era.BUDDHIST:
            months = self._words["months"]
            year = at.year + _BUDDHIST_YEARS
            day = f"{at.day} {months['names'][at.month - 1]} {months['era']} {year}"
        else:
            day = f"{at:%Y-%m-%d}"
        if zone == "UTC":
            return Plain(f"{day} {at:%H:%M} UTC")
        off = f"{at:%z}"
        return Plain(f"{day} {at:%H:%M} {off[:3]}:{off[3:]}")

    # Sections

    def _head(self) -> Iterator[Block]:
        facts, state = self._facts, self._case.state
        at = self._utc(moment(facts.at).isoformat())
        yield Lines(self._say("made", team=facts.team, party=facts.party, when=at))
        yield Lines(self._say(self._era.value))
        yield Lines(self._say("zones", zone=Plain(facts.zone)))
        yield Heading(self._say("case"))
        opened = self._say(
            "by", when=self._utc(state.opened), party=self._name(state.opener)
        )
        owner = self._name(state.owner)
        if state.offered:
            owner = self._say("offered", party=owner, to=self._name(state.offered))
        rows: list[tuple[str, str]] = [
            ("id", Plain(self._case.id)),
            ("opened", opened),
            ("owner", owner),
            ("state", self._state()),
        ]
        if state.severity:
            rows.append(("severity", self._word("states", state.severity)))
        if state.incident_class:
            rows.append(("class", state.incident_class))
        if state.national_class:
            rows.append(("national", state.national_class))
        if state.embargo.state != "none":
            rows.append(("embargo", self._embargo()))
        yield Table((), [(self._say(key), said) for key, said in rows], (1, 3))
        if state.description:
            yield Lines(state.description)

    def _state(self) -> str:
        closed = self._case.state.closed
        return (
            self._say("closed", when=self._utc(closed)) if closed else self._say("open")
        )

    def _embargo(self) -> str:
        embargo = self._case.state.embargo
        said = self._word("states", embargo.state)
        until = embargo.until or embargo.proposed
        return self._say("until", state=said, when=self._utc(until)) if until else said

    def _standing(self) -> Iterator[Block]:
        facts = self._facts
        yield Heading(self._say("parties"))
        yield self._table(
            ("party", "state", "invited", "answered", "last"),
            (3, 2, 2, 2, 2),
            [
                (
                    self._name(party),
                    self._say("mail", state=said) if part.mail else said,
                    self._utc(part.invited),
                    self._utc(part.answered),
                    self._utc(part.last),
                )
                for party, part in self._case.state.parts.items()
                for said in [self._word("states", part.state)]
            ],
        )
        yield Heading(self._say("clocks"))
        due = [
            (
                self._name(each.party),
                self._clock(each.clock, each.what),
                self._late(self._utc(at), each.at),
                self._local(at, zone),
            )
            for each in clocks(self._case, facts.terms).due
            for at in [moment(each.at).isoformat()]
            for zone in [facts.zones.get(each.party, "")]
        ]
        if due:
            yield self._table(("party", "clock", "due", "local"), (3, 4, 3, 3), due)
        else:
            yield Lines(self._say("no_clocks"))

    def _clock(self, clock: str, what: str) -> str:
        said = self._word("clocks", clock.partition(":")[0])
        return _joined(": ", (said, what))

    def _late(self, when: Plain, at: int) -> str:
        return self._say("late", when=when) if at <= self._facts.at else when

    def _work(self) -> Iterator[Block]:
        state = self._case.state
        if state.tasks:
            yield Heading(self._say("tasks"))
            yield self._table(
                ("task", "whose", "due", "state"),
                (5, 3, 3, 2),
                [
                    (
                        task.name,
                        self._name(task.party),
                        self._utc(task.due),
                        self._word("states", task.state),
                    )
                    for task in state.tasks.values()
                ],
            )
        if state.asks:
            yield Heading(self._say("asks"))
            yield self._table(
                ("ask", "asked_by", "due", "answers"),
                (4, 3, 3, 3),
                [
                    (
                        ask.name,
                        self._name(ask.by),
                        self._utc(ask.due),
                        _joined(
                            ", ",
                            [
                                self._say(
                                    "answer",
                                    party=self._name(party),
                                    answer=self._word("states", answer),
                                )
                                for party, answer in ask.to.items()
                            ],
                        ),
                    )
                    for ask in state.asks.values()
                ],
            )

    def _history(self) -> Iterator[Block]:
        lines = [*self._case.lines(), *(Line(one, ()) for one in self._case.waiting)]
        decided = [
            line for line in lines if line.entry.kind in _DECIDING and not line.flags
        ]
        yield Heading(self._say("decisions"))
        yield self._log(decided)
        yield Heading(self._say("evidence"))
        yield from self._evidence()
        yield Heading(self._say("log"))
        yield self._log(lines)

    def _evidence(self) -> Iterator[Block]:
        rows = []
        for object_id, entry in self._case.state.evidence.items():
            one = self._facts.objects.get(object_id)
            if one is None:
                continue
            values = _joined(", ", [value for _, value in values_in(one)])
            name = str(one.get("name") or one.get("type"))
            when = self._utc(self._case.entry(entry).created)
            rows.append((object_id, name, values, when))
        if rows:
            yield self._table(
                ("object", "what", "values", "brought"), (3, 3, 4, 2), rows
            )
        else:
            yield Lines(self._say("no_evidence"))

    def _log(self, lines: Sequence[Line]) -> Table:
        waiting = {one.id for one in self._case.waiting}
        return self._table(
            ("at", "at_local", "who", "kind", "said"),
            (2, 2, 3, 2, 5),
            [
                (
                    self._utc(line.entry.created),
                    self._local(line.entry.created),
                    self._who(line),
                    self._word("kinds", line.entry.kind),
                    _joined("; ", self._said(line, waiting)),
                )
                for line in lines
            ],
        )

    def _who(self, line: Line) -> str:
        entry = line.entry
        author = self._name(entry.created_by_ref)
        if not entry.for_ref:
            return author
        return self._say(
            "for_mail",
            party=self._name(entry.for_ref),
            author=author,
            signature=entry.mail_signature or "none",
        )

    def _said(self, line: Line, waiting: set[str]) -> Iterator[str]:
        entry = line.entry
        read = self._case.state.corrections.get(entry.id, {})
        yield read.get("name", entry.name)
        said = entry.stance or entry.step or entry.state
        yield self._word("states", said) if said else ""
        for party in filter(None, (entry.party_ref, *entry.party_refs)):
            yield self._name(party)
        if entry.about_ref:
            yield self._say("of", entry=entry.about_ref.partition("--")[2][:8])
        if entry.severity_level:
            yield self._word("states", entry.severity_level)
        yield entry.incident_class
        if entry.clock:
            yield self._word("clocks", entry.clock.partition(":")[0])
        yield entry.channel
        for at in filter(None, (entry.due, entry.until)):
            yield self._utc(at)
        yield read.get("description", entry.description)
        yield entry.limits
        brought = self._facts.objects.keys() & {*entry.object_refs}
        if brought:
            yield self._say("objects", count=Plain(len(brought)))
        if read:
            yield self._say("corrected")
        if entry.id in waiting:
            yield self._say("waits")
        if line.flags:
            yield self._say("flagged", flags=", ".join(line.flags))

    def _table(
        self, head: tuple[str, ...], wide: tuple[int, ...], rows: Sequence[Any]
    ) -> Table:
        return Table(tuple(map(self._say, head)), rows, wide)
