"""A world in which every kind of marking meets every kind of party.

Who may have what is written by hand, from TLP 2.0 and docs/release-policy.md. No rule
of the program has a part in it.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from serantau.clock import instant
from serantau.config import HttpSection, NodeConfig, NodeSection, StoreSection
from serantau.desk.handout import Handout
from serantau.desk.intake import Intake
from serantau.desk.share import Share
from serantau.node import Node
from serantau.records.registry import EVERYONE, Access, Caller, Collection, Query
from serantau.records.views import Asked
from serantau.rules.marking import Tlp, make_audience
from serantau.rules.party import Kind, Party
from serantau.wire.bundle import Piece
from tables import with_tables

CLEAR = "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"
GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
AMBER = "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"
STRICT = "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"
RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"
WHITE_1 = "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"
GREEN_1 = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"
AMBER_1 = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
RED_1 = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"
# One digit away from GREEN, and from CLEAR.
NEAR_GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bc"
NEAR_CLEAR = "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8486"
NOT_HELD = "marking-definition--11111111-2222-4333-8444-555555555555"

JP_IDENTITY = "identity--0a0a0a0a-1b1b-4c2c-8d3d-4e4e4e4e4e4e"
# Named beside others in audiences: whoever reads it has read an audience's definition.
QUIET = "quiet-partner"
CIRCLE_NAME = "the night watch"
DAYS = [f"2026-03-{day:02}T00:00:00.000Z" for day in range(1, 10)]

PARTIES: Final[dict[str, Party]] = {
    party.name: party
    for party in (
        Party("th", Kind.OWN),
        Party("vn", Kind.MEMBER),
        Party("sg", Kind.COORDINATOR),
        Party("jp", Kind.PARTNER, identity=JP_IDENTITY),
        Party("need", Kind.OPERATOR, client_of="th", need_to_know=True),
        Party("plain", Kind.OPERATOR, client_of="th"),
        Party("other", Kind.OPERATOR, client_of="vn", need_to_know=True),
        Party("public", Kind.PUBLIC),
        Party("kh", Kind.MEMBER, blocked=True),
        Party("low", Kind.MEMBER, ceiling=Tlp.CLEAR),
    )
}
EVERY = frozenset({"vn", "sg", "jp", "need", "plain", "other", "public", "low"})
COMMUNITY = frozenset({"vn", "sg", "jp", "need", "plain"})
NOBODY: frozenset[str] = frozenset()


def just(*names: str) -> frozenset[str]:
    return frozenset(names)


def new_id(kind: str) -> str:
    return f"{kind}--{uuid.uuid4()}"


def granular(ref: str) -> dict[str, Any]:
    return {"granular_markings": [{"marking_ref": ref, "selectors": ["name"]}]}


@dataclass
class Case:
    """An object, as it is marked, and who outside may have it by machine.

    own: whether the own organisation has it by machine; only TLP:RED it has not.
    """

    name: str
    marks: tuple[str, ...]
    may_have: frozenset[str]
    own: bool = True
    more: dict[str, Any] = field(default_factory=dict)
    later: tuple[str, ...] | None = None
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def secrets(self) -> list[bytes]:
        """Texts that stand in this object and in nothing else."""
        texts = (self.made["id"], self.made["name"], self.made["pattern"][24:-2])
        return [text.encode() for text in texts]


FOR_VN = make_audience(named=["vn", QUIET])
FOR_TH = make_audience(named=["th", QUIET])
FOR_PLAIN = make_audience(named=["plain", QUIET])
FOR_PUBLIC = make_audience(named=["public", QUIET])
FOR_KH = make_audience(named=["kh", "low", QUIET])
FOR_JP_ID = make_audience(named=[JP_IDENTITY])
FOR_VN_JP = make_audience(named=["vn", "jp", QUIET])
FOR_JP = make_audience(named=["jp", QUIET])
BUT_VN = make_audience(everyone_but=["vn"])
BUT_JP = make_audience(everyone_but=["jp"])
FOR_NOBODY = make_audience()
CIRCLE_ID = "circle--77777777-8888-4999-8aaa-bbbbbbbbbbbb"
FOR_CIRCLE = make_audience(circles=[CIRCLE_ID])
FOR_STRANGE = make_audience(circles=["circle--00000000-8888-4999-8aaa-bbbbbbbbbbbb"])
STRANGE: dict[str, Any] = {
    "type": "marking-definition",
    "spec_version": "2.1",
    "id": "marking-definition--99999999-2222-4333-8444-555555555555",
    "created": DAYS[0],
    "name": "house rules of a neighbour",
    "definition_type": "house-rules",
    "definition": {"house-rules": "ask first"},
    "object_marking_refs": [CLEAR],
}
AUDIENCES = [
    FOR_VN, FOR_TH, FOR_PLAIN, FOR_PUBLIC, FOR_KH, FOR_JP_ID, FOR_VN_JP, FOR_JP,
    BUT_VN, BUT_JP, FOR_NOBODY, FOR_CIRCLE, FOR_STRANGE, STRANGE,
]  # fmt: skip


def cases() -> list[Case]:
    """Give every case anew, with objects that no other world has."""
    made = [
        # one level
        Case("clear", (CLEAR,), EVERY),
        Case("green", (GREEN,), COMMUNITY),
        Case("amber", (AMBER,), NOBODY),
        Case("strict", (STRICT,), NOBODY),
        Case("red", (RED,), NOBODY, own=False),
        # TLP 1 is read as its equivalent
        Case("white 1", (WHITE_1,), EVERY),
        Case("green 1", (GREEN_1,), COMMUNITY),
        Case("amber 1", (AMBER_1,), NOBODY),
        Case("red 1", (RED_1,), NOBODY, own=False),
        # no level, or one that is not understood
        Case("unmarked", (), NOBODY),
        Case("not held", (NOT_HELD,), NOBODY),
        Case("green and not held", (GREEN, NOT_HELD), NOBODY),
        Case("clear and strange", (CLEAR, STRANGE["id"]), NOBODY),
        Case("near green", (NEAR_GREEN,), NOBODY),
        Case("clear and near clear", (CLEAR, NEAR_CLEAR), NOBODY),
        # two levels: the stricter holds
        Case("clear and red", (CLEAR, RED), NOBODY, own=False),
        Case("clear and green", (CLEAR, GREEN), COMMUNITY),
        Case("green and amber", (GREEN, AMBER), NOBODY),
        Case("white 1 and strict", (WHITE_1, STRICT), NOBODY),
        # audiences
        Case("clear for vn", (CLEAR, FOR_VN["id"]), just("vn")),
        Case("green for vn", (GREEN, FOR_VN["id"]), just("vn")),
        Case("amber for vn", (AMBER, FOR_VN["id"]), just("vn")),
        Case("strict for vn", (STRICT, FOR_VN["id"]), just("vn")),
        Case("red for vn", (RED, FOR_VN["id"]), NOBODY, own=False),
        Case("amber for us", (AMBER, FOR_TH["id"]), just("need")),
        Case("strict for us", (STRICT, FOR_TH["id"]), NOBODY),
        Case("amber for plain", (AMBER, FOR_PLAIN["id"]), just("plain")),
        Case("strict for plain", (STRICT, FOR_PLAIN["id"]), just("plain")),
        Case("clear for the public", (CLEAR, FOR_PUBLIC["id"]), NOBODY),
        Case("amber for kh and low", (AMBER, FOR_KH["id"]), NOBODY),
        Case("clear for kh and low", (CLEAR, FOR_KH["id"]), just("low")),
        Case("amber for jp's identity", (AMBER, FOR_JP_ID["id"]), just("jp")),
        Case("unmarked for vn", (FOR_VN["id"],), just("vn")),
        Case("green for nobody", (GREEN, FOR_NOBODY["id"]), NOBODY),
        Case("clear for nobody", (CLEAR, FOR_NOBODY["id"]), NOBODY),
        Case("green but vn", (GREEN, BUT_VN["id"]), COMMUNITY - {"vn"}),
        Case(
            # `other` is a client of vn, and the public cannot leave anyone out.
            "clear but vn",
            (CLEAR, BUT_VN["id"]),
            just("sg", "jp", "need", "plain", "low"),
        ),
        Case("amber but jp", (AMBER, BUT_JP["id"]), NOBODY),
        Case("for vn but vn", (GREEN, FOR_VN["id"], BUT_VN["id"]), NOBODY),
        Case("for vn and jp", (AMBER, FOR_VN_JP["id"]), just("vn", "jp")),
        Case("for vn, jp and jp", (AMBER, FOR_VN_JP["id"], FOR_JP["id"]), just("jp")),
        Case("for vn and for jp", (AMBER, FOR_VN["id"], FOR_JP["id"]), NOBODY),
        Case("amber for a circle", (AMBER, FOR_CIRCLE["id"]), just("vn", "jp")),
        Case("green for a strange circle", (GREEN, FOR_STRANGE["id"]), NOBODY),
        # parts
        Case("green with red in it", (GREEN,), NOBODY, own=False, more=granular(RED)),
        Case("clear with green in it", (CLEAR,), COMMUNITY, more=granular(GREEN)),
        Case("clear with strange in it", (CLEAR,), NOBODY, more=granular(NOT_HELD)),
        Case(
            "clear with vn's in it", (CLEAR,), just("vn"), more=granular(FOR_VN["id"])
        ),
        # a later version
        Case("narrowed", (CLEAR,), NOBODY, own=False, later=(RED,)),
        Case("narrowed to vn", (GREEN,), just("vn"), later=(AMBER, FOR_VN["id"])),
        Case("widened", (RED,), EVERY, later=(CLEAR,)),
    ]
    for case in made:
        secret = uuid.uuid4().hex
        case.made = {
            "type": "indicator",
            "spec_version": "2.1",
            "id": new_id("indicator"),
            "created": DAYS[0],
            "modified": DAYS[0],
            "name": f"{case.name} {secret}",
            "pattern": f"[domain-name:value = 'h{uuid.uuid4().hex}.example']",
            "pattern_type": "stix",
            "valid_from": DAYS[0],
            **({"object_marking_refs": list(case.marks)} if case.marks else {}),
            **case.more,
        }
    return made


@dataclass
class World:
    """A node th that holds every case, and a caller of each party."""

    node: Node
    cases: list[Case]
    share: Share
    callers: dict[str, Caller]
    collections: dict[str, Collection]

    def may_have(self, party: str) -> list[Case]:
        return [
            case
            for case in self.cases
            if (case.own if party == "th" else party in case.may_have)
        ]

    def may_not_have(self, party: str) -> list[Case]:
        allowed = {case.name for case in self.may_have(party)}
        return [case for case in self.cases if case.name not in allowed]

    def leaked(self, party: str, handed: bytes) -> list[str]:
        """Name what stands in `handed` and may not."""
        found = [
            case.name
            for case in self.may_not_have(party)
            if any(secret in handed for secret in case.secrets)
        ]
        # Whom an audience names is for those whom it admits, a circle's name for us.
        if party not in {"th", "vn", "jp", "plain"} and QUIET.encode() in handed:
            found.append("whom an audience names")
        if party != "th" and CIRCLE_NAME.encode() in handed:
            found.append("the name of a circle")
        return found

    def given(self, handed: bytes) -> list[str]:
        """Name the cases whose ids stand in `handed`."""
        return [case.name for case in self.cases if case.made["id"].encode() in handed]

    def close(self) -> None:
        self.node.close()


def make_world(
    home: Path, store_url: str = "", http: HttpSection | None = None
) -> World:
    """Found the node, and load every case in an order in which all can go wrong."""
    config = NodeConfig(
        home=home if store_url else with_tables(home),
        node=NodeSection(member="th", team="ThaiCERT"),
        store=StoreSection(url=store_url),
        http=http or HttpSection(),
    )
    node = Node(config)
    everyone = Access(read=(EVERYONE,))
    with node.db.write() as tx:
        for party in PARTIES.values():
            node.registry.put_party(tx, party)
        node.registry.put_circle(tx, CIRCLE_NAME, ["vn", "jp"], circle_id=CIRCLE_ID)
        put = node.registry.put_collection
        put(tx, "released", "All", access=everyone)
        put(tx, "indicators", "I", access=everyone, query=Query(types=("indicator",)))
        put(tx, "open", "Up to green", access=everyone, query=Query(up_to="GREEN"))
        put(tx, "reports", "R", access=everyone, query=Query(types=("report",)))
        box = put(
            tx,
            "box",
            "Box",
            box=True,
            access=Access(read=(EVERYONE,), write=(EVERYONE,)),
        )
        put(tx, "shut", "Shut", box=True, access=Access(read=("kind:own",)))
        collections = {held.alias: held for held in node.registry.collections(tx)}
        callers = {
            name: Caller(f"user-{name}", number, party, "writer")
            for name, (number, party) in node.registry.parties(tx).items()
        }
    world = World(node, cases(), Share(node), callers, collections)
    load(node, [case.made for case in world.cases[::2]], box=box.number)
    # Definitions come in the middle: some objects waited for theirs.
    load(node, AUDIENCES, box=box.number)
    load(node, [case.made for case in world.cases[1::2]], box=box.number)
    load(
        node,
        [
            {**case.made, "modified": DAYS[1], "object_marking_refs": list(case.later)}
            for case in world.cases
            if case.later
        ],
    )
    return world


def load(node: Node, objects: list[dict[str, Any]], *, box: int = 0) -> None:
    pieces = [
        Piece(ordinal=place, offset=0, line=place, raw=orjson.dumps(one))
        for place, one in enumerate(objects, start=1)
    ]
    report = Intake(node).take(pieces, origin="world", boxes=(box,) if box else ())
    assert (report.new, report.refused) == (len(objects), 0), report.faults


# What a party is handed, as one function a way.
Way = Callable[["World", str], bytes]


def pages(world: World, party: str, name: str = "released", **asked: object) -> bytes:
    """All pages of a collection for a party, one after the other."""
    handed, after = b"", -1
    while True:
        page = world.share.page(
            world.callers[party],
            world.collections[name],
            Asked(after=after, limit=7, **asked),  # type: ignore[arg-type]
            way="test",
        )
        handed += page.bodies
        if not page.more:
            return handed
        after = page.after


def lines(world: World, party: str, name: str = "released", **asked: object) -> bytes:
    handed: bytes = b""
    after: int | None = -1
    while after is not None:
        found, after = world.share.lines(
            world.callers[party],
            world.collections[name],
            Asked(after=after, limit=7, **asked),  # type: ignore[arg-type]
            way="test",
        )
        handed += repr(found).encode()
    return handed


def one_by_one(read: Callable[..., bytes]) -> Way:
    """Ask for each object by its id."""

    def way(world: World, party: str) -> bytes:
        return b"".join(
            read(world, party, ids=(case.made["id"],), all_versions=True)
            for case in world.cases
        )

    return way


WAYS: dict[str, Way] = {
    "pages": pages,
    "pages of all versions": lambda w, p: pages(w, p, all_versions=True),
    "pages of first versions": lambda w, p: pages(w, p, first=True, last=False),
    "pages of versions by time": lambda w, p: pages(
        w, p, last=False, at=tuple(instant(day) for day in DAYS)
    ),
    "pages by type": lambda w, p: pages(w, p, types=("indicator", "report")),
    "objects by id": one_by_one(pages),
    "all ids in one question": lambda w, p: pages(
        w, p, ids=tuple(case.made["id"] for case in w.cases)
    ),
    "versions": one_by_one(lines),
    "manifest": lines,
    "manifest of all versions": lambda w, p: lines(w, p, all_versions=True),
    "a box": lambda w, p: pages(w, p, "box", all_versions=True),
    "a manifest of a box": lambda w, p: lines(w, p, "box"),
    "a saved query": lambda w, p: pages(w, p, "indicators"),
    "a bundle": lambda w, p: written(w, p, "bundle"),
    "MISP events": lambda w, p: written(w, p, "misp_file"),
}


def written(world: World, party: str, what: str) -> bytes:
    stream = io.BytesIO()
    if party == "th":
        return pages(world, party)
    getattr(Handout(world.node, "ann"), what)(party, stream, "released")
    return stream.getvalue()
