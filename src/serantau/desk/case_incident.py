"""Keeping the incident that stands for a case in step with what the case says."""

from __future__ import annotations

from typing import Any, Final

import orjson
import structlog

from serantau.clock import instant, stix_text
from serantau.desk.keys import Keys
from serantau.errors import ConfigError
from serantau.node import Node
from serantau.records.database import Tx
from serantau.rules.case import Case
from serantau.rules.case_incident import INCIDENT_EXTENSION, incident_id, incident_of
from serantau.rules.marking import Tlp
from serantau.rules.realm import LIVE, PROPERTY

SOURCE: Final = "cases"
"""Where what a node writes into its cases comes from, as the store notes it."""
_MILLISECOND: Final = 1000

_log = structlog.get_logger(__name__)


def keep_in_step(node: Node, tx: Tx, folded: Case) -> None:
    """Make the incident say what the case says, if this node owns the case.

    An incident of a former term of this node is revoked.
    """
    own, state = node.config.node.identity, folded.state
    if own not in state.parts:
        return
    made: list[dict[str, Any]] = []
    if state.owner == own:
        made.append(incident_of(folded))
    for term, owner in state.terms.items():
        before = owner == own and term != state.term
        if before and (held := _held(node, tx, incident_id(term))):
            made.append({**held, "revoked": True})
    fresh = [one for each in made if (one := _dated(node, tx, each, state.last))]
    if not fresh:
        return
    keys = Keys(node)
    try:
        signer = node.signer
    except ConfigError as fault:
        # The case goes on; doctor tells of the key.
        _log.error("incident_not_signed", fault=str(fault))
        return
    versions = [node.reader.read(orjson.dumps(one)) for one in fresh]
    for version in versions:
        keys.sign(version, signer)
    node.objects.admit(tx, versions, source=SOURCE, handling=lambda _: Tlp.AMBER_STRICT)


def _held(node: Node, tx: Tx, object_id: str) -> dict[str, Any] | None:
    versions = node.search.versions(tx, object_id)
    found: dict[str, Any] | None = orjson.loads(versions[-1].body) if versions else None
    return found


def _dated(
    node: Node, tx: Tx, made: dict[str, Any], last: str
) -> dict[str, Any] | None:
    """Give an incident as a new version; None when it says nothing new."""
    if node.config.node.realm != LIVE:
        made[PROPERTY] = node.config.node.realm
    held = _held(node, tx, made["id"])
    at = instant(last)
    if held is not None:
        wanted = {**made, "extensions": made["extensions"][INCIDENT_EXTENSION]}
        there = {**held, "extensions": held["extensions"].get(INCIDENT_EXTENSION)}
        if held.get("revoked") or all(
            there.get(name) == value for name, value in wanted.items()
        ):
            return None
        at = max(at, instant(held["modified"]) + _MILLISECOND)
    made.pop("modified", None)
    return {**made, "modified": stix_text(at)}
