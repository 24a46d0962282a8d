"""What the API does not give even to the node's own people.

The API is a machine's way, and TLP:RED is for named persons (TLP 2.0 §4.a): an object
that the release rules withhold from the own organisation by machine is told of here by
its id and marking; to read it, a person goes to the node.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from serantau.apps.web.api.words import Answer
from serantau.node import Node, limits_of
from serantau.records.database import Tx
from serantau.records.quarantine import Held
from serantau.records.registry import Caller
from serantau.rules.jsontext import read_json
from serantau.rules.marking import MarkingSet, Tlp, definition_of, well_known
from serantau.rules.refusal import Refused
from serantau.rules.release import Verdict, judge
from serantau.rules.stix import id_key

_UNJUDGED = Verdict(False, "not-judged", "no verdict", "a verdict")
_UNREAD = Verdict(
    False, "unreadable-marking", "markings that cannot be read", "readable markings"
)


class Withheld(Answer):
    """Why something is not told here, and where to read it."""

    rule: str
    got: str
    expected: str
    mend: str


def withheld(verdict: Verdict, command: str) -> Withheld | None:
    """Tell why something is withheld; None when it is not."""
    if verdict.released:
        return None
    return Withheld(
        rule=verdict.rule,
        got=verdict.got,
        expected=verdict.expected,
        mend=f"Read it on the node: serantau {command}",
    )


class OwnView:
    """What the caller's organisation may be given by machine, within a transaction."""

    def __init__(self, node: Node, tx: Tx, caller: Caller) -> None:
        """Look with the eyes of `caller`."""
        self._node = node
        self._tx = tx
        self._caller = caller
        self._verdicts = node.audiences.verdicts(tx, caller.party_number)

    def of(self, marking_set: int) -> Verdict:
        """Give the verdict on a marking set; what was never judged is withheld."""
        return self._verdicts.get(marking_set, _UNJUDGED)

    def readable(self, ids: Iterable[str]) -> set[str]:
        """Pick those of which nothing that is here is withheld."""
        wanted = set(ids)
        withheld = {
            row.id
            for row in self._tx.rows(
                "SELECT id, slot FROM object WHERE "  # noqa: S608 - our own names
                + self._tx.among("key", "keys"),
                keys=self._tx.array({id_key(one) for one in wanted}),
            )
            if not self.of(int(row.slot) // 2).released
        }
        return wanted - withheld

    def of_refused(self, held: Held, body: bytes) -> Verdict:
        """Judge something in quarantine by what it says of itself; in doubt, no."""
        config = self._node.config
        try:
            data, _ = read_json(body, limits_of(config.limits))
            marked = _marked(data, held.handle_as or config.handling.default)
        except (Refused, ValueError, TypeError, KeyError, AttributeError):
            return _UNREAD
        for row in self._tx.rows(
            "SELECT id, slot FROM object WHERE key = :key", key=id_key(str(data["id"]))
        ):
            verdict = self.of(int(row.slot) // 2)
            if row.id == data["id"] and not verdict.released:
                return verdict
        return judge(
            marked,
            self._node.audiences.known(self._tx),
            self._caller.party,
            own=self._node.audiences.own,
            policy=self._node.audiences.policy,
            circles=self._node.audiences.circles(self._tx),
        )


def _marked(data: dict[str, Any], handle_as: str) -> MarkingSet:
    refs = [_text(ref) for ref in _list(data.get("object_marking_refs", []))]
    granular = [
        _text(part["marking_ref"])
        for part in _list(data.get("granular_markings", []))
        if "marking_ref" in part
    ]
    has_tlp = any(well_known(ref) is not None for ref in refs)
    definition = data.get("type") == "marking-definition"
    return MarkingSet(
        refs=tuple(refs),
        granular=tuple(granular),
        handled_as=None if has_tlp else Tlp.parse(handle_as),
        definition=definition_of(data) if definition else "",
    )


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise TypeError("not a list")
    return found


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise TypeError("not a text")
    return found
