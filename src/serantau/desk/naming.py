"""Naming an audience: the marking that says for whom something is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from serantau.desk.intake import Intake
from serantau.errors import BadRequest, NotFound
from serantau.node import Node
from serantau.rules.marking import make_audience
from serantau.wire.bundle import Piece


@dataclass(frozen=True, slots=True)
class Named:
    """An audience as it was put into the store.

    definition: the marking-definition; its id goes into `object_marking_refs`. new: it
    was not here before. unknown: names that are no party of this node: other nodes may
    know them, or they are mistyped, and then name or leave out nobody.
    """

    definition: dict[str, Any]
    new: bool
    unknown: tuple[str, ...]


def name_audience(
    node: Node,
    parties: Sequence[str] = (),
    *,
    circles: Sequence[str] = (),
    everyone_but: Sequence[str] = (),
) -> Named:
    """Make the marking of an audience and put it into the store.

    Args:
        node: an open node.
        parties: names or identity ids of who is meant.
        circles: this node's circles by name; only their opaque ids are written.
        everyone_but: instead of both: names or identity ids of who is left out.

    Raises:
        BadRequest: nobody is named, both forms at once, or a name that is none.
        NotFound: no circle has this name.
    """
    if not (parties or circles or everyone_but):
        raise BadRequest(
            "An audience of nobody.", mend="Name parties, --circle or --everyone-but."
        )
    with node.db.read() as tx:
        by_name = {one.name: one.id for one in node.audiences.circles(tx).values()}
        known = node.registry.parties(tx)
    for circle in circles:
        if circle not in by_name:
            raise NotFound(
                f"No circle is named {circle!r}.",
                mend="`serantau circle list` shows them.",
            )
    try:
        definition = make_audience(
            named=parties,
            circles=[by_name[circle] for circle in circles],
            everyone_but=everyone_but or None,
        )
    except ValueError as fault:
        raise BadRequest(f"{fault}.") from fault
    names = {*known, *(party.identity for _, party in known.values())}
    piece = Piece(ordinal=1, offset=0, line=1, raw=orjson.dumps(definition))
    report = Intake(node).take([piece], origin="an audience")
    unknown = tuple(one for one in (*parties, *everyone_but) if one not in names)
    return Named(definition, bool(report.new), unknown)
