"""What is well-formed and still not admitted: another realm's, or in our name."""

from __future__ import annotations

from typing import Final

import orjson

from serantau.config import NodeSection
from serantau.records.database import Tx
from serantau.records.quarantine import Fault
from serantau.rules.refusal import shown
from serantau.rules.stix import ObjectVersion

_REALM: Final = "x_serantau_realm"
_REALM_BYTES: Final = b'"x_serantau_realm"'
PEER: Final = "peer:"


def screen(
    tx: Tx,
    node: NodeSection,
    versions: list[ObjectVersion],
    *,
    ours: bool,
    origin: str,
) -> tuple[list[ObjectVersion], list[Fault]]:
    """Part off what may not come in from this source.

    Args:
        tx: the transaction that will admit the rest.
        node: who this node is.
        versions: checked object versions.
        ours: whether they come from this node's own people.
        origin: where they stood, for messages.

    Returns:
        What may be admitted, in order, and a finding for each that may not.
    """
    faults: list[Fault] = []
    kept: list[ObjectVersion] = []
    named: list[ObjectVersion] = []
    for version in versions:
        realm = _realm_of(version) or node.realm
        if realm != node.realm:
            # An exercise's objects never reach live data, by whichever door.
            faults.append(
                Fault(
                    body=version.body,
                    rule="another-realm",
                    place=f"/{_REALM}",
                    got=shown(realm),
                    expected=node.realm,
                    origin=origin,
                    id=version.id,
                )
            )
            continue
        kept.append(version)
        if node.identity and version.creator == node.identity and not version.redacted:
            named.append(version)
    if ours or not named:
        return kept, faults
    strange = _never_made(tx, named)
    faults += [_not_ours(version, origin) for version in strange]
    refused = {id(version) for version in strange}
    return [version for version in kept if id(version) not in refused], faults


def _never_made(tx: Tx, ours: list[ObjectVersion]) -> list[ObjectVersion]:
    """Find versions in this node's name that it does not hold.

    STIX 2.1 §3.6.2: only an object's creator makes new versions or revokes it.
    """
    held = {
        (row.key, row.modified)
        for row in tx.rows(
            "SELECT key, modified FROM object WHERE "  # noqa: S608 - our own names
            + tx.among("key", "keys"),
            keys=tx.array({version.key for version in ours}),
        )
    }
    return [one for one in ours if (one.key, one.modified) not in held]


def _not_ours(version: ObjectVersion, origin: str) -> Fault:
    return Fault(
        body=version.body,
        rule="in-our-name",
        place="/created_by_ref",
        got=f"version {version.version or '-'}, which is not here",
        expected="versions in this node's name only from this node; load it from a "
        "file if it is one that was lost here",
        origin=origin,
        id=version.id,
    )


def _realm_of(version: ObjectVersion) -> str:
    """Give the realm that an object says it is of; most say none."""
    if _REALM_BYTES not in version.body:
        return ""
    return str(orjson.loads(version.body).get(_REALM, ""))
