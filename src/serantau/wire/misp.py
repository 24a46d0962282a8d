"""MISP events in: from an event to STIX 2.1 objects, with every loss said.

The mapping of types is that of the package misp-stix. Around it stands what a node
needs and a one-off export does not:

- the same event gives the same bytes, and whatever changes in an event changes either
  the id or `modified` of what is made of it (STIX 2.1 §3.6: one (id, modified), one
  content);
- TLP and PAP tags and narrow distributions become markings of every object they reach;
- each attribute is looked for in what came out. One that is not there, which misp-stix
  can do silently, is kept as an `x-misp-attribute` object, and said;
- what the node's own check would refuse is taken out, and kept in that form as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from serantau.rules.refusal import Refused
from serantau.rules.stix import Reader
from serantau.wire.misp_event import Fate, events, prepare
from serantau.wire.misp_objects import Finishing
from serantau.wire.misp_parser import parse

__all__ = ["Converted", "Fate", "events", "to_stix"]


@dataclass(slots=True)
class Converted:
    """What one event became.

    objects: STIX 2.1 objects as JSON text, among them the event's own `report` or
    `grouping`. fates: one for each part of the event, in the event's order.
    """

    uuid: str
    info: str
    objects: list[bytes]
    fates: list[Fate]

    @property
    def losses(self) -> list[Fate]:
        """Give what is not in the objects as it was in the event."""
        return [fate for fate in self.fates if fate.outcome != "converted"]


def to_stix(event: dict[str, Any], reader: Reader | None = None) -> Converted:
    """Make STIX 2.1 objects of a MISP event.

    Nothing is thrown for what is wrong inside the event; it is in the fates. With a
    `reader`, every object is one that it admits.

    Raises:
        BadInput: the event has no time at all.
    """
    refused: dict[str, str] = {}
    while True:
        prepared = prepare(event)
        made, complaints = parse(prepared)
        finishing = Finishing(prepared, made, complaints, refused)
        objects = [orjson.dumps(one) for one in finishing.run()]
        found = _refusals(objects, reader) if reader else {}
        origins = {new: old for old, new in finishing.names.items()}
        before = len(refused)
        refused.update({origins.get(new, new): said for new, said in found.items()})
        # Each round takes out more; at the latest with nothing left it is over.
        if len(refused) == before:
            break
    gone = set(found)
    return Converted(
        uuid=prepared.uuid,
        info=prepared.event["info"],
        objects=[one for one in objects if orjson.loads(one)["id"] not in gone]
        if gone
        else objects,
        fates=finishing.fates(),
    )


def _refusals(objects: list[bytes], reader: Reader) -> dict[str, str]:
    found = {}
    for raw in objects:
        try:
            reader.read(raw)
        except Refused as refusal:
            found[orjson.loads(raw)["id"]] = str(refusal)
    return found
