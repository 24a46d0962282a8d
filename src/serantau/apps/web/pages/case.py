"""One case, as this node's own people see it: the shared log, and what stays here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from litestar import Response

from serantau.apps.web.hall import Asking
from serantau.apps.web.pages.asked import named, numbered
from serantau.apps.web.pages.case_entries import acts_of
from serantau.apps.web.pages.case_picture import picture
from serantau.apps.web.pages.case_words import (
    CLOCKS,
    KINDS,
    SEVERITIES,
    SEVERITY_TONES,
    STANDINGS,
    STATES,
    TONES,
    WHY,
    Said,
    Words,
    say,
    word,
)
from serantau.apps.web.pages.door import (
    HEADERS,
    as_file,
    doing,
    gone_to,
    node_of,
    page,
    shown,
    signed_of,
    words_of,
)
from serantau.apps.web.pages.form import Form
from serantau.apps.web.pages.live import seen_by
from serantau.apps.web.pages.slow import begun
from serantau.apps.web.pages.view import local_text, zone_of
from serantau.clock import instant
from serantau.desk.audit import note_reading
from serantau.desk.case_mail import CaseMail
from serantau.desk.case_private import Private
from serantau.desk.case_reach import Evidence, Reach, Receiver
from serantau.desk.case_replies import CaseReplies
from serantau.desk.case_verify import verify
from serantau.desk.case_who import WhoMustKnow
from serantau.desk.case_who import who as propose
from serantau.desk.cases import Casework, View
from serantau.errors import BadRequest, NotFound
from serantau.node import Node
from serantau.records.case_mail import Mail, Post, Thread
from serantau.rules.case import Line
from serantau.rules.case_clock import Due
from serantau.rules.role import Power

LOG: Final = 50
_MOST_EVIDENCE: Final = 100
_MOST_REASONS: Final = 4
_MINUTE: Final = 60_000_000
_DAY: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Late:
    """Something that is due.

    left: in words. late: it has run out. there: as the
    party's clock shows it. how: what came of the steps that were taken.
    """

    party: str
    clock: str
    what: str
    at: int
    late: bool
    left: str
    there: str
    steps: int
    how: str


@dataclass(frozen=True, slots=True)
class Log:
    """Some entries, the newest first.

    older: a cursor, "" for none. first: it begins with the newest of all.
    """

    said: list[Said]
    older: str
    first: bool
    all: int


@dataclass(frozen=True, slots=True)
class AtHome:
    """What only people see who may see objects, too.

    evidence: named objects, as they are here. receivers: who has the log. threads,
    letters, mails: of parties that take part by mail.
    """

    evidence: list[Evidence]
    receivers: list[Receiver]
    threads: list[Thread]
    letters: list[Post]
    mails: list[Mail]


def case_name(request: Asking) -> str:
    """Give the case that the path names, as a person's words for it."""
    return named(request, "case")[:100]


def path_of(case: str, rest: str = "") -> str:
    """Give the address of a case's page."""
    return f"/cases/{case}{rest}"


def found(work: Callable[[], Any]) -> Any:
    """Do something about a case: what is no name of one names none."""
    try:
        return work()
    except BadRequest as fault:
        if "how a case's id begins" in fault.message:
            raise NotFound("There is no such case.") from fault
        raise


# The page


@page("/cases/{case:str}", Power.CASES)
async def case(request: Asking) -> Response[bytes]:
    """Show a case."""
    view = await viewed(request)
    if case_name(request) != view.summary.id:
        return gone_to(request, path_of(view.summary.id))
    return await show_case(request, view)


async def viewed(request: Asking) -> View:
    """Look at the case that the path names; the audit knows it before it is shown."""
    node, name = node_of(request), case_name(request)

    def work() -> View:
        view: View = found(partial(Casework(node).show, name))
        ids = [line.entry.id for line in view.lines]
        note_reading(node, "case show", view.summary.id, count=len(ids), objects=ids)
        return view

    return await doing(request, work)


