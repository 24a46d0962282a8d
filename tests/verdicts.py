"""Parties, audiences and markings to ask about, and how to ask."""

from __future__ import annotations

from typing import Any

from serantau.rules.marking import (
    TLP_2_IDS,
    Marking,
    MarkingSet,
    Tlp,
    make_audience,
    read_marking,
)
from serantau.rules.party import Circle, Kind, Party, Purpose
from serantau.rules.release import (
    Policy,
    Verdict,
    Way,
    judge,
)

OWN = "th"
CLEAR, GREEN, AMBER, STRICT, RED = (TLP_2_IDS[level] for level in Tlp)
UNKNOWN = "marking-definition--33333333-3333-4333-8333-333333333333"
SG_ID = "identity--5a7f4a66-2f6e-4f0e-8a52-0a3b5a1f6f01"
VN_ID = "identity--6b805b77-306f-4f1f-9b63-1b4c6b207012"
CIRCLE = Circle(
    "circle--0b1f6a3e-4c25-4f43-9f0a-3d1b8f2f7a10", "gulf", frozenset({"sg", "th"})
)
ELSEWHERE = "circle--1c207b4f-5d36-4054-8a1b-4e2c90308b21"
KNOWN: dict[str, Marking] = {}


def known(data: dict[str, Any]) -> str:
    marking = read_marking(data)
    KNOWN[marking.id] = marking
    return marking.id


NAMES_SG = known(make_audience(named=["sg"]))
NAMES_US = known(make_audience(named=["th"]))
NAMES_US_AND_SG = known(make_audience(named=["th", "sg"]))
NAMES_SG_BY_ID = known(make_audience(named=[SG_ID]))
NAMES_BANK = known(make_audience(named=["bank"]))
NOBODY = known(make_audience())
IN_CIRCLE = known(make_audience(circles=[CIRCLE.id]))
IN_CIRCLE_OR_VN = known(make_audience(named=["vn"], circles=[CIRCLE.id]))
IN_CIRCLE_ELSEWHERE = known(make_audience(circles=[ELSEWHERE]))
ALL_BUT_VN = known(make_audience(everyone_but=["vn"]))
ALL_BUT_VN_BY_ID = known(make_audience(everyone_but=[VN_ID]))
ALL_BUT_US = known(make_audience(everyone_but=["th"]))
PAP = known(
    {
        "type": "marking-definition",
        "id": "marking-definition--44444444-4444-4444-8444-444444444444",
        "definition_type": "pap",
        "definition": {"pap": "red"},
    }
)
STATEMENT = known(
    {
        "type": "marking-definition",
        "id": "marking-definition--55555555-5555-4555-8555-555555555555",
        "definition_type": "statement",
        "definition": {"statement": "Copyright"},
    }
)

SG = Party("sg", Kind.MEMBER, identity=SG_ID)
VN = Party("vn", Kind.MEMBER, identity=VN_ID)
US = Party(OWN, Kind.OWN)
JP = Party("jp", Kind.PARTNER)
HUB = Party("hub", Kind.COORDINATOR)
BANK = Party("bank", Kind.OPERATOR, client_of=OWN, need_to_know=True)
SHOP = Party("shop", Kind.OPERATOR, client_of=OWN)
FOREIGN = Party("plant", Kind.OPERATOR, client_of="vn", need_to_know=True)
PUBLIC = Party("public", Kind.PUBLIC)
OUTSIDERS = (SG, VN, JP, HUB, BANK, SHOP, FOREIGN, PUBLIC)


def ask(
    marked: MarkingSet | tuple[str, ...],
    recipient: Party,
    *,
    by: Way = Way.MACHINE,
    policy: Policy | None = None,
    purpose: Purpose | None = None,
) -> Verdict:
    return judge(
        marked if isinstance(marked, MarkingSet) else MarkingSet(marked),
        KNOWN,
        recipient,
        own=OWN,
        policy=policy or Policy(),
        circles={CIRCLE.id: CIRCLE},
        by=by,
        purpose=purpose,
    )
