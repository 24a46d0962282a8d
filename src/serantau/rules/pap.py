"""PAP: what this node itself may do with an object.

The levels are those of MISP's taxonomy PAP (version 2), which FIRST has no words for:

- PAP:RED: "Non-detectable actions only. Recipients may not use PAP:RED information on
  the network. Only passive actions on logs, that are not detectable from the outside."
- PAP:AMBER: "Passive cross check. Recipients may use PAP:AMBER information for
  conducting online checks, like using services provided by third parties (e.g.
  VirusTotal), or set up a monitoring honeypot."
- PAP:GREEN: "Active actions allowed. Recipients may use PAP:GREEN information to ping
  the target, block incoming/outgoing traffic from/to the target or specifically
  configure honeypots to interact with the target."
- PAP:CLEAR (there: WHITE): "No restrictions in using this information."

What others may do is theirs to keep: the marking goes wherever the object goes. A
marking that is not exactly understood may be a PAP, so it permits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from serantau.rules.level import Pap
from serantau.rules.marking import Marking, MarkingSet, look_up


class Act(StrEnum):
    """What this node does with an object, besides keeping and releasing it."""

    MATCH = "match with rows of events"
    SIGHT = "record that it was seen in them"
    FLAG = "hand it out flagged for machines that detect and block (MISP's to_ids)"


TABLE: Final[Mapping[Act, Pap]] = MappingProxyType(
    {
        # "Only passive actions on logs": rows are read that are here already.
        Act.MATCH: Pap.RED,
        # It tells others of the object, which TLP decides on, and bears its PAP.
        Act.SIGHT: Pap.RED,
        # "block incoming/outgoing traffic": what takes to_ids in does just that.
        Act.FLAG: Pap.GREEN,
    }
)
"""The strictest level at which each act is permitted."""


def permits(act: Act, markings: Iterable[Marking]) -> bool:
    """Say whether an object with these markings permits an act.

    The strictest PAP holds; without any, everything is permitted.
    """
    held = list(markings)
    if any(each.kind == "unknown" for each in held):
        return False
    levels = [each.pap for each in held if each.pap is not None]
    return max(levels, default=Pap.CLEAR) <= TABLE[act]


def permitted(act: Act, marked: MarkingSet, known: Mapping[str, Marking]) -> bool:
    """Say whether an object permits an act; what marks a part of it marks it all."""
    refs = (*marked.refs, *marked.granular)
    return permits(act, (look_up(ref, known) for ref in refs))


def table_markdown() -> str:
    """Write the table for docs/release-policy.md."""
    levels = ["no PAP", *(level.label for level in Pap), "not understood"]
    lines = [
        f"| This node may | {' | '.join(levels)} |",
        "|---" * (len(levels) + 1) + "|",
    ]
    for act, strictest in TABLE.items():
        said = ["yes" if level <= strictest else "no" for level in Pap]
        lines.append(f"| {act} | yes | {' | '.join(said)} | no |")
    return "\n".join(lines)
