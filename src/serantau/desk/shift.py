"""The hand-over from one shift to the next: what changed, what is due, what waits.

It is for the node's own people, who sign it off, and is in no way that gives to others.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from msgspec.structs import replace

from serantau import typed
from serantau.clock import instant, moment, stix_text, taxii_text
from serantau.desk.case_assist import Asked, Assistance
from serantau.desk.cases import Casework, View
from serantau.desk.checkup import Level, of_node
from serantau.desk.contacts import Contacts, OnCall
from serantau.desk.federate import Federation
from serantau.errors import BadRequest, Conflict, NotFound
from serantau.node import Node
from serantau.records import acts
from serantau.records.database import Tx
from serantau.records.quarantine import Held
from serantau.records.shifts import Handing, Shifts
from serantau.rules.canonical import canonical
from serantau.rules.case_entry import TYPE
from serantau.wire.paper import Block, Heading, Lines, Paper, Plain, Table

HOURS: Final = 12
"""How far a hand-over looks ahead, unless said otherwise."""
LABEL: Final = "Own organisation only"
_HOUR: Final = 3_600_000_000
_DAY: Final = 24 * _HOUR
_MOST_HOURS: Final = 24 * 31
_LISTED: Final = 100
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """What was written into a case, or noted beside it. private: it is only here."""

    at: str
    who: str
    what: str
    said: str
    private: bool = False


@dataclass(frozen=True, slots=True)
class Open:
    """A case that is open, or was closed since. changes: since the last hand-over."""

    case: str
    title: str
    owner: str
    mine: str
    severity: str
    closed: str
    silent: list[str]
    changes: list[Change]


@dataclass(frozen=True, slots=True)
class Coming:
    """What is due soon, or was. ours: of this node. private: it is only here."""

    case: str
    title: str
    party: str
    what: str
    due: str
    late: bool
    ours: bool
    private: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is on call, by which desk's rota, and until when; empty: no end is known."""

    name: str
    desk: str
    phones: list[str]
    until: str


@dataclass(frozen=True, slots=True)
class Shift:
    """All that one shift tells the next.

    since, until: what it is about. ahead: how far it looks, in hours. unanswered: cases
    that this node was invited to and has not acknowledged. held: how much is in
    quarantine, by rule. troubles: what the doctor finds. on_call, next: who has the
    watch, and who has it after.
    """

    since: str
    until: str
    ahead: int
    cases: list[Open]
    due: list[Coming]
    asks: list[Asked]
    unanswered: list[str]
    held: dict[str, int]
    troubles: list[str]
    on_call: list[Watch]
    next: list[Watch]


