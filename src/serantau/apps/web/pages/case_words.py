"""What states, kinds and clocks of cases are called on pages, and entries in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from serantau.apps.web.pages.place import N_
from serantau.clock import instant
from serantau.rules.case import Line
from serantau.rules.case_entry import Entry
from serantau.rules.case_steps import State

Words = Callable[[str], str]
_SHORT: Final = 8

STATES: Final[Mapping[str, str]] = {
    "no-answer": N_("no answer yet"),
    "received": N_("received"),
    "invalid": N_("not valid"),
    "valid": N_("valid"),
    "accepted": N_("works on it"),
    "deferred": N_("put off"),
    "closed": N_("done with it"),
    "open": N_("open"),
    "doing": N_("begun"),
    "done": N_("done"),
    "dropped": N_("dropped"),
    "declined": N_("declined"),
    "referred": N_("referred to another"),
    "none": N_("none"),
    "proposed": N_("proposed"),
    "active": N_("holds"),
    "revise": N_("holds; another end is proposed"),
    "exited": N_("ended"),
    "propose": N_("proposed"),
    "accept": N_("agreed"),
    "reject": N_("refused"),
    "exit": N_("ended"),
    "": N_("not in it"),
}
"""States of parties, embargoes, tasks and asks, and steps of embargoes."""

TONES: Final[Mapping[str, str]] = {
    "no-answer": "danger",
    "received": "warning",
    "valid": "warning",
    "accepted": "info",
    "deferred": "quiet",
    "invalid": "quiet",
    "closed": "good",
    "open": "warning",
    "doing": "info",
    "done": "good",
    "declined": "danger",
    "active": "warning",
    "proposed": "warning",
    "revise": "warning",
}
SEVERITIES: Final[Mapping[str, str]] = {
    "emergency": N_("emergency"),
    "severe": N_("severe"),
    "high": N_("high"),
    "medium": N_("medium"),
    "low": N_("low"),
    "baseline": N_("baseline"),
    "": N_("not judged yet"),
}
SEVERITY_TONES: Final[Mapping[str, str]] = {
    "emergency": "danger",
    "severe": "danger",
    "high": "warning",
    "medium": "info",
}
KINDS: Final[Mapping[str, str]] = {
    "opened": N_("Opened the case"),
    "invited": N_("Invited a party"),
    "acknowledged": N_("Received it"),
    "owner": N_("Took the case over"),
    "handed-over": N_("Offered the case"),
    "task": N_("Task"),
    "assessment": N_("Assessment"),
    "evidence": N_("Evidence"),
    "embargo": N_("Embargo"),
    "assistance-asked": N_("Asked for help"),
    "assistance-accepted": N_("Helps"),
    "assistance-declined": N_("Declined to help"),
    "assistance-referred": N_("Referred the ask"),
    "closed": N_("Closed the case"),
    "reopened": N_("Opened it again"),
    "correction": N_("Correction"),
    "reminder": N_("Reminder"),
    "page": N_("Page"),
}
KIND_TONES: Final[Mapping[str, str]] = {
    "closed": "good",
    "assistance-accepted": "good",
    "assistance-declined": "danger",
    "reminder": "warning",
    "page": "danger",
}
CLOCKS: Final[Mapping[str, str]] = {
    "acknowledge": N_("say that it has it"),
    "assess": N_("say what it makes of it"),
    "update": N_("say how it goes"),
    "ask": N_("answer the ask"),
    "task": N_("do the task"),
}
FLAGS: Final[Mapping[str, str]] = {
    "fork": N_("Its author wrote another entry in the same place of its own chain."),
    "backdated": N_("Its time is more than five minutes before what it follows."),
    "not-own-chain": N_("It goes on from another party's entry as if from its own."),
    "not-in-case": N_("Its author, or whom it names, was not invited before."),
    "flood": N_("Its author has written very many entries before it."),
    "answers-for-another": N_(
        "It speaks for a party that its author may not speak for."
    ),
    "not-owner": N_("Only the owner of the case may say that."),
    "not-offered": N_("The case was not handed over to its author."),
    "not-a-step": N_("The state that it is about has no such step."),
    "not-its-own": N_("It is about something that is not its author's."),
    "nothing-there": N_("What it is about is no task, ask or entry of that kind."),
    "unknown-kind": N_("This program does not know its kind: a newer one may."),
}
WHY: Final[Mapping[str, str]] = {
    "victim": N_("The case reports it as hit."),
    "prefix": N_("An address is in its ranges."),
    "domain": N_("A name is its own, or below it."),
    "asn": N_("An address is in its network."),
    "events": N_("Events here are of its machines."),
    "named": N_("An object names it."),
    "cctld": N_("A name is below its country's."),
    "country": N_("An address is in its country."),
    "located": N_("An object is about its country."),
    "sector": N_("It lists the sector as critical."),
    "source": N_("An object came from it."),
    "got": N_("It got an object from here."),
}
"""Why a party must know of a case."""
SIGNATURES: Final[Mapping[str, str]] = {
    "good": N_("by mail, signature good"),
    "bad": N_("by mail, signature bad"),
    "none": N_("by mail, not signed"),
}
STANDINGS: Final[Mapping[str, str]] = {
    "unsigned": N_("It is not signed."),
    "unknown_key": N_("Nobody has pinned the key that signed it."),
}


def brief(entry: str) -> str:
    """Give the beginning of an entry's id, by which people name it."""
    return entry.partition("--")[2][:_SHORT]


