"""MISP's tags and distributions as STIX markings."""

from __future__ import annotations

from typing import Any

from serantau.wire.misp_values import derived_uuid

# FIRST TLP 2.0 by the OASIS marking ids. MISP's taxonomy writes them in lower case and
# keeps the name that TLP 1 had for CLEAR.
TLP_IDS = {
    "tlp:clear": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "tlp:white": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "tlp:green": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "tlp:amber": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "tlp:amber+strict": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "tlp:red": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
AMBER_STRICT = TLP_IDS["tlp:amber+strict"]
RED = TLP_IDS["tlp:red"]
PAP_NAMES = {
    "pap:clear": "PAP:CLEAR",
    "pap:white": "PAP:CLEAR",
    "pap:green": "PAP:GREEN",
    "pap:amber": "PAP:AMBER",
    "pap:red": "PAP:RED",
}
_NARROW = {"0": "your organisation only", "4": "a sharing group"}
MARKINGS_MADE = "2022-10-01T00:00:00.000Z"


def pap_definition(name: str) -> dict[str, Any]:
    """Give the marking-definition of a PAP level, a statement: OASIS has none."""
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": f"marking-definition--{derived_uuid('pap', name)}",
        "created": MARKINGS_MADE,
        "definition_type": "statement",
        "definition": {"statement": name},
    }


def limited(
    distribution: object, marks: frozenset[str], said: list[str]
) -> frozenset[str]:
    """Turn a distribution that ends at the organisation into a marking.

    A part's own TLP tag is the source's word on who may have it and stands before the
    distribution, which says to whom one instance pushes. A tag of a parent does not: a
    narrower part in a wider event was narrowed on purpose. `said` is added to.
    """
    level = str(distribution)
    if level not in _NARROW or marks & frozenset(TLP_IDS.values()):
        return marks
    said.append(
        f"distribution {level} ({_NARROW[level]}) without a TLP tag: TLP:AMBER+STRICT "
        "is put on it"
    )
    return marks | {AMBER_STRICT}
