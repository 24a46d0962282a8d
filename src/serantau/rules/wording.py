"""What a notice says: a catalogue of texts in a language, and the mail made of it.

English is the source. A catalogue that lacks a text falls back to it, and then the
notice says so, in both languages, before anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, Final

from serantau.errors import ConfigError
from serantau.rules.level import Tlp
from serantau.rules.taxonomy import CLASS_OF, CLASSES

SOURCE: Final = "en"
_WIDTH: Final = 76
_PLACES: Final = frozenset(
    {
        *("team", "party", "class", "day", "rows", "places", "number", "tlp", "name"),
        *("count", "file", "attached", "days", "language", "meaning"),
        *("year", "month", "month_name", "era"),
    }
)
_family: Final = re.compile(r"^(scan|event)6(?=_)|6$")


@dataclass(frozen=True, slots=True)
class Advice:
    """What is said of one RSIT type. do: the steps, in order."""

    name: str
    what: str
    why: str
    do: tuple[str, ...]
    confirm: str


@dataclass(frozen=True, slots=True)
class Family:
    """What is said besides of some kinds of report. confirm: empty: as the type's."""

    name: str
    reports: frozenset[str]
    do: tuple[str, ...]
    confirm: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All texts in one language.

    tag: BCP 47. name: of the language, in itself. complete: whether nothing is missing.
    words: sentences and headings, with `{places}`. months: names, where dates have
    them. era: what is added to the year.
    """

    tag: str
    name: str
    complete: bool = False
    words: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, Advice] = field(default_factory=dict)
    families: Mapping[str, Family] = field(default_factory=dict)
    months: tuple[str, ...] = ()
    era: int = 0


def read_catalogue(data: Mapping[str, Any], place: str) -> Catalogue:
    """Read a catalogue as its TOML has it.

    Raises:
        ConfigError: a table or text is not what it should be; `place` is named.
    """
    try:
        said = dict(data.get("words", {}))
        months = tuple(str(each) for each in said.pop("months", ()))
        era = int(said.pop("era", 0))
        made = Catalogue(
            tag=str(data["tag"]),
            name=str(data["name"]),
            complete=bool(data.get("complete", False)),
            words=_texts(said),
            classes=_texts(data.get("classes", {})),
            types={
                name: Advice(
                    one["name"],
                    one["what"],
                    one["why"],
                    _steps(one["do"]),
                    one["confirm"],
                )
                for name, one in data.get("types", {}).items()
            },
            families={
                name: Family(
                    one["name"],
                    frozenset(one.get("reports", ())),
                    _steps(one["do"]),
                    one.get("confirm", ""),
                )
                for name, one in data.get("families", {}).items()
            },
            months=months,
            era=era,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise ConfigError(f"{place} is no catalogue of notices: {fault!r}.") from fault
    strange = [
        *(made.types.keys() - CLASS_OF.keys()),
        *(made.classes.keys() - CLASSES.keys()),
    ]
    if strange:
        raise ConfigError(f"{place} has {strange[0]!r}, which is not in RSIT.")
    return made


def _texts(table: Mapping[str, Any]) -> dict[str, str]:
    for name, value in table.items():
        if not isinstance(value, str):
            raise ValueError(f"{name} is no text")
        for _, place, _, _ in Formatter().parse(value):
            if place is not None and place not in _PLACES:
                raise ValueError(f"{name} has {{{place}}}, which stands for nothing")
    return dict(table)


def _steps(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not value:
        raise ValueError("do is no list of steps")
    return tuple(str(each) for each in value)


def overlaid(below: Catalogue, above: Catalogue) -> Catalogue:
    """Give a catalogue in which what a node wrote stands above what is shipped."""
    return Catalogue(
        tag=below.tag,
        name=above.name,
        complete=below.complete or above.complete,
        words={**below.words, **above.words},
        classes={**below.classes, **above.classes},
        types={**below.types, **above.types},
        families={**below.families, **above.families},
        months=above.months or below.months,
        era=above.era or below.era,
    )


def family_of(report: str, source: Catalogue) -> str:
    """Give the family of a kind of report, empty when it has none.

    `scan6_rdp` is about the same as `scan_rdp`, and `compromised_iot6` as without.
    """
    plain = _family.sub(lambda found: found[1] or "", report.strip().lower())
    event = plain.replace("event_", "event4_", 1) if plain[:6] == "event_" else plain
    return next(
        (
            name
            for name, one in source.families.items()
            if not one.reports.isdisjoint({report, plain, event})
        ),
        "",
    )


# --- the mail ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """What of one type is in a notice. families: of its reports, most rows first."""

    type: str
    rows: int
    places: int
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the text of a notice is written from.

    group: the RSIT class. day: `YYYY-MM-DD`. rows, places: reports and machines in all.
    attached: rows in the file. types: most rows first. examples: some machines, as
    texts that are safe to print. level: the strictest of the rows. days: how long it is
    quiet. late: the number of the notice before, for the same day; 0 for none.
    """

    number: int
    team: str
    party: str
    group: str
    day: str
    rows: int
    places: int
    attached: int
    types: tuple[Group, ...]
    examples: tuple[str, ...]
    level: Tlp
    days: int
    file: str
    late: int = 0
    exercise: bool = False


