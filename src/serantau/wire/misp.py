"""MISP events in: from an event to STIX 2.1 objects, with every loss said.

The mapping of types is that of the package misp-stix. Around it stands what a node
needs and a one-off export does not:

- the same event gives the same bytes, and whatever changes in an event changes either
  the id or `modified` of what is made of it (STIX 2.1 §3.6: one (id, modified), one
  content);
- TLP and PAP tags and narrow distributions become markings of every object they reach;
- each attribute is looked for in what came out. One that is not there, which misp-stix
  can do silently, is kept as an `x-misp-attribute` object, and said.
"""

from __future__ import annotations

import functools
import logging
import warnings
from dataclasses import dataclass
from typing import Any

import orjson

from serantau.wire.misp_event import Fate, Prepared, events, prepare
from serantau.wire.misp_objects import Finishing

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


def to_stix(event: dict[str, Any]) -> Converted:
    """Make STIX 2.1 objects of a MISP event.

    Nothing is thrown for what is wrong inside the event; it is in the fates.

    Raises:
        BadInput: the event has no time at all.
    """
    prepared = prepare(event)
    made, complaints = _parse(prepared)
    finishing = Finishing(prepared, made, complaints)
    objects = finishing.run()
    return Converted(
        uuid=prepared.uuid,
        info=prepared.event["info"],
        objects=[orjson.dumps(one) for one in objects],
        fates=finishing.fates(),
    )


@functools.cache
def _parser_class() -> Any:
    """Import misp-stix: half a second, and quiet."""
    with warnings.catch_warnings():
        # `six` in its tree is loaded by the old import protocol; nothing of ours.
        warnings.filterwarnings("ignore", r"_SixMetaPathImporter", ImportWarning)
        from misp_stix_converter import MISPtoSTIX21Parser
    # What pymisp logs it also hands to the parser's errors, which become fates.
    logging.getLogger("pymisp").setLevel(logging.CRITICAL)
    return MISPtoSTIX21Parser


def _parse(prepared: Prepared) -> tuple[list[dict[str, Any]], list[str]]:
    """Run misp-stix; where it gives up on an event, again without the galaxies.

    When it gives up altogether nothing is made, and every attribute is kept by us.
    """
    whole = prepared.event
    complaints: list[str] = []
    for event in (whole, _without_galaxies(whole)):
        parser = _parser_class()()
        try:
            parser.parse_misp_event(event)
            # A property that cannot be written fails only here, for the whole event.
            made = [_plain(one) for one in parser.stix_objects]
        except Exception as fault:  # misp-stix raises whatever its libraries raise
            complaints.append(f"{type(fault).__name__}: {fault}"[:300])
            continue
        for texts in parser.errors.values():
            complaints.extend(str(text) for text in texts)
        return made, complaints
    return [], complaints


def _plain(one: Any) -> dict[str, Any]:
    text = one.serialize() if hasattr(one, "serialize") else orjson.dumps(one)
    plain: dict[str, Any] = orjson.loads(text)
    return plain


def _without_galaxies(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_galaxies(v) for k, v in value.items() if k != "Galaxy"}
    if isinstance(value, list):
        return [_without_galaxies(one) for one in value]
    return value
