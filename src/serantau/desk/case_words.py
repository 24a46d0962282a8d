"""What a letter of a case says: how to answer, and what is new in the case.

The frame is in the party's language where the texts of notices have it, and in English
otherwise. What parties wrote stands as they wrote it, each line behind a bar, so that
nobody's words look like ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from serantau.rules.case_entry import Entry, Kind
from serantau.rules.case_mail import plain
from serantau.rules.wording import Catalogue

_SHORT: Final = 8
_ABOUT_YOU: Final = frozenset({Kind.REMINDER.value, Kind.PAGE.value})


@dataclass(frozen=True, slots=True)
class News:
    """What one letter tells.

    team: of this node. party: who it goes to. tag: of the thread. label: TLP, of the
    strictest entry. name: of the case. entries: in their order. names: of parties, by
    identity. first: it is the first letter. key: the fingerprint of our key. exercise:
    the realm, when it is one.
    """

    team: str
    party: str
    tag: str
    label: str
    name: str
    entries: Sequence[Entry]
    names: Mapping[str, str]
    first: bool
    key: str
    exercise: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A letter in words. cover: the subject that is seen when the rest is encrypted."""

    subject: str
    cover: str
    text: str
    language: str


def tell(news: News, chosen: Catalogue, source: Catalogue) -> Told:
    """Write a letter in the language of `chosen`, or in that of `source`."""
    speech = chosen if "case_opening" in chosen.words else source

    def say(key: str, **values: object) -> str:
        return str(speech.words[key]).format(**values)

    lines = [news.label, ""]
    if news.exercise:
        lines += [*dict.fromkeys((say("exercise"), source.words["exercise"])), ""]
    opening = "case_opening" if news.first else "case_more"
    lines.append(say(opening, team=news.team, party=news.party))
    lines += [say("case_how", number=news.tag), "", f"  {_line(news.name)}", ""]
    for entry in news.entries:
        lines += _entry(entry, news, speech)
    lines += [
        "",
        say("case_words"),
        say("case_about"),
        say("case_sign", name=news.key),
        say("case_all"),
        "",
        say("signed", team=news.team),
    ]
    mark = say("exercise_subject") if news.exercise else ""
    return Told(
        subject=f"{mark}[{news.label}] {news.tag} {_line(news.name)}",
        cover=f"{mark}{news.tag}",
        text="\n".join(lines) + "\n",
        language=speech.tag,
    )


def _entry(entry: Entry, news: News, speech: Catalogue) -> Iterator[str]:
    who = news.names.get(entry.voice, entry.voice)
    when = f"{entry.created[:10]} {entry.created[11:16]} UTC"
    if entry.kind in _ABOUT_YOU:
        said = speech.words["case_kind_reminder"].format(name=entry.clock)
    else:
        said = speech.words.get(f"case_kind_{entry.kind.replace('-', '_')}", entry.kind)
    yield f"* {when}, {who} ({_digits(entry.id)}): {said}"
    yield from (f"  | {one}" for one in _details(entry, news))
    yield from (f"  | {one}" for one in plain(entry.description).split("\n") if one)


def _details(entry: Entry, news: News) -> Iterator[str]:
    """Give what an entry says in single values, each on a line."""
    parties = [one for one in (entry.party_ref, *entry.party_refs) if one]
    for name, value in (
        ("", entry.name),
        ("", entry.stance or entry.step or entry.state),
        ("about", _digits(entry.about_ref) if entry.about_ref else ""),
        ("party", ", ".join(news.names.get(one, one) for one in parties)),
        ("severity", entry.severity_level),
        ("class", entry.incident_class),
        ("category", entry.national_class),
        ("due", entry.due),
        ("until", entry.until),
        ("limits", entry.limits),
        ("languages", ", ".join(entry.languages)),
        ("objects", ", ".join(entry.object_refs)),
    ):
        if value:
            yield f"{name}: {_line(value)}" if name else _line(value)


def _digits(entry: str) -> str:
    """Give the beginning of an entry's id, by which an answer names it."""
    return entry.partition("--")[2][:_SHORT]


def _line(text: str) -> str:
    return " ".join(plain(text).split())
