"""Who must know of a case, by what this node holds. A person decides; nobody is told.

Addresses and names of the evidence are given their owners by the kernel that judges
events, so both say the same of the same address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from serantau.clock import moment
from serantau.desk.case_log import parties_of
from serantau.desk.lane_ask import archive_of
from serantau.desk.lane_reference import Referring
from serantau.desk.share import Share
from serantau.lane import kernel
from serantau.lane.frame import EVENTS
from serantau.lane.question import Asking, Question
from serantau.node import Node
from serantau.records.cases import Cases, Summary
from serantau.records.database import Tx
from serantau.records.search import Found
from serantau.rules.case import Case
from serantau.rules.case_entry import TYPE
from serantau.rules.party import Kind, Party
from serantau.rules.refusal import Refused
from serantau.rules.stix import ObjectVersion
from serantau.rules.text import find_values
from serantau.rules.who import Fact, Proposal, Reason, facts_in, in_sector, propose

EVENT_DAYS: Final = 30
_DAY: Final = 86_400_000_000
_MOST: Final = 2_000
_MOST_NEXT: Final = 200
_PEER: Final = "peer:"
_STATES: Final = frozenset({Kind.OWN, Kind.MEMBER, Kind.COORDINATOR, Kind.PARTNER})
# By its own case and by what that became, every party would be named.
_OURS: Final = frozenset({TYPE, "incident", "marking-definition"})
_COLUMNS: Final = {
    "ipv4-addr": "source_address",
    "ipv6-addr": "source_address",
    "domain-name": "source_domain",
    "autonomous-system": "source_asn",
}

Value = tuple[str, str]
"""A column of events, and what an object has for it."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A party that is proposed.

    known: it is a party here. named: its identity is known, so it can be invited. sees:
    of how many objects of the evidence it may have all. withheld: the others, with the
    verdict.
    """

    proposal: Proposal
    known: bool
    named: bool
    sees: int
    withheld: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WhoMustKnow:
    """What is proposed for a case. evidence: how many objects that is; gone: not here.

    read: the ids of all objects that were looked at.
    """

    summary: Summary
    suggestions: tuple[Suggestion, ...]
    evidence: int
    gone: tuple[str, ...]
    read: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pasted:
    """What somebody pasted, and who is proposed for it.

    objects: ids that are here; gone: ids that are not. values: (kind, value) of the
    addresses, names and so on that were found. read: ids of all that was looked at.
    """

    objects: tuple[str, ...]
    gone: tuple[str, ...]
    values: tuple[tuple[str, str], ...]
    suggestions: tuple[Suggestion, ...]
    read: tuple[str, ...]


def who(node: Node, name: str, *, events: bool = True) -> WhoMustKnow:
    """Propose who should be in a case.

    Args:
        node: an open node.
        name: of the case.
        events: whether the archive is asked whose machines speak with its addresses.

    Raises:
        NotFound: no such case.
        StoreError: the archive cannot be read.
    """
    cases = Cases()
    with node.db.read() as tx:
        summary = cases.find(tx, name)
        state = Case(summary.id, cases.entries(tx, summary.id)).state
        held, gone = _evidence(node, tx, list(state.evidence))
    suggestions, read = _proposed(node, held, state.parts, events=events)
    return WhoMustKnow(summary, suggestions, len(held), tuple(gone), tuple(read))


def pasted(node: Node, text: str) -> Pasted:
    """Propose who should be in a case that is about what somebody pasted."""
    ids = [one for one in dict.fromkeys(text.replace(",", " ").split()) if "--" in one]
    with node.db.read() as tx:
        held, gone = _evidence(node, tx, ids[:_MOST_NEXT])
    values = find_values(text)[:_MOST_NEXT]
    suggestions, read = _proposed(node, held, (), more=values, events=False)
    return Pasted(
        tuple(one.id for one in held), tuple(gone), tuple(values), suggestions, read
    )


def _proposed(
    node: Node,
    held: Sequence[Found],
    inside: Collection[str],
    *,
    more: Sequence[tuple[str, str]] = (),
    events: bool,
) -> tuple[tuple[Suggestion, ...], tuple[str, ...]]:
    """Propose parties for some evidence; gives the ids of all that was looked at, too.

    inside: identities of those that are in the case. more: values beside the objects.
    """
    share = Share(node)
    with node.db.read() as tx:
        around = _around(node, tx, held)
        identities = parties_of(node, tx)
        parties = node.registry.parties(tx)
    read = {one.id: _read(node, one) for one in (*held, *around)}
    objects = [one for one in read.values() if one is not None]
    states = {each for each, (_, one) in parties.items() if one.kind in _STATES}
    states |= {one.code for one in node.profile.members}
    own = node.config.node.member
    facts: list[Fact] = []
    for one in objects:
        facts += facts_in(one.data, one.edges, identities, states)
    facts += in_sector(_sectors(objects), _listed(node))
    for found in held:
        if found.source.startswith(_PEER):
            facts.append(
                Fact(found.source.removeprefix(_PEER), Reason.SOURCE, found.id)
            )
        facts += [Fact(one.party, Reason.GOT, found.id) for one in share.who_got(found)]
    told = [*(value for one in objects for value in one.values), *more]
    values = list(dict.fromkeys(_values(told)))
    facts += _owned(node, values)
    if events:
        facts += _of_events(node, values)
    facts = [fact for one in facts if (fact := _of_state(one, parties, own))]
    names = {identities.get(one, "") for one in inside}
    with node.db.read() as tx:
        suggestions = tuple(
            _suggested(node, tx, one, held, parties, set(identities.values()))
            for one in propose(facts, names, own)
        )
    return suggestions, tuple(read)


# Objects


def _evidence(node: Node, tx: Tx, ids: Sequence[str]) -> tuple[list[Found], list[str]]:
    held, gone = [], []
    for one in ids:
        versions = node.search.versions(tx, one)
        if versions:
            held.append(versions[-1])
        else:
            gone.append(one)
    return held, gone


def _around(node: Node, tx: Tx, held: Sequence[Found]) -> list[Found]:
    """Give what refers to the evidence, and what both refer to."""
    seen = {one.id for one in held}
    found: list[Found] = []

    def look(object_id: str) -> Found | None:
        if object_id in seen or len(seen) >= _MOST:
            return None
        if object_id.partition("--")[0] in _OURS:
            return None
        seen.add(object_id)
        versions = node.search.versions(tx, object_id)
        if not versions:
            return None
        found.append(versions[-1])
        return versions[-1]

    near = list(held)
    for one in held:
        for object_id, _, _ in node.search.neighbours(tx, one.id, _MOST_NEXT):
            next_one = look(object_id)
            if next_one is not None:
                near.append(next_one)
    for one in near:
        version = _read(node, one)
        for name, target in version.edges if version else ():
            if name != "created_by_ref":
                look(target)
    return found


def _read(node: Node, found: Found) -> ObjectVersion | None:
    try:
        return node.reader.read(found.body)
    except Refused:
        return None  # the limits are narrower than when it was admitted


def _sectors(objects: Sequence[ObjectVersion]) -> list[str]:
    several = [
        str(sector)
        for one in objects
        if one.type == "identity"
        for sector in one.data.get("sectors", ())
    ]
    return list(dict.fromkeys(several))


def _listed(node: Node) -> dict[str, tuple[str, ...]]:
    return {one.member: one.sectors for one in node.profile.sectors}


# Values


def _values(told: Iterable[tuple[str, str]]) -> Iterator[Value]:
    for kind, value in told:
        if kind in _COLUMNS:
            yield _COLUMNS[kind], value
        elif kind == "email-addr":
            yield "source_domain", value.rpartition("@")[2]
        elif kind == "url":
            try:
                host = urlsplit(value).hostname or ""
                ipaddress.ip_address(host)
            except ValueError:
                if host:
                    yield "source_domain", host
            else:
                yield "source_address", host


def _owned(node: Node, values: Sequence[Value]) -> Iterator[Fact]:
    """Give whose addresses, networks and names these are, as the kernel judges."""
    import polars as pl

    if not values:
        return
    now = moment(node.clock.now())
    rows: list[dict[str, Any]] = []
    for number, (column, value) in enumerate(values, 1):
        said: Any = int(value) if column == "source_asn" else value
        rows.append(
            {
                "time": now, "received": now, "batch": "", "feed": "case",
                "number": number, "identifier": str(number), column: said,
            }
        )  # fmt: skip
    names = {name for row in rows for name in row}
    frame = pl.DataFrame(
        rows, {name: kind for name, kind in EVENTS.items() if name in names}
    )
    done = kernel.run(frame, Referring(node).reference())
    columns = ("number", "party", "member", "reason", "asset", "source_network")
    for number, party, member, reason, asset, network in done.events.select(
        columns
    ).iter_rows():
        if reason is not None:
            within = (asset or "").partition(":")[2] or network or ""
            value = values[number - 1][1]
            yield Fact(party or member or "", Reason(reason), value, within)


def _of_events(node: Node, values: Sequence[Value]) -> Iterator[Fact]:
    """Give whose machines were seen with these values, by the events of some weeks."""
    since = node.clock.now() - EVENT_DAYS * _DAY
    of = {
        name: tuple(value for column, value in values if column == name)
        for name in ("source_address", "source_domain")
    }
    questions = []
    if of["source_address"]:
        questions.append(
            Question(since=since, addresses=of["source_address"], either_end=True)
        )
    if of["source_domain"]:
        questions.append(
            Question(since=since, where={"destination_domain": of["source_domain"]})
        )
    for question in questions:
        asking = Asking(archive_of(node), question)
        for by in ("party", "member"):
            for party, many in asking.top(by, _MOST_NEXT).iter_rows():
                said = "1 event" if many == 1 else f"{many:,} events"
                yield Fact(party or "", Reason.EVENTS, said)


# Parties


def _of_state(
    fact: Fact, parties: Mapping[str, tuple[int, Party]], own: str
) -> Fact | None:
    """Give a fact of the party that has a part in cases; a client's is its CERT's."""
    held = parties[fact.party][1] if fact.party in parties else None
    if held is None or held.kind in _STATES:
        return fact
    if held.kind is Kind.OPERATOR and (held.client_of or own) != own:
        return Fact(held.client_of, fact.reason, fact.what, fact.within)
    return None


def _suggested(
    node: Node,
    tx: Tx,
    proposal: Proposal,
    held: Sequence[Found],
    parties: Mapping[str, tuple[int, Party]],
    named: set[str],
) -> Suggestion:
    withheld: dict[str, str] = {}
    known = parties.get(proposal.party)
    if known is not None:
        number, party = known
        sets = {one.marking_set for one in held}
        verdicts = node.audiences.verdicts(tx, number, sets)
        for one in held:
            verdict = verdicts.get(one.marking_set)
            if not party.active(tx.clock.now()):
                withheld[one.id] = "its access has ended"
            elif verdict is None or not verdict.released:
                withheld[one.id] = str(verdict or "not judged")
    return Suggestion(
        proposal,
        known is not None,
        proposal.party in named,
        len(held) - len(withheld) if known is not None else 0,
        withheld,
    )