@dataclass(frozen=True, slots=True)
class Said:
    """An entry, in words.

    id: of it. at: when, as an instant. who: says it. kind, tone: what it says. name,
    text: as they are to be read now. facts: (what, value) each; parties: whom it names.
    objects: ids that it brings. about: the entry that it is about, "" for none; by: the
    entry that corrected it; was: what stood there
    before. mail: how it came, when by mail. flags: what is wrong. waits: for an entry
    that is not here.
    """

    id: str
    at: int
    who: str
    author: str
    kind: str
    tone: str
    name: str
    text: str
    facts: Sequence[tuple[str, str]]
    parties: Sequence[str]
    objects: Sequence[str]
    about: str
    by: str
    was: str
    mail: str
    flags: Sequence[str]
    waits: bool

    @property
    def brief(self) -> str:
        """Give how its id begins."""
        return brief(self.id)


def say(
    line: Line,
    state: State,
    name: Callable[[str], str],
    _: Words,
    *,
    waits: bool = False,
) -> Said:
    """Say an entry.

    Args:
        line: the entry, in its place.
        state: what all of them come to.
        name: gives what a party is called, by its identity.
        _: says a text in the reader's language.
        waits: it waits for an entry that is not here.
    """
    entry = line.entry
    read = state.corrections.get(entry.id, {})
    title, text = (
        read.get("name", entry.name),
        read.get("description", entry.description),
    )
    changed = [
        was
        for was, now in ((entry.name, title), (entry.description, text))
        if was and was != now
    ]
    kind = KINDS.get(entry.kind)
    flags = [str(flag) for flag in line.flags]
    return Said(
        id=entry.id,
        at=instant(entry.created),
        who=name(entry.voice),
        author=name(entry.created_by_ref) if entry.for_ref else "",
        kind=_(kind) if kind else entry.kind,
        tone="warning" if flags else KIND_TONES.get(entry.kind, ""),
        name=title,
        text=text,
        facts=list(_facts(entry, _)),
        parties=[name(one) for one in (entry.party_ref, *entry.party_refs) if one],
        objects=entry.object_refs,
        about=entry.about_ref,
        by=read.get("by", ""),
        was="\n".join(changed),
        mail=_(SIGNATURES[entry.mail_signature or "none"]) if entry.for_ref else "",
        flags=[_(FLAGS[flag]) if flag in FLAGS else flag for flag in flags],
        waits=waits,
    )


def _facts(entry: Entry, _: Words) -> Iterator[tuple[str, str]]:
    said = entry.stance or entry.step or entry.state
    if said:
        yield _("State"), word(STATES, said, _)
    if entry.severity_level:
        yield _("Severity"), word(SEVERITIES, entry.severity_level, _)
    if entry.incident_class:
        yield _("Class (RSIT)"), entry.incident_class
    if entry.national_class:
        yield _("National category"), entry.national_class
    if entry.due:
        yield _("Due"), _time(entry.due)
    if entry.until:
        yield _("Until"), _time(entry.until)
    if entry.limits:
        yield _("Legal limits"), entry.limits
    if entry.languages:
        yield _("Languages"), ", ".join(entry.languages)
    if entry.clock:
        yield _("Clock"), word(CLOCKS, entry.clock.partition(":")[0], _)
    if entry.channel:
        yield _("Paged"), entry.channel


def word(words: Mapping[str, str], said: str, _: Words) -> str:
    """Give the word for what an entry says; what has none stands as it is."""
    found = words.get(said)
    return said if found is None else _(found)


def _time(text: str) -> str:
    return f"{text[:10]} {text[11:16]} UTC"
