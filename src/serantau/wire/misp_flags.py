"""MISP's flag `to_ids`: set only where all that a part was made of permits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Made = Mapping[str, Sequence[dict[str, Any]]]


def settle_flags(
    event: dict[str, Any], made: Made, may: Callable[[dict[str, Any]], bool]
) -> None:
    """Take the flag off attributes that machines must not act on (PAP).

    Args:
        event: a MISP event, changed in place.
        made: the STIX objects that a part was made of, by its uuid.
        may: whether an object permits it. What a part was made of is not known of
            each: then nothing in the event may forbid it.
    """
    everything = [one for several in made.values() for one in several]
    for home in ({"Attribute": event["Attribute"], "uuid": ""}, *event["Object"]):
        for part in home["Attribute"]:
            if part.get("to_ids"):
                of = [*made.get(part["uuid"], ()), *made.get(home["uuid"], ())]
                part["to_ids"] = all(map(may, of or everything))