async def show_case(
    request: Asking, view: View, *, form: Form | None = None, status: int = 200
) -> Response[bytes]:
    """Show a case, with a form of the private room as it was sent."""
    since = seen_by(request)
    node, signed, _ = node_of(request), signed_of(request), words_of(request)
    home = None
    if signed.may(Power.SEE):
        home = await doing(request, partial(_at_home, node, view))
    values = live_values(request, view)
    acts: list[tuple[str, str]] = []
    if signed.may(Power.WORK):
        acts = await doing(request, partial(acts_of, node, view, _))
    graph = picture(
        view.lines,
        view.clocks,
        list(view.state.parts),
        view.name,
        lambda kind: word(KINDS, kind, _),
        lambda clock: word(CLOCKS, clock, _),
        view.now,
    )
    return await shown(
        request,
        "case.html",
        status=status,
        form=form or Form(),
        home=home,
        picture=graph,
        judged=_judged(view),
        acts=acts,
        since=since,
        **values,
    )


def live_values(request: Asking, view: View) -> dict[str, Any]:
    """Give what the part of the page that renews itself is made of."""
    _, signed = words_of(request), signed_of(request)
    node = node_of(request)
    own = node.config.node.identity
    log = log_of(
        view.lines,
        request.query_params.get("before", ""),
        lambda line: say(line, view.state, view.name, _),
    )
    waits = set(view.waiting)
    return {
        "view": view,
        "case": view.summary,
        "state": view.state,
        "name": view.name,
        "own": own,
        "at": lambda said: instant(said) if said else 0,
        "log": log,
        "due": [_late(view, each, _) for each in view.clocks.due],
        "waiting": sorted(waits),
        "doubts": [
            (row, word(STANDINGS, row.standing, _) or row.standing)
            for row in view.doubts
        ],
        "asked_of_us": [
            (one, ask)
            for one, ask in view.state.asks.items()
            if ask.to.get(own) == "open"
        ],
        "words": words_for(_),
        "works": signed.may(Power.WORK),
    }


def words_for(_: Words) -> Mapping[str, Any]:
    """Give what templates say of states: (word, tone) by state, and severities."""
    return {
        "state": {
            key: (_(text), TONES.get(key, "quiet")) for key, text in STATES.items()
        },
        "severity": {
            key: (_(text), SEVERITY_TONES.get(key, "quiet"))
            for key, text in SEVERITIES.items()
        },
        "clock": {key: _(text) for key, text in CLOCKS.items()},
    }


def log_of(
    lines: Sequence[Line], before: str, said: Callable[[Line], Said], most: int = LOG
) -> Log:
    """Give the entries before one, the newest first; without one the newest."""
    ends = len(lines)
    if before:
        places = {line.entry.id: place for place, line in enumerate(lines)}
        ends = places.get(before, ends)
    begins = max(ends - most, 0)
    return Log(
        [said(line) for line in reversed(lines[begins:ends])],
        lines[begins].entry.id if begins else "",
        ends == len(lines),
        len(lines),
    )


def _late(view: View, each: Due, _: Words) -> Late:
    row = next(
        (
            row
            for row in view.steps
            if (row.party, row.clock, row.since) == (each.party, each.clock, each.since)
        ),
        None,
    )
    taken = view.clocks.taken.get((each.party, each.clock))
    how = ""
    if row is not None:
        how = row.said or ("" if row.state == "taken" else _("A page is under way."))
    zone = view.zones.get(each.party, "")
    return Late(
        party=view.name(each.party),
        clock=word(CLOCKS, each.clock.partition(":")[0], _),
        what=each.what,
        at=each.at,
        late=each.at <= view.now,
        left=left(each.at - view.now, _),
        there=local_text(each.at, zone_of(zone), "gregorian") if zone else "",
        steps=taken.count if taken else 0,
        how=how,
    )


