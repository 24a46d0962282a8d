"""What waits for a hand at this node, as rows: cases, approvals, faults, silence.

A part is what somebody with one power sees. A row says what it is (`kind`), never in
words: those are the page's. `look` reads everything in one transaction, and reads few
rows: what is long is counted and cut. What takes longer is remembered:

- the clocks and asks of a case, as long as its line of the board is the same;
- contact cards, their keys and who is on call, until a card is written or proven, and
  for ten minutes at most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography import x509

from serantau.clock import instant
from serantau.desk.case_log import parties_of
from serantau.desk.contacts import Contacts
from serantau.desk.now_rows import (
    Gathered,
    Part,
    Row,
    Section,
    Tone,
    lateness,
    listed,
    row_of,
    section_of,
)
from serantau.node import Node
from serantau.records import waits
from serantau.records.behalf import Taken
from serantau.records.case_rounds import Steps
from serantau.records.cases import Cases, Summary
from serantau.records.database import Tx
from serantau.records.feeds import Feeds
from serantau.records.seen import Seen
from serantau.rules.case import Case
from serantau.rules.case_clock import ACKNOWLEDGE, ASK, Due, clocks, paced
from serantau.rules.case_states import PartyState

SOON: Final = 4 * 3_600_000_000
"""What is due so soon is told before it is late."""
ENDS_SOON: Final = 30 * 86_400_000_000
"""Keys that end so soon are told."""
_MINUTE: Final = 60_000_000
_CARDS: Final = 10 * _MINUTE
_QUICK: Final = 0.1
_RESTS: Final = 100_000_000
_OLD_POLLS: Final = 10
_AT_ONCE: Final = 100
_CASE: Final = "/cases/*"
_GRAVE: Final = frozenset({"emergency", "severe"})


@dataclass(frozen=True, slots=True)
class OnDuty:
    """Who is on call, by which desk's rota, and until when; 0: no end is known."""

    name: str
    desk: str
    until: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """All that waits. board, events: change with any case, and any batch of events.

    unread: cases whose clocks are not worked out yet, just after a start. cases: of
    those that were asked for, how many entries are here and the stamp of the newest.
    """

    at: int
    sections: Mapping[Part, Section]
    on_duty: tuple[OnDuty, ...]
    board: tuple[int, int, int]
    events: int
    unread: int
    cases: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """An open ask of one party."""

    id: str
    what: str
    by: str
    to: str
    due: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What was worked out of a case, as long as its line of the board is the same."""

    summary: Summary
    due: tuple[Due, ...]
    asks: tuple[_Asked, ...]


@dataclass(frozen=True, slots=True)
class _Cards:
    """What cards come to.

    at, stamp, checks: when they were read, and as of what. took: seconds, of reading.
    """

    at: int
    stamp: int
    checks: int
    took: float = 0.0
    stale: tuple[Row, ...] = ()
    keys: tuple[Row, ...] = ()
    on_duty: tuple[OnDuty, ...] = ()


class Now:
    """What waits at one node. Any thread may ask; one at a time looks."""

    def __init__(self, node: Node) -> None:
        """Look at `node`."""
        self._node = node
        self._cases, self._contacts = Cases(), Contacts(node)
        self._terms = paced(node.config.clocks.pace)
        self._known: dict[str, _Known] = {}
        self._cards: _Cards | None = None
        self._lock = threading.Lock()

    def look(self, cases: Iterable[str] = ()) -> Waiting:
        """Give what waits now, and how far some cases are, in one read transaction."""
        with self._lock, self._node.db.together(), self._node.db.read() as tx:
            return self._look(tx, cases)

    def mark(self) -> tuple[int, ...]:
        """Give numbers that change with what comes in, and with what people decide."""
        with self._node.db.read() as tx:
            return waits.mark(tx)

    def _look(self, tx: Tx, cases: Iterable[str]) -> Waiting:
        now = tx.clock.now()
        board = self._cases.board(tx)
        unread = self._work_out(tx, board)
        names = parties_of(self._node, tx)
        cards = self._of_cards(tx, now)
        found = {
            Part.CASES: self._of_cases(tx, board, names, now),
            Part.ASKS: self._asks(board, names, now),
            Part.MAIL: self._mail(tx),
            Part.NOTICES: self._notices(tx),
            Part.QUARANTINE: self._quarantine(tx),
            Part.FEEDS: self._feeds(tx, now),
            Part.PEERS: self._peers(tx, now),
            Part.LOG: self._log(tx),
            Part.SHARE: self._share(tx),
            Part.CONTACTS: listed(cards.stale),
            Part.KEYS: listed(cards.keys),
        }
        return Waiting(
            at=now,
            sections={part: section_of(part, rows) for part, rows in found.items()},
            on_duty=cards.on_duty,
            board=(
                len(board),
                sum(one.entries for one in board),
                max((one.changed for one in board), default=0),
            ),
            events=waits.done(tx),
            unread=unread,
            cases={case: waits.entries(tx, case) for case in cases},
        )

    # Cases

    def _work_out(self, tx: Tx, board: Sequence[Summary]) -> int:
        """Work out clocks and asks of cases that changed; gives how many are left."""
        before = self._known
        held = [(one, before.get(one.id)) for one in board]
        self._known = {
            one.id: known for one, known in held if known and known.summary == one
        }
        stale = [one for one in board if one.id not in self._known]
        for summary in stale[:_AT_ONCE]:
            folded = Case(summary.id, self._cases.entries(tx, summary.id))
            asks = [
                _Asked(
                    entry, ask.name, ask.by, party, instant(ask.due) if ask.due else 0
                )
                for entry, ask in folded.state.asks.items()
                for party, answer in ask.to.items()
                if answer == "open"
            ]
            due = clocks(folded, self._terms).due
            self._known[summary.id] = _Known(summary, due, tuple(asks))
        return max(len(stale) - _AT_ONCE, 0)

    @property
    def _own(self) -> str:
        return self._node.config.node.identity

    def _of_cases(
        self, tx: Tx, board: Sequence[Summary], names: Mapping[str, str], now: int
    ) -> Gathered:
        rows: list[Row] = []
        titles = {one.id: one.name for one in board}
        for summary in board:
            rows += self._invited(summary, names, now)
            known = self._known.get(summary.id)
            for due in known.due if known else ():
                rows += self._due(summary, due, names, now)
        for task in waits.tasks(tx, now + SOON):
            rows.append(
                row_of(
                    *("task", task.case, _CASE, lateness(task.due, now)),
                    since=task.at,
                    due=task.due,
                    mark=str(task.n),
                    values={"case": task.title, "what": task.name},
                )
            )
        for step in Steps().all(tx):
            if step.said and step.case_id in titles:
                rows.append(
                    row_of(
                        *("unpaged", step.case_id, _CASE, Tone.DANGER),
                        since=step.tried,
                        mark=f"{step.party} {step.clock}",
                        values={
                            "case": titles[step.case_id],
                            "party": names.get(step.party, step.party),
                            "said": step.said,
                        },
                    )
                )
        return listed(rows)

    def _invited(
        self, summary: Summary, names: Mapping[str, str], now: int
    ) -> Iterator[Row]:
        case, path = summary.id, _CASE
        owner = names.get(summary.owner, summary.owner)
        values = {"case": summary.name, "party": owner}
        if summary.offered and summary.offered == self._own:
            since = summary.changed
            yield row_of(
                "offered", case, path, Tone.WARNING, since=since, values=values
            )
        if summary.mine == PartyState.NO_ANSWER:
            known = self._known.get(summary.id)
            ours = [
                each
                for each in (known.due if known else ())
                if each.party == self._own and each.clock == ACKNOWLEDGE
            ]
            since, due = (ours[0].since, ours[0].at) if ours else (summary.opened, 0)
            tone = lateness(due, now)
            yield row_of(
                "invited", case, path, tone, since=since, due=due, values=values
            )

    def _due(
        self, summary: Summary, due: Due, names: Mapping[str, str], now: int
    ) -> Iterator[Row]:
        """Tell of a clock: ours when it is soon, others' when it is ours to see to."""
        clock = due.clock.partition(":")[0]
        ours = due.party == self._own
        if clock == ASK or (ours and clock == ACKNOWLEDGE):
            return  # they are told in other rows
        if ours and due.at <= now + SOON:
            kind, tone = "due", lateness(due.at, now)
        elif not ours and due.at <= now and summary.owner == self._own:
            grave = summary.severity in _GRAVE
            kind, tone = "silent", Tone.DANGER if grave else Tone.WARNING
        else:
            return
        yield row_of(
            *(kind, summary.id, _CASE, tone),
            since=due.since,
            due=due.at,
            mark=f"{due.party} {due.clock}",
            values={
                "case": summary.name,
                "party": names.get(due.party, due.party),
                "clock": clock,
                "what": due.what,
            },
        )

    def _asks(
        self, board: Sequence[Summary], names: Mapping[str, str], now: int
    ) -> Gathered:
        rows = []
        for summary in board:
            known = self._known.get(summary.id)
            for ask in known.asks if known else ():
                if ask.to == self._own:
                    kind, other, tone = "asked", ask.by, lateness(ask.due, now)
                elif ask.by == self._own and 0 < ask.due <= now:
                    kind, other, tone = "unanswered", ask.to, Tone.WARNING
                else:
                    continue
                rows.append(
                    row_of(
                        *(kind, summary.id, _CASE, tone),
                        due=ask.due,
                        mark=f"{ask.id} {ask.to}",
                        values={
                            "case": summary.name,
                            "what": ask.what,
                            "party": names.get(other, other),
                        },
                    )
                )
        return listed(rows)

    @staticmethod
    def _mail(tx: Tx) -> Gathered:
        found = Gathered()
        for kind, tone, (many, rows) in (
            ("letter", Tone.DANGER, waits.letters(tx)),
            ("answer", Tone.WARNING, waits.answers(tx)),
        ):
            made = [
                row_of(
                    *(kind, one.case, _CASE, tone),
                    since=one.at,
                    mark=str(one.n),
                    values={"party": one.party, "said": one.said},
                )
                for one in rows
            ]
            found.add(many, made)
        return found

    # Events

    @staticmethod
    def _notices(tx: Tx) -> Gathered:
        found = Gathered()
        for kind, tone, (many, rows) in (
            ("failed-notice", Tone.DANGER, waits.notices(tx, "failed")),
            ("unsure-notice", Tone.DANGER, waits.unsure(tx)),
            ("approve", Tone.WARNING, waits.notices(tx, "waiting")),
        ):
            made = [
                row_of(
                    *(kind, str(one.n), "/events/notices/*", tone),
                    since=one.at,
                    values={
                        "party": one.party,
                        "class": one.group,
                        "day": one.day,
                        "said": one.fault,
                    },
                )
                for one in rows
            ]
            found.add(many, made)
        return found

    @staticmethod
    def _quarantine(tx: Tx) -> Gathered:
        return listed(
            row_of(
                *("refused", one.rule, "/quarantine", Tone.WARNING),
                since=one.newest,
                values={
                    "rule": one.rule,
                    "source": one.source,
                    "many": f"{one.many:,}{'+' if one.many >= waits.MOST else ''}",
                },
            )
            for one in waits.refused(tx)
        )

    def _feeds(self, tx: Tx, now: int) -> Gathered:
        found, config = Gathered(), self._node.config
        rows = []
        for look in Feeds().all(tx):
            section = config.feeds.get(look.name)
            if look.fault and section is not None and (section.url or section.mailbox):
                said = {"feed": look.name, "said": look.fault}
                rows.append(_feed("feed-fails", look.fetched, Tone.DANGER, said))
        for name, section in config.feeds.items():
            last = waits.newest(tx, name) if section.fresh_hours else now
            if now - last > section.fresh_hours * 60 * _MINUTE:
                rows.append(_feed("feed-silent", last, Tone.DANGER, {"feed": name}))
        for name, first in waits.behind(tx).items():
            if now - first > config.lane.lag_minutes * _MINUTE:
                rows.append(_feed("feed-behind", first, Tone.WARNING, {"feed": name}))
        found.add(len(rows), rows)
        for kind, state, tone in (
            ("batch-held", "held", Tone.WARNING),
            ("batch-failed", "failed", Tone.DANGER),
        ):
            many, batches = waits.batches(tx, state)
            made = [
                row_of(
                    *(kind, str(one.n), "/events/batches/*", tone),
                    since=one.at,
                    values={
                        "feed": one.feed,
                        "batch": str(one.n),
                        "said": one.fault,
                    },
                )
                for one in batches
            ]
            found.add(many, made)
        return found

    # Peers, and what left

    def _peers(self, tx: Tx, now: int) -> Gathered:
        patience = int(_OLD_POLLS * self._node.config.federation.poll_seconds * 1e6)
        rows = []
        for one in waits.peers(tx):
            values, path = {"peer": one.name, "said": one.fault}, "/peers/*"
            if one.fault:
                kind, tone = "peer-fault", Tone.DANGER
            elif now - (one.at or one.created) > patience:
                kind, tone = "peer-silent", Tone.WARNING
            else:
                continue
            rows.append(row_of(kind, one.name, path, tone, since=one.at, values=values))
        return listed(rows)

    @staticmethod
    def _log(tx: Tx) -> Gathered:
        return listed(
            row_of(
                *("alarm", one.node, "/share/log", Tone.DANGER),
                since=one.at,
                mark=str(one.number),
                values={"node": one.node, "said": one.said},
            )
            for one in Seen().alarms(tx)
        )

    @staticmethod
    def _share(tx: Tx) -> Gathered:
        found = Gathered()
        many, silent = waits.unanswered(tx)
        # They are counted by party, and shown by recall.
        many -= sum(one.many for one in silent) - len(silent)
        for kind, total, rows in (
            ("recall-silent", many, silent),
            ("recall-doubted", *waits.doubted(tx)),
        ):
            made = [
                row_of(
                    *(kind, one.object, "/share/recalls/*", Tone.WARNING),
                    since=one.at,
                    mark=str(one.n),
                    values={
                        "object": one.object,
                        "many": str(one.many),
                        "said": one.fault,
                    },
                )
                for one in rows
            ]
            found.add(total, made)
        came = Taken().waiting(tx)
        if came:
            values = {"many": str(came)}
            row = row_of(
                "behalf", "behalf", "/share/behalf", Tone.WARNING, values=values
            )
            found.add(1, [row])
        return found

    # Contacts and keys

    def _of_cards(self, tx: Tx, now: int) -> _Cards:
        held, stamp, checks = self._cards, waits.stamp(tx), waits.checked(tx)
        if held is not None and held.at <= now < held.at + _CARDS:
            # Where reading them is slow, it is not done for each object that comes.
            rests = held.took > _QUICK and now < held.at + held.took * _RESTS
            same = held.checks == checks and not waits.written(
                tx, "identity", held.stamp
            )
            over = any(0 < one.until <= now for one in held.on_duty)
            if rests or (same and not over):
                return held
        began = time.monotonic()
        found = self._read_cards(_Cards(now, stamp, checks), tx)
        self._cards = replace(found, took=time.monotonic() - began)
        return self._cards

    def _read_cards(self, blank: _Cards, tx: Tx) -> _Cards:
        node, now = self._node, blank.at
        days = node.config.contacts.stale_days
        stale, keys = [], self._ending(now)
        for held in self._contacts.all():
            if not held.believed:
                continue
            card, path = held.card, "/contacts/card/*"
            values = {"card": card.name, "party": card.party}
            if held.stale(now, days):
                since = held.verified
                stale.append(
                    row_of(
                        "stale", card.id, path, Tone.WARNING, since=since, values=values
                    )
                )
            keys += [
                row_of(
                    *("key", card.id, path, lateness(key.expires, now)),
                    due=key.expires,
                    mark=key.fingerprint,
                    values=values,
                )
                for key in card.keys
                if key.expires is not None and key.expires < now + ENDS_SOON
            ]
        member = node.config.node.member
        turns = []
        if member in node.registry.parties(tx):
            turns = self._contacts.on_call(member, now)
        on_duty = tuple(
            OnDuty(one.held.card.name, one.desk, one.until or 0) for one in turns
        )
        return replace(blank, stale=tuple(stale), keys=tuple(keys), on_duty=on_duty)

    def _ending(self, now: int) -> list[Row]:
        """Tell of the server's own certificate, when it ends soon."""
        path = self._node.config.http.certificate
        if not path:
            return []
        try:
            held = x509.load_pem_x509_certificates(Path(path).read_bytes())[0]
        except (OSError, ValueError):
            return []  # the doctor and the server's start tell of that
        ends = instant(held.not_valid_after_utc.isoformat())
        if ends >= now + ENDS_SOON:
            return []
        tone, values = lateness(ends, now), {"file": path}
        return [row_of("certificate", "https", "", tone, due=ends, values=values)]


def _feed(kind: str, since: int, tone: Tone, values: Mapping[str, str]) -> Row:
    return row_of(kind, values["feed"], "/feeds", tone, since=since, values=values)
