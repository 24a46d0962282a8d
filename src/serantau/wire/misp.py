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

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import orjson

from serantau.errors import BadInput, TooLarge
from serantau.rules.refusal import Refused
from serantau.rules.stix import Reader
from serantau.wire.misp_event import Fate, Outcome, prepare
from serantau.wire.misp_objects import Finishing
from serantau.wire.misp_parser import parse
from serantau.wire.misp_values import kind_of

__all__ = ["Converted", "Fate", "events", "to_stix"]


FILE_BYTES = 256_000_000
DEPTH = 64


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


def events(
    source: BinaryIO | bytes, *, origin: str = "input", file_bytes: int = FILE_BYTES
) -> Iterator[dict[str, Any]]:
    """Give each MISP event of a file: `{"Event"}`, `{"response"}`, a list, or bare.

    Raises:
        BadInput: not JSON, or JSON that holds no MISP event; says where.
        TooLarge: more than `file_bytes` bytes; one event is held in memory whole.
    """
    raw = source if isinstance(source, bytes) else source.read(file_bytes + 1)
    if len(raw) > file_bytes:
        raise TooLarge(
            f"{origin} has more than {file_bytes} bytes, the limit `file_bytes`.",
            mend="Export fewer events into one file.",
        )
    try:
        held = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as fault:
        raise BadInput(
            f"{origin} is not JSON: {fault}.",
            mend="Export the event from MISP again, as MISP JSON.",
        ) from fault
    if isinstance(held, dict) and "response" in held:
        held = held["response"]
    several = held if isinstance(held, list) else [held]
    if not several:
        raise BadInput(f"{origin} holds no MISP event: the list is empty.")
    for index, one in enumerate(several):
        yield _event_of(one, origin if len(several) == 1 else f"{origin}[{index}]")


def _event_of(one: Any, origin: str) -> dict[str, Any]:
    event = one.get("Event", one) if isinstance(one, dict) else one
    if not isinstance(event, dict):
        raise BadInput(
            f"{origin} is not a MISP event: got {kind_of(event)}, expected an object."
        )
    # An event of MISP always has a line of description; a STIX object never has one.
    if event is one and not ("info" in event and ("uuid" in event or "date" in event)):
        raise BadInput(
            f"{origin} is not a MISP event: it has neither 'Event' nor 'info' with "
            f"'uuid' or 'date'; its keys are {sorted(event)[:6]}.",
            mend="Load STIX as STIX, or export from MISP as MISP JSON.",
        )
    deepest = _depth(event)
    if deepest > DEPTH:
        raise BadInput(f"{origin} nests {deepest} deep, the limit is {DEPTH}.")
    return event


def _depth(value: Any) -> int:
    level, deepest = [value], 0
    while level:
        deepest += 1
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = inner
        if deepest > DEPTH:
            break
    return deepest


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
    fates = finishing.fates()
    if found:
        objects = [one for one in objects if orjson.loads(one)["id"] not in found]
        fates = [_without(fate, found) for fate in fates]
    return Converted(prepared.uuid, prepared.event["info"], objects, fates)


def _without(fate: Fate, gone: dict[str, str]) -> Fate:
    """Take from a fate the objects that the node's check refuses even so."""
    left = tuple(each for each in fate.ids if each not in gone)
    if left == fate.ids:
        return fate
    said = [gone[each] for each in fate.ids if each in gone]
    reason = "; ".join([*([fate.reason] if fate.reason else []), *said])
    outcome: Outcome = "altered" if left else "lost"
    return replace(fate, ids=left, outcome=outcome, reason=reason)


def _refusals(objects: list[bytes], reader: Reader) -> dict[str, str]:
    found = {}
    for raw in objects:
        try:
            reader.read(raw)
        except Refused as refusal:
            found[orjson.loads(raw)["id"]] = str(refusal)
    return found
