"""The incident that stands for a case where programs know no cases: MISP, OpenCTI.

The owner of a case makes it, with the incident core extension of OASIS. When the case
goes to another owner, that one makes its own, and the former owner revokes its: only an
object's creator may write it.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from serantau.rules.case import Case
from serantau.rules.case_entry import audience_of
from serantau.rules.case_schema import SEVERITIES
from serantau.rules.case_states import PartyState
from serantau.rules.marking import TLP_2_IDS

INCIDENT_EXTENSION: Final = "extension-definition--ef765651-680c-498d-9894-99799f2fa126"
_SPACE: Final = uuid.UUID("600b5ced-3081-422c-a420-d3d280d3f20e")
# OASIS incident core: criticality is a number up to 100.
_CRITICALITY: Final = dict(zip(SEVERITIES, range(0, 101, 20), strict=True))


def incident_id(term: str) -> str:
    """Give the id of the incident that an owner makes: one for each term of owning."""
    return f"incident--{uuid.uuid5(_SPACE, term)}"


def incident_of(folded: Case) -> dict[str, Any]:
    """Write the incident of a case: a function of the folded state.

    Without `modified`, which grows whenever the rest changes.
    """
    state = folded.state
    owner = state.parts[state.owner]
    answered = [
        part
        for who, part in state.parts.items()
        if who != state.opener and part.state is not PartyState.NO_ANSWER
    ]
    core: dict[str, Any] = {
        "extension_type": "property-extension",
        "determination": "false-positive"
        if owner.state is PartyState.INVALID
        else "suspected",
        "investigation_status": "closed"
        if state.closed
        else ("open" if answered else "new"),
    }
    if state.severity:
        core["criticality"] = _CRITICALITY[state.severity]
    if state.incident_class:
        core["incident_types"] = [state.incident_class]
    level = folded.entry(folded.id).level
    made: dict[str, Any] = {
        "type": "incident",
        "spec_version": "2.1",
        "id": incident_id(state.term),
        "created_by_ref": state.owner,
        "created": state.opened,
        "name": state.name,
        "external_references": [{"source_name": "serantau", "external_id": folded.id}],
        "object_marking_refs": [TLP_2_IDS[level], audience_of(folded.id)["id"]],
        "extensions": {INCIDENT_EXTENSION: core},
    }
    if state.description:
        made["description"] = state.description
    return made