class Shifting:
    """The shifts of one node."""

    def __init__(self, node: Node) -> None:
        """Hand over what `node` has."""
        self._node = node
        self._work = Casework(node)
        self._shifts = Shifts()

    def look(self, since: int = 0, hours: int = HOURS) -> Shift:
        """Give what is to be handed over now.

        Args:
            since: an instant; 0: the last hand-over, or a day ago if there was none.
            hours: how far to look ahead.

        Raises:
            BadRequest: too far ahead, or since the future.
        """
        if not 0 < hours <= _MOST_HOURS:
            raise BadRequest(f"--hours: expected 1 to {_MOST_HOURS}.")
        node = self._node
        now = node.clock.now()
        with node.db.read() as tx:
            last = self._shifts.last(tx)
            held = Counter(one.rule for one in self._held(tx))
        since = since or (last.at if last else now - _DAY)
        if since > now:
            raise BadRequest("--since lies ahead.")
        with node.db.read() as tx:
            touched = self._shifts.touched(tx, since)
        views = [
            self._work.show(one.id)
            for one in self._work.board(closed=True)
            if not one.closed or one.id in touched
        ]
        due = [each for view in views for each in self._due(view, now, hours)]
        on_call, then = self._watch(now)
        return Shift(
            since=taxii_text(since),
            until=taxii_text(now),
            ahead=hours,
            cases=[self._open(view, since) for view in views],
            due=sorted(due, key=lambda one: (not one.ours, one.due, one.case)),
            asks=Assistance(node).asks(),
            unanswered=[
                view.summary.id for view in views if view.summary.mine == "no-answer"
            ],
            held=dict(sorted(held.items())),
            troubles=[*self._troubles()],
            on_call=on_call,
            next=then,
        )

    def give(
        self, to: str, said: str = "", *, since: int = 0, hours: int = HOURS
    ) -> Handing:
        """Write down that the shift is handed over, with all that is told.

        Raises:
            BadRequest: it is given to nobody, or as `look`.
        """
        if not to.strip():
            raise BadRequest("Say who takes over: --give NAME.")
        found = self.look(since, hours)
        told = asdict(found)
        with self._node.db.write() as tx:
            last = self._shifts.last(tx)
            one = Handing(
                n=last.n + 1 if last else 1,
                at=instant(found.until),
                since=instant(found.since),
                gave=_actor(),
                to=to,
                said=said,
                digest=hashlib.sha256(canonical(told)).hexdigest(),
                told=told,
            )
            self._shifts.put(tx, one)
            after = {"to": to, "digest": one.digest}
            acts.decided(tx, "gave the shift", str(one.n), after=after)
        return one

    def take(self) -> Handing:
        """Sign off the last hand-over: who takes it has read it.

        Raises:
            NotFound: there is none.
            Conflict: it is signed off already.
        """
        with self._node.db.write() as tx:
            last = self._shifts.last(tx)
            if last is None:
                raise NotFound(
                    "Nobody has given a shift yet.",
                    mend="`serantau shift --give NAME`.",
                )
            if last.taken:
                raise Conflict(f"{last.took} has taken hand-over {last.n} already.")
            one = replace(last, taken=tx.clock.now(), took=_actor())
            self._shifts.put(tx, one)
            after = {"digest": one.digest}
            acts.decided(tx, "took the shift", str(one.n), after=after)
        return one

    @staticmethod
    def read(one: Handing) -> Shift:
        """Give what a hand-over told, as it was given."""
        return typed.convert(one.told, Shift)

    def past(self) -> list[Handing]:
        """Give the last hand-overs, the newest first."""
        with self._node.db.read() as tx:
            return self._shifts.list(tx, _LISTED)

    # What it is made of

    def _held(self, tx: Tx) -> Iterator[Held]:
        after = 0
        while page := self._node.quarantine.list(tx, after=after, limit=_PAGE):
            yield from page
            after = page[-1].number

    def _open(self, view: View, since: int) -> Open:
        summary = view.summary
        with self._node.db.read() as tx:
            new = self._shifts.arrived(tx, summary.id, since)
        changes = [
            Change(
                at=entry.created,
                who=view.name(entry.voice),
                what=entry.kind,
                said="; ".join(
                    filter(
                        None,
                        (
                            entry.name,
                            entry.stance or entry.step or entry.state,
                            view.name(entry.party_ref) if entry.party_ref else "",
                            entry.description,
                        ),
                    )
                ),
            )
            for entry in (line.entry for line in view.lines)
            if entry.id in new
        ]
        changes += [
            Change(stix_text(one.at), one.actor, "note", one.text, private=True)
            for one in view.notes
            if one.at > since
        ]
        return Open(
            case=summary.id,
            title=summary.name,
            owner=view.name(summary.owner),
            mine=summary.mine,
            severity=summary.severity,
            closed=stix_text(summary.closed) if summary.closed else "",
            silent=[view.name(one) for one in view.state.silent],
            changes=sorted(changes, key=lambda one: one.at),
        )

    def _due(self, view: View, now: int, hours: int) -> Iterator[Coming]:
        own, end = self._node.config.node.identity, now + hours * _HOUR
        for one in view.clocks.due:
            if one.at <= end:
                yield Coming(
                    case=view.summary.id,
                    title=view.summary.name,
                    party=view.name(one.party),
                    what=": ".join(
                        filter(None, (one.clock.partition(":")[0], one.what))
                    ),
                    due=stix_text(one.at),
                    late=one.at <= now,
                    ours=one.party == own,
                )
        for task in view.tasks:
            if not task.done and task.due and task.due <= end:
                yield Coming(
                    case=view.summary.id,
                    title=view.summary.name,
                    party=view.name(own),
                    what=task.name,
                    due=stix_text(task.due),
                    late=task.due <= now,
                    ours=True,
                    private=True,
                )

    def _troubles(self) -> Iterator[str]:
        """Tell what the doctor finds, and which peers are silent; asks nobody."""
        for finding in of_node(self._node, ask=False):
            if finding.level is not Level.OK:
                yield f"{finding.area}: {finding.said}"
        for peer in Federation(self._node, sleep=lambda _: None).status():
            if peer.fault:
                yield f"peer {peer.peer.name}: {peer.fault}"
            elif peer.peer.enabled and peer.lag is None:
                yield f"peer {peer.peer.name}: nothing was pulled yet"

    def _watch(self, now: int) -> tuple[list[Watch], list[Watch]]:
        """Give who of our own is on call, and who is after the first of them ends."""
        contacts, own = Contacts(self._node), self._node.config.node.member
        here = contacts.on_call(own, now)
        ends = [one.until for one in here if one.until is not None]
        then = contacts.on_call(own, min(ends)) if ends else []
        return [*map(_watched, here)], [*map(_watched, then)]


