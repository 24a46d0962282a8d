"""A node with cases, people and guests, for tests of the pages about cases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from samples import made
from serantau.desk.case_assist import Assistance
from serantau.desk.case_private import Private
from serantau.desk.cases import Casework
from serantau.records.sessions import Person
from serantau.rules.marking import TLP_2_IDS, Tlp, make_audience
from serantau.rules.party import Kind
from serantau.testing import Region
from visitors import Pages, Visitor, pages_of

SECRETS = ("privatenotecanary", "privatetaskcanary", "privatefilecanary", "bodycanary")
HOSTILE = '<script>alert(1)</script> "onx=" \u202egnp.exe http://evil.example/x'
GREEN, STRICT = TLP_2_IDS[Tlp.GREEN], TLP_2_IDS[Tlp.AMBER_STRICT]
FOR_JP = make_audience(named=["jp"])


def indicator(word: str, *marks: str) -> dict[str, object]:
    return made(
        "indicator", name=f"{word} seen", pattern=f"[domain-name:value = '{word}.sg']",
        pattern_type="stix", valid_from="2026-01-01T00:00:00Z",
        object_marking_refs=[*marks],
    )  # fmt: skip


@dataclass
class Desk:
    """th in a region with sg and jp, and a case that all of them are in."""

    region: Region
    pages: Pages
    case: str
    other: str
    evidence: list[str]

    def visitor(self, role: str, **more: object) -> Visitor:
        """Somebody of a role, signed in anew under a name of its own."""
        self.region.clock.advance(seconds=1)
        name = f"{role}-{self.region.clock.now()}"
        return self.pages.visitor(name, role, **more)

    def guest(self, party: str = "jp", case: str = "") -> Visitor:
        person = Person(scope=case or self.case)
        return self.visitor("guest", party=party, person=person)


@contextmanager
def case_desk(folder: Path) -> Iterator[Desk]:
    with Region(folder, ["th", "sg"], partners=["jp"]) as region:
        region.mesh()
        th, node = region["th"], region["th"].node
        th.party("my-secret-nickname", kind=Kind.MEMBER)
        th.party("kh", blocked=True)
        for_jp = indicator("forjp", STRICT, FOR_JP["id"])
        objects = [indicator("everybodys", GREEN), for_jp, indicator("nobodys", STRICT)]
        assert not th.load([FOR_JP, *objects]).refused
        work = Casework(node)
        case = work.open(
            HOSTILE, ["sg", "jp", "my-secret-nickname"], severity_level="high",
            description=HOSTILE, incident_class="fraud:phishing",
        ).id  # fmt: skip
        evidence = [str(one["id"]) for one in objects]
        work.add_evidence(case, evidence, "from the bank")
        work.add_task(case, HOSTILE, "sg")
        region.sync()
        Casework(region["sg"].node).acknowledge(case, "รับทราบ")
        Assistance(region["sg"].node).ask(case, "Image of the host", ["th"])
        region.sync()
        private = Private(node)
        private.note(case, SECRETS[0])
        private.add_task(case, SECRETS[1])
        private.add_file(case, SECRETS[2], SECRETS[3].encode())
        other = work.open("Of othercanary", ["sg"]).id
        with pages_of(node) as pages:
            yield Desk(region, pages, case, other, evidence)
