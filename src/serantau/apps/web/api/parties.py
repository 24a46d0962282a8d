"""Parties and circles: whom something may be released to."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from litestar.params import JSONBody
from msgspec import Meta

from serantau.apps.web.api.door import node_of, reading, verb, writing
from serantau.apps.web.api.words import (
    END,
    PARTY,
    Answer,
    CircleId,
    Count,
    Given,
    Level,
    PartyId,
    PartyName,
    Text,
    Time,
    read_level,
    read_time,
    time_of,
)
from serantau.apps.web.hall import Asking
from serantau.errors import Conflict, NotFound
from serantau.node import Node
from serantau.records.audiences import Change
from serantau.records.database import Tx
from serantau.rules.marking import in_words
from serantau.rules.party import Kind, Party


class PartyTold(Answer):
    """A party. ceiling: the highest TLP level it is given. until: its access ends."""

    name: str
    kind: Kind
    title: str
    identity: str
    client_of: str
    need_to_know: bool
    blocked: bool
    ceiling: str
    until: Time | None


class PartyList(Answer):
    """The parties by name."""

    parties: list[PartyTold]


class PartyGiven(Given):
    """A party as it is to be; whether it is blocked, and its purposes, stay."""

    kind: Kind
    title: Text = ""
    identity: Annotated[
        str,
        Meta(
            pattern=rf"^{END}|^identity--[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}"
            rf"-[0-9a-f]{{12}}{END}"
        ),
    ] = ""
    client_of: Annotated[str, Meta(pattern=f"^{END}|{PARTY}")] = ""
    need_to_know: bool = False
    ceiling: Level = ""
    until: Time | None = None


class ChangeTold(Answer):
    """What a change did: to these objects of this marking, for this party."""

    party: str
    marking: str
    objects: Count
    before: bool
    after: bool
    rule: str
    got: str
    expected: str


class PartyChanged(Answer):
    """A party, and what changed in what anyone may have."""

    party: PartyTold
    changes: list[ChangeTold]


class CircleTold(Answer):
    """A circle. id: the opaque name by which it travels."""

    id: str
    name: str
    members: list[str]


class CircleList(Answer):
    """The circles by name."""

    circles: list[CircleTold]


class CircleGiven(Given):
    """Who is to be in a circle."""

    members: Annotated[list[PartyName], Meta(max_length=1000)]


def _told(party: Party) -> PartyTold:
    return PartyTold(
        name=party.name,
        kind=party.kind,
        title=party.title,
        identity=party.identity,
        client_of=party.client_of,
        need_to_know=party.need_to_know,
        blocked=party.blocked,
        ceiling="" if party.ceiling is None else party.ceiling.label,
        until=time_of(party.until),
    )


@verb("GET", "/parties", "parties")
async def parties(request: Asking) -> PartyList:
    """List the parties."""
    node = node_of(request)
    known = await reading(request, node.registry.parties)
    return PartyList(parties=[_told(known[name][1]) for name in sorted(known)])


@verb("PUT", "/parties/{name:str}", "put-party", 404, 409)
async def put_party(
    request: Asking, name: PartyId, data: JSONBody[PartyGiven]
) -> PartyChanged:
    """Add a party, or change the one of this name, and tell what that changes.

    What becomes visible to a party enters its view anew, and what no longer is leaves
    it at once.
    """
    node = node_of(request)
    ceiling = read_level(data.ceiling, "ceiling")
    until = None if data.until is None else read_time(data.until, "until")

    def work(tx: Tx) -> PartyChanged:
        known = node.registry.parties(tx)
        if data.client_of and data.client_of not in known:
            raise NotFound(f"No party is named {data.client_of!r}.")
        party = Party(
            name=name,
            kind=data.kind,
            title=data.title,
            identity=data.identity,
            client_of=data.client_of,
            need_to_know=data.need_to_know,
            blocked=name in known and known[name][1].blocked,
            purposes=known[name][1].purposes if name in known else frozenset(),
            ceiling=ceiling,
            until=until,
        )
        return _put(node, tx, party)

    return await writing(request, work)


@verb("POST", "/parties/{name:str}/block", "block-party", 404, 409)
async def block_party(request: Asking, name: PartyId) -> PartyChanged:
    """Give a party nothing any more, from now on."""
    return await _block(request, name, blocked=True)


@verb("POST", "/parties/{name:str}/unblock", "unblock-party", 404, 409)
async def unblock_party(request: Asking, name: PartyId) -> PartyChanged:
    """Give a party again what it may have."""
    return await _block(request, name, blocked=False)


async def _block(request: Asking, name: str, *, blocked: bool) -> PartyChanged:
    node = node_of(request)

    def work(tx: Tx) -> PartyChanged:
        _, held = node.registry.party(tx, name)
        return _put(node, tx, replace(held, blocked=blocked))

    return await writing(request, work)


def _put(node: Node, tx: Tx, party: Party) -> PartyChanged:
    if party.name == node.audiences.own and (
        party.kind is not Kind.OWN or party.blocked or party.until is not None
    ):
        # Nobody could log in to put it right.
        raise Conflict(
            f"{party.name!r} is this node's own party: it stays of kind own, and is "
            "neither blocked nor ended."
        )
    if party.kind is Kind.OWN and party.name != node.audiences.own:
        raise Conflict(f"This node's own party is {node.audiences.own!r}.")
    changes = node.registry.put_party(tx, party)
    known, sets = node.audiences.known(tx), node.audiences.sets(tx)
    return PartyChanged(
        party=_told(party),
        changes=[
            _change(each, in_words(sets[each.marking_set], known)) for each in changes
        ],
    )


def _change(one: Change, marking: str) -> ChangeTold:
    return ChangeTold(
        party=one.party.name,
        marking=marking,
        objects=one.objects,
        before=one.before is not None and one.before.released,
        after=one.after.released,
        rule=one.after.rule,
        got=one.after.got,
        expected=one.after.expected,
    )


@verb("GET", "/circles", "circles")
async def circles(request: Asking) -> CircleList:
    """List the circles, and who is in each."""
    node = node_of(request)
    known = await reading(request, node.audiences.circles)
    return CircleList(
        circles=[
            CircleTold(id=each.id, name=each.name, members=sorted(each.members))
            for each in sorted(known.values(), key=lambda one: one.name)
        ]
    )


@verb("PUT", "/circles/{name:str}", "put-circle", 404)
async def put_circle(
    request: Asking, name: CircleId, data: JSONBody[CircleGiven]
) -> CircleTold:
    """Make a circle, or say anew who is in it."""
    node = node_of(request)
    circle = await writing(
        request, lambda tx: node.registry.put_circle(tx, name, data.members)
    )
    return CircleTold(id=circle.id, name=name, members=sorted(circle.members))


@verb("DELETE", "/circles/{name:str}", "drop-circle", 404, status=204)
async def drop_circle(request: Asking, name: CircleId) -> None:
    """Forget a circle: nobody is in it any more."""
    await writing(request, lambda tx: node_of(request).registry.drop_circle(tx, name))


HANDLERS: tuple[Any, ...] = (
    parties,
    put_party,
    block_party,
    unblock_party,
    circles,
    put_circle,
    drop_circle,
)