def _watched(one: OnCall) -> Watch:
    card = one.held.card
    until = "" if one.until is None else stix_text(one.until)
    return Watch(card.name, one.desk, list(card.phones), until)


def _actor() -> str:
    by = acts.who()
    return by.who if by is not None else ""


def paper_of(shift: Shift, signed: Handing | None = None) -> Paper:
    """Write a hand-over for people; `signed`: as it was given."""
    return Paper(
        title=f"Shift hand-over, {_when(shift.until)}",
        label=LABEL,
        blocks=[*_head(shift, signed), *_cases(shift), *_waiting(shift)],
    )


def _head(shift: Shift, signed: Handing | None) -> Iterator[Block]:
    yield Lines(f"Since {_when(shift.since)}. Times are UTC.")
    if signed is not None:
        rows = [("Given by", f"{signed.gave} to {signed.to}, {_at(signed.at)}")]
        taken = f"{signed.took}, {_at(signed.taken)}" if signed.taken else "not yet"
        rows.append(("Taken by", taken))
        rows.append(("SHA-256", Plain(signed.digest)))
        if signed.said:
            rows.append(("Said", signed.said))
        yield Table((), rows, (1, 4))
    watch = [
        (when, one.name, one.desk, ", ".join(one.phones), _when(one.until))
        for when, who in (("now", shift.on_call), ("next", shift.next))
        for one in who
    ]
    yield Heading("On call")
    yield _table(("When", "Who", "By the rota of", "Phone", "Until"), watch)


def _cases(shift: Shift) -> Iterator[Block]:
    yield Heading("Not acknowledged yet")
    titles = {one.case: one.title for one in shift.cases}
    yield _table(
        ("Case", "Title"), [(_brief(one), titles[one]) for one in shift.unanswered]
    )
    yield Heading(f"Overdue, and due in the next {shift.ahead} hours")
    yield _table(
        ("Due", "Whose", "What", "Case", "Title"),
        [
            (
                Plain(f"{_when(one.due)}{' (overdue)' if one.late else ''}"),
                f"{one.party} (us)" if one.ours else one.party,
                f"{one.what} (private)" if one.private else one.what,
                _brief(one.case),
                one.title,
            )
            for one in shift.due
        ],
    )
    yield Heading("Asks that nobody has answered")
    yield _table(
        ("Ask", "By", "Of", "Due", "Case"),
        [
            (
                one.what,
                one.by,
                f"{one.to} (us)" if one.ours else one.to,
                _when(one.due),
                _brief(one.case),
            )
            for one in shift.asks
        ],
    )
    yield Heading("Cases")
    for case in shift.cases:
        about = [case.owner and f"owner {case.owner}", case.severity, case.mine]
        about.append(f"silent: {', '.join(case.silent)}" if case.silent else "")
        about.append(f"closed {_when(case.closed)}" if case.closed else "")
        yield Lines(
            f"{_brief(case.case)} {case.title}: {', '.join(filter(None, about))}"
        )
        if case.changes:
            yield _table(
                ("When", "Who", "What", "Said"),
                [
                    (
                        _when(one.at),
                        one.who,
                        f"{one.what} (private)" if one.private else one.what,
                        one.said,
                    )
                    for one in case.changes
                ],
            )


def _waiting(shift: Shift) -> Iterator[Block]:
    yield Heading("In quarantine")
    yield _table(
        ("Rule", "How many"),
        [(rule, Plain(f"{count:,}")) for rule, count in shift.held.items()],
    )
    yield Heading("What the doctor finds")
    yield Lines("\n".join(shift.troubles) or "Nothing.")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Block:
    return Table(head, rows, (1,) * len(head)) if rows else Lines("Nothing.")


def _when(text: str) -> Plain:
    return Plain(f"{moment(instant(text)):%Y-%m-%d %H:%M}" if text else "")


def _at(at: int) -> Plain:
    return _when(stix_text(at))


def _brief(case: str) -> Plain:
    return Plain(case.removeprefix(f"{TYPE}--")[:8])
