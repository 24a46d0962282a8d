"""A node in the middle of a night shift: something on every page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from samples import made
from serantau.desk.case_assist import Assistance
from serantau.desk.case_private import Private
from serantau.desk.cases import Casework
from serantau.desk.lane import Lane, Told
from serantau.desk.lane_work import Worker
from serantau.desk.notice_rows import tell
from serantau.desk.notify import Notify
from serantau.node import Node
from serantau.records.assets import Assets
from serantau.records.contacts import Contacts
from serantau.rules.asset import Asset
from serantau.rules.asset import Kind as AssetKind
from serantau.rules.contact import Contact
from serantau.rules.contact import Kind as ContactKind
from serantau.rules.marking import TLP_2_IDS, Tlp
from serantau.rules.party import Kind, Party
from serantau.testing import Region

NIGHT = "2026-03-05T19:00:00Z"
_DAY = "2026-03-05"
_HEAD = "time,source_address,source_domain,type,malware,severity,identifier"
_RISKS = ("infected-system", "phishing", "vulnerable-system", "c2-server")


@dataclass
class Night:
    """th at night, in a region with sg and jp. asked: a case that waits for th."""

    region: Region
    node: Node
    case: str
    asked: str
    evidence: list[str]


def _indicator(number: int, name: str, level: Tlp) -> dict[str, object]:
    return made(
        "indicator",
        name=name,
        pattern=f"[domain-name:value = 'login{number}.bank-th.example']",
        pattern_type="stix",
        valid_from="2026-01-01T00:00:00Z",
        description="Pages that ask for the one-time password of a bank.",
        labels=["phishing"],
        object_marking_refs=[TLP_2_IDS[level]],
    )


def _report() -> bytes:
    lines = [_HEAD]
    for n in range(240):
        at = f"{_DAY}T{n % 19:02}:{n % 60:02}:00Z"
        risk = _RISKS[n % len(_RISKS)]
        lines.append(f"{at},11.22.{33 + n % 3}.{n},,{risk},qakbot,high,sinkhole")
    return "\n".join(
        [*lines, f"{_DAY}T11:58:00Z,1.2.3,,phishing,,,no address", ""]
    ).encode()


def _rows(node: Node) -> None:
    with node.db.write() as tx:
        bank = Party("bank", Kind.OPERATOR, title="Siam Bank", client_of="th")
        node.registry.put_party(tx, bank)
        Assets().add(tx, Asset("bank", "th", AssetKind.PREFIX, "11.22.33.0/24"))
        mail = Contact("bank", ContactKind.MAIL, "noc@bank.example", language="th")
        Contacts().put(tx, mail, node.seal)
    lane = Lane(node)
    lane.add(BytesIO(_report()), Told("drone", "serantau-csv", name="drone.csv"))
    while Worker(lane).once():
        pass
    tell(node, Notify(node, "the worker"), _DAY)


@contextmanager
def night_desk(folder: Path) -> Iterator[Night]:
    """Open the region, with a case of th's own and one in which sg asks th."""
    with Region(folder, ["th", "sg"], partners=["jp"], start=NIGHT) as region:
        region.mesh()
        th, node = region["th"], region["th"].node
        names = ("ธนาคารปลอม", "Fake bank", "Kit of the fake bank", "Backend")
        levels = (Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER, Tlp.AMBER_STRICT)
        objects = [
            _indicator(place, name, level)
            for place, (name, level) in enumerate(zip(names, levels, strict=True))
        ]
        assert not th.load(objects).refused
        assert th.load([{"type": "indicator", "id": "no id"}]).refused
        work = Casework(node)
        case = work.open(
            "Fake pages of banks ธนาคารปลอม",
            ["sg", "jp"],
            severity_level="high",
            description="Customers of three banks are asked for one-time passwords.",
            incident_class="fraud:phishing",
        ).id
        evidence = [str(one["id"]) for one in objects]
        work.add_evidence(case, evidence, "from the banks")
        work.add_task(case, "Take the pages down", "sg")
        region.sync()
        Casework(region["sg"].node).acknowledge(case, "รับทราบ")
        asked = Casework(region["sg"].node).open("Botnet in three states", ["th"]).id
        region.sync()
        Assistance(region["sg"].node).ask(asked, "Image of the host", ["th"])
        region.sync()
        private = Private(node)
        private.note(case, "The second bank has not called back.")
        _rows(node)
        yield Night(region, node, case, asked, evidence)