@dataclass(frozen=True, slots=True)
class Wording:
    """A notice in words. cover: the subject that is seen when the rest is encrypted."""

    subject: str
    cover: str
    text: str
    language: str


def word(facts: Facts, chosen: Catalogue, source: Catalogue) -> Wording:
    """Write a notice in the language of `chosen`, or where it lacks texts, of `source`.

    Args:
        facts: what it tells.
        chosen: the reader's language.
        source: English.
    """
    speech = _Speech(chosen, source)
    values = {
        "team": facts.team,
        "party": facts.party,
        "class": speech.class_name(facts.group),
        "day": speech.date(facts.day),
        "rows": facts.rows,
        "places": facts.places,
        "number": facts.number,
        "tlp": facts.level.label,
    }
    said = [*_opening(facts, speech, values)]
    for one in facts.types:
        said += _section(one, speech)
    said += [speech.say("places") + ":", *(f"  {each}" for each in facts.examples)]
    if facts.places > len(facts.examples):
        said.append("  " + speech.say("more", count=facts.places - len(facts.examples)))
    attached = "attached" if facts.attached == facts.rows else "cut"
    said += [
        "",
        speech.say(attached, file=facts.file, attached=facts.attached, rows=facts.rows),
        speech.say("csv"),
        "",
        speech.say("again", days=facts.days),
        speech.say("mute"),
        speech.say("wrong"),
        speech.say("reply", number=facts.number),
        "",
        speech.say(
            "sharing", tlp=facts.level.label, meaning=speech.say(f"tlp_{facts.level}")
        ),
        "",
        speech.say("signed", team=facts.team),
    ]
    subject, cover = speech.say("subject", **values), speech.say("cover", **values)
    if facts.exercise:
        # In both languages: whoever opens the mail may read only the other one.
        mark = "".join(speech.both("exercise_subject"))
        subject, cover = mark + subject, mark + cover
    text = "\n".join(said) + "\n"
    if speech.fell_back:
        notes = [
            catalogue.words["fallback"].format(language=chosen.name)
            for catalogue in (chosen, source)
            if "fallback" in catalogue.words
        ]
        text = "\n".join([*notes, "", text])
    return Wording(subject, cover, text, speech.language)


def _opening(facts: Facts, speech: _Speech, values: Mapping[str, Any]) -> Iterable[str]:
    # FIRST, TLP 2.0 §3: the label stands before what it is about.
    yield facts.level.label
    yield ""
    if facts.exercise:
        yield from speech.both("exercise")
        yield ""
    yield speech.say("greeting", **values)
    yield ""
    yield speech.say("opening", **values)
    if facts.late:
        yield speech.say("late", number=facts.late)
    yield ""


def _section(group: Group, speech: _Speech) -> Iterable[str]:
    advice = speech.advice(group.type)
    title = speech.say(
        "section", name=advice.name, rows=group.rows, places=group.places
    )
    yield title
    yield "-" * min(len(title), _WIDTH)
    yield f"{speech.say('what')}: {advice.what}"
    yield f"{speech.say('why')}: {advice.why}"
    yield f"{speech.say('do')}:"
    yield from _numbered(advice.do)
    confirms = [advice.confirm]
    for name in group.families:
        family = speech.family(name)
        yield f"{speech.say('family', name=family.name)}:"
        yield from _numbered(family.do)
        if family.confirm:
            confirms.append(family.confirm)
    yield f"{speech.say('confirm')}: {' '.join(confirms)}"
    yield ""


def _numbered(steps: Sequence[str]) -> Iterable[str]:
    return (f"  {place}. {step}" for place, step in enumerate(steps, 1))


class _Speech:
    """Gives texts of one language, and remembers when it had to take another's."""

    def __init__(self, chosen: Catalogue, source: Catalogue) -> None:
        self._chosen = chosen
        self._source = source
        self.fell_back = False

    @property
    def language(self) -> str:
        """Give the language that most of it is in."""
        return self._source.tag if self.fell_back else self._chosen.tag

    def _from(self, table: str, name: str) -> Any:
        held: Mapping[str, Any] = getattr(self._chosen, table)
        if name in held:
            return held[name]
        self.fell_back = True
        return getattr(self._source, table)[name]

    def say(self, key: str, /, **values: Any) -> str:
        return str(self._from("words", key)).format(**values)

    def both(self, key: str) -> tuple[str, ...]:
        """Give a text in the reader's language and in English, once where it is one."""
        return tuple(dict.fromkeys((self.say(key), str(self._source.words[key]))))

    def class_name(self, name: str) -> str:
        return str(self._from("classes", name))

    def advice(self, name: str) -> Advice:
        found: Advice = self._from("types", name)
        return found

    def family(self, name: str) -> Family:
        found: Family = self._from("families", name)
        return found

    def date(self, day: str) -> str:
        year, month, number = (int(part) for part in day.split("-"))
        pattern = self._from("words", "date")
        months = self._chosen.months
        return str(pattern).format(
            year=year,
            era=year + self._chosen.era,
            month=month,
            month_name=months[month - 1] if months else f"{month:02}",
            day=f"{number:02}" if not months else number,
        )
