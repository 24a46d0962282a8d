"""Collections: the named parts of the store that callers see."""

from __future__ import annotations

from typing import Annotated, Any

from litestar.params import JSONBody
from msgspec import Meta

from serantau.apps.web.api.door import node_of, reading, verb, writing
from serantau.apps.web.api.words import (
    END,
    PLAIN,
    AliasId,
    Answer,
    Given,
    Level,
    Text,
    read_level,
)
from serantau.apps.web.hall import Asking
from serantau.errors import BadRequest, Conflict, NotFound
from serantau.node import Node
from serantau.records.database import Tx
from serantau.records.registry import EVERYONE, Access, Collection, Query
from serantau.rules.party import Kind

_KINDS = "|".join(Kind)
Who = Annotated[
    str,
    Meta(
        pattern=rf"^({EVERYONE}|kind:({_KINDS})|party:[a-z0-9][a-z0-9-]{{0,62}}){END}"
    ),
]
Type = Annotated[str, Meta(pattern=rf"^[a-z0-9][a-z0-9-]{{1,249}}{END}")]


class CollectionTold(Answer):
    """A collection: a box that is filled, or the objects of some types up to a level.

    read, write: who may: `everyone`, `kind:member`, `party:jp`.
    """

    id: str
    alias: str
    title: str
    description: str
    box: bool
    types: list[str]
    up_to: str
    read: list[str]
    write: list[str]


class CollectionList(Answer):
    """The collections, in the order in which they were made."""

    collections: list[CollectionTold]


class CollectionGiven(Given):
    """A collection as it is to be. box: cannot be changed later."""

    title: Annotated[str, Meta(min_length=1, max_length=200, pattern=PLAIN)]
    description: Text = ""
    box: bool = False
    types: Annotated[tuple[Type, ...], Meta(max_length=100)] = ()
    up_to: Level = ""
    read: Annotated[tuple[Who, ...], Meta(max_length=200)] = ()
    write: Annotated[tuple[Who, ...], Meta(max_length=200)] = ()


def _told(one: Collection) -> CollectionTold:
    return CollectionTold(
        id=one.id,
        alias=one.alias,
        title=one.title,
        description=one.description,
        box=one.box,
        types=list(one.query.types),
        up_to=one.query.up_to,
        read=list(one.access.read),
        write=list(one.access.write),
    )


@verb("GET", "/collections", "collections")
async def collections(request: Asking) -> CollectionList:
    """List the collections, and who may read and write each."""
    found = await reading(request, node_of(request).registry.collections)
    return CollectionList(collections=[_told(each) for each in found])


@verb("PUT", "/collections/{alias:str}", "put-collection", 404, 409)
async def put_collection(
    request: Asking, alias: AliasId, data: JSONBody[CollectionGiven]
) -> CollectionTold:
    """Make a collection, or change the one of this name."""
    node = node_of(request)
    level = read_level(data.up_to, "up_to")
    if data.box and (data.types or level is not None):
        raise BadRequest("A box holds what was put into it: it has no types or up_to.")
    if data.write and not data.box:
        raise BadRequest("Only a box is written to.")

    def work(tx: Tx) -> CollectionTold:
        _check(node, tx, alias, data)
        made = node.registry.put_collection(
            tx,
            alias,
            data.title,
            description=data.description,
            box=data.box,
            query=Query(tuple(data.types), "" if level is None else level.label),
            access=Access(tuple(data.read), tuple(data.write)),
        )
        return _told(made)

    return await writing(request, work)


def _check(node: Node, tx: Tx, alias: str, data: JSONBody[CollectionGiven]) -> None:
    known = node.registry.parties(tx)
    for entry in (*data.read, *data.write):
        name = entry.removeprefix("party:")
        if name != entry and name not in known:
            raise NotFound(f"No party is named {name!r}.")
    for held in node.registry.collections(tx):
        if held.id == alias:
            raise Conflict(f"{alias!r} is the id of collection {held.alias!r}.")
        if held.alias == alias and held.box != data.box:
            raise Conflict(
                f"Collection {alias!r} is {'a box' if held.box else 'a saved query'} "
                "and stays one."
            )


HANDLERS: tuple[Any, ...] = (collections, put_collection)