def left(micros: int, _: Words) -> str:
    """Say how long something is away, or over."""
    minutes = abs(micros) // _MINUTE
    days, hours = minutes // _DAY, minutes // 60
    if days >= 2:
        said = (
            _("overdue by {days} d {hours} h")
            if micros < 0
            else _("{days} d {hours} h left")
        )
        return said.format(days=days, hours=hours % 24)
    said = (
        _("overdue by {hours} h {minutes} min")
        if micros < 0
        else _("{hours} h {minutes} min left")
    )
    return said.format(hours=hours, minutes=minutes % 60)


def _judged(view: View) -> list[tuple[str, str, int, str]]:
    """Give who found the case how grave: party, severity, when, in its words."""
    parts = {
        line.entry.voice: (
            line.entry.severity_level,
            instant(line.entry.created),
            view.state.corrections.get(line.entry.id, {}).get(
                "description", line.entry.description
            ),
        )
        for line in view.lines
        if line.entry.severity_level and not line.flags
    }
    return [(view.name(party), *said) for party, said in parts.items()]


def _at_home(node: Node, view: View) -> AtHome:
    reach, case = Reach(node), view.summary.id
    threads = CaseMail(node).threads(case)
    numbers = {thread.n for thread in threads}
    mails: list[Mail] = []
    letters: list[Post] = []
    if numbers:
        mails = [one for one, of in CaseReplies(node).held() if of.n in numbers]
        letters = [one for one, of in CaseMail(node).letters() if of.n in numbers]
    named = list(view.state.evidence)[-_MOST_EVIDENCE:]
    evidence = reach.evidence(named)
    if named:
        note_reading(node, "case evidence", case, count=len(named), objects=named)
    return AtHome(evidence, reach.of(case), threads, letters, mails)


@page("/cases/{case:str}/live", Power.CASES)
async def live(request: Asking) -> Response[bytes]:
    """Give anew what changes while others write; nothing when nothing did."""
    node, name = node_of(request), case_name(request)
    seen = request.query_params.get("seen", "")
    summary = await doing(request, lambda: found(partial(Reach(node).look, name)))
    if seen == str(summary.entries):
        return Response(b"", status_code=204, headers=dict(HEADERS))
    view = await viewed(request)
    return await shown(request, "case-live.html", **live_values(request, view))


# Who should know


@page("/cases/{case:str}/who", Power.SEE)
async def who(request: Asking) -> Response[bytes]:
    """Propose who must know of a case."""
    node, name, _ = node_of(request), case_name(request), words_of(request)
    events = request.query_params.get("events") == "1"

    def work() -> WhoMustKnow:
        told: WhoMustKnow = found(partial(propose, node, name, events=events))
        note_reading(
            node, "case who", told.summary.id, count=len(told.read), objects=told.read
        )
        return told

    told = await begun(request, f"who of {quote(name)} {events}", work)
    return await shown(
        request,
        "case-who.html",
        told=told,
        name=name,
        events=events,
        reasons=WHY,
        most=_MOST_REASONS,
        invites=signed_of(request).may(Power.WORK),
    )


@page("/cases/{case:str}/verify", Power.SEE)
async def verified(request: Asking) -> Response[bytes]:
    """Compare a case with every party in it that this node pulls from."""
    node, name = node_of(request), case_name(request)
    told = await begun(
        request, f"verify {quote(name)}", lambda: found(partial(verify, node, name))
    )
    return await shown(request, "case-verify.html", told=told, name=name)


# Files that stay here


@page("/cases/{case:str}/private/{number:int}", Power.SEE)
async def private_file(request: Asking) -> Response[bytes]:
    """Give a private file; browsers store it and never show it."""
    node, name = node_of(request), case_name(request)
    number = numbered(request, "number")

    def work() -> tuple[str, bytes]:
        held: tuple[str, bytes] = found(partial(Private(node).file, name, number))
        note_reading(node, "case note", f"{name}, private file {number}", count=1)
        return held

    title, body = await doing(request, work)
    return as_file(body, title, "application/octet-stream")


HANDLERS = (case, live, who, verified, private_file)
