"""Exports of cases: what a party may have, in every form, and never anything else."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import orjson
import pypdfium2
import pytest

from serantau.desk.case_assist import Assistance
from serantau.desk.case_export import EXPORT, Export, Exporter, Form
from serantau.desk.case_paper import Era, Language
from serantau.desk.case_private import Private
from serantau.desk.cases import Casework
from serantau.desk.contacts import Contacts
from serantau.errors import Forbidden
from serantau.records.ledger import Released
from serantau.rules.card import Card, Duty
from serantau.rules.marking import (
    TLP_2_IDS,
    Tlp,
    audience_extension_objects,
    make_audience,
)
from serantau.rules.party import Kind, Purpose
from serantau.testing import Region, Site
from serantau.wire.iodef import NAMESPACE

AT = "2026-01-01T00:00:00.000Z"
KINDS = {
    "sg": Kind.MEMBER,
    "secretariat": Kind.COORDINATOR,
    "partner-with-nickname": Kind.PARTNER,
    "waterworks": Kind.OPERATOR,
}
NAMED = make_audience(named=[*KINDS])
NOBODY = make_audience(named=["vn"])
# How an object is marked, and the kinds of party that may have it: by hand, from TLP.
COMMUNITY = {Kind.MEMBER, Kind.COORDINATOR, Kind.PARTNER}
MARKS: dict[str, tuple[list[str], set[Kind]]] = {
    "clearword": ([TLP_2_IDS[Tlp.CLEAR]], {*KINDS.values()}),
    "greenword": ([TLP_2_IDS[Tlp.GREEN]], COMMUNITY),
    "amberword": ([TLP_2_IDS[Tlp.AMBER]], set()),
    "strictword": ([TLP_2_IDS[Tlp.AMBER_STRICT]], set()),
    "redword": ([TLP_2_IDS[Tlp.RED]], set()),
    "nolevelword": ([], set()),
    "ambernamedword": ([TLP_2_IDS[Tlp.AMBER], NAMED["id"]], {*KINDS.values()}),
    "strictnamedword": ([TLP_2_IDS[Tlp.AMBER_STRICT], NAMED["id"]], {*KINDS.values()}),
    "rednamedword": ([TLP_2_IDS[Tlp.RED], NAMED["id"]], set()),
    "othersword": ([TLP_2_IDS[Tlp.GREEN], NOBODY["id"]], set()),
}
PRIVATE = ("privatenote", "privatetask", "privatefile", "privatebody")
HOSTILE = (
    '<script>alert(1)</script> ]]> <!-- & [x](http://evil.example/a) `#read("/etc")` '
    "#panic() $x$ \x1b[31m\u202egnp.exe\u2066 @all\n# heading\n- item\n1. one\n"
    "| a | b |"
)


def indicator(number: int, word: str, marks: list[str]) -> dict[str, Any]:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--00000000-0000-4000-8000-{number:012d}",
        "created": AT,
        "modified": AT,
        "name": f"{word} seen",
        "pattern": f"[domain-name:value = '{word}.example']",
        "pattern_type": "stix",
        "valid_from": AT,
        **({"object_marking_refs": marks} if marks else {}),
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """th, with a case that parties of every kind are in, and evidence of all levels."""
    with Region(tmp_path_factory.mktemp("export"), ["th", "vn"]) as region:
        th = region["th"]
        for name, kind in KINDS.items():
            th.party(name, kind=kind)
        evidence = [
            indicator(number, word, marks)
            for number, (word, (marks, _)) in enumerate(MARKS.items())
        ]
        loaded = th.load([*audience_extension_objects(), NAMED, NOBODY, *evidence])
        assert not loaded.refused, loaded.faults
        yield th


@pytest.fixture(scope="module")
def case(site: Site) -> str:
    work = Casework(site.node)
    said = {"description": HOSTILE, "severity_level": "high"}
    case = work.open("Phishing kit", [*KINDS], **said).id
    ids = [f"indicator--00000000-0000-4000-8000-{n:012d}" for n in range(len(MARKS))]
    work.add_evidence(case, ids, "from the bank")
    work.add_task(case, HOSTILE[:200].replace("\n", " "), "sg")
    Assistance(site.node).ask(case, "Image of the host", ["sg"], limits="no names")
    private = Private(site.node)
    private.note(case, "privatenote")
    private.add_task(case, "privatetask")
    private.add_file(case, "privatefile", b"privatebody")
    return case


def log(site: Site, name: str = "") -> list[Released]:
    with site.node.db.read() as tx:
        party = site.node.registry.party(tx, name)[0] if name else None
        return site.node.ledger.log(tx, party=party, since=0, after=0, limit=1000)


def export(site: Site, case: str, party: str, form: Form, **how: Any) -> Export:
    return Exporter(site.node, "ann").export(case, party, form, **how)


def text_of(made: Export) -> str:
    """Everything that can be read in an export."""
    if made.form is not Form.PDF:
        return made.content.decode()
    pages = pypdfium2.PdfDocument(made.content)
    return "".join(page.get_textpage().get_text_bounded() for page in pages)


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("party", list(KINDS))
def test_what_a_party_may_not_have_never_leaves_by_an_export(
    site: Site, case: str, party: str, form: Form
) -> None:
    made = export(site, case, party, form)
    text = text_of(made)
    for word, (_, may) in MARKS.items():
        assert (word in text) == (KINDS[party] in may), word
    for word in PRIVATE:
        assert word not in text
        assert word.encode() not in made.content
    # Who else gets what, and how many, is for the exporter alone.
    withheld = sum(KINDS[party] not in may for _, may in MARKS.values())
    # The definitions of our extensions are for the community, which it is not in.
    definitions = 2 if party == "waterworks" else 0
    assert sum(made.withheld.values()) == withheld + definitions
    assert not [rule for rule in made.withheld if rule in text]
    # What only this node calls a party by is not said, nor is its circle's name.
    own = {"partner-with-nickname", "waterworks", "secretariat"}
    raw = form is Form.STIX  # there the audience that names them is an object
    assert raw or not [name for name in own if name in text]


@pytest.mark.parametrize("form", list(Form))
def test_a_case_never_leaves_by_an_export_to_whom_is_not_in_it_or_is_barred(
    site: Site, case: str, form: Form
) -> None:
    before = len(log(site))
    site.party("stranger", kind=Kind.PARTNER)
    site.party("public", kind=Kind.PUBLIC, identity="")
    for party, change, back in (
        ("vn", {}, {}),
        ("stranger", {}, {}),
        ("public", {}, {}),
        ("sg", {"blocked": True}, {"blocked": False}),
        ("sg", {"ceiling": Tlp.GREEN}, {"ceiling": None}),
        ("sg", {"until": 1}, {"until": None}),
    ):
        site.party(party, **change)
        with pytest.raises(Forbidden, match="may not have this case"):
            export(site, case, party, form)
        site.party(party, **back)
    with pytest.raises(Forbidden, match="purpose-not-allowed"):
        export(site, case, "sg", form, purpose=Purpose.LAW_ENFORCEMENT)
    assert len(log(site)) == before


@pytest.mark.parametrize("level", ["CLEAR", "GREEN", "AMBER", "AMBER+STRICT"])
def test_a_case_of_any_level_never_leaves_by_an_export_to_whom_was_not_invited(
    site: Site, level: str
) -> None:
    fresh = Casework(site.node).open("Closed shop", ["sg"], level=level).id
    site.party("public", kind=Kind.PUBLIC, identity="")
    before = len(log(site))
    for party in ("vn", "secretariat", "partner-with-nickname", "waterworks", "public"):
        for form in Form:
            with pytest.raises(Forbidden, match="may not have this case"):
                export(site, fresh, party, form)
    assert len(log(site)) == before
    said = export(site, fresh, "sg", Form.MARKDOWN).content.decode()
    assert said.startswith(f"**TLP:{level}**")


def test_what_is_exported_is_in_the_release_log_with_its_purpose(
    site: Site, case: str
) -> None:
    before = len(log(site, "sg"))
    looked = export(site, case, "sg", Form.STIX, look=True)
    assert (looked.content, len(log(site, "sg"))) == (b"", before)
    made = export(site, case, "sg", Form.STIX)
    row = log(site, "sg")[-1]
    assert (row.way, row.purpose, row.actor) == (EXPORT, "defence", "ann")
    assert row.request == f"case {case} as stix"
    objects = orjson.loads(made.content)["objects"]
    assert row.count == len(objects) == made.entries + made.objects
    kinds = {one["type"] for one in objects}
    assert {"case-entry", "incident", "indicator", "marking-definition"} <= kinds
    with site.node.db.read() as tx:
        held = site.node.search.versions(tx, case)[0].body
    assert held in made.content


def test_what_a_recall_reaches_never_leaves_by_an_export(site: Site, case: str) -> None:
    work = Casework(site.node)
    fresh = work.open("Another", ["sg"]).id
    made = indicator(99, "recalledword", [TLP_2_IDS[Tlp.CLEAR]])
    site.load([made])
    work.add_evidence(fresh, [made["id"]])
    assert b"recalledword" in export(site, fresh, "sg", Form.MISP).content
    with site.node.db.write() as tx:
        site.node.objects.delete(tx, made["id"])
    gone = export(site, fresh, "sg", Form.MISP)
    assert (b"recalledword" in gone.content, gone.absent) == (False, 1)


# --- IODEF

# RFC 7970 §3: what is in a class, in order; what it must have, with *.
ORDER = {
    "IODEF-Document": "Incident*",
    "Incident": "IncidentID* StartTime EndTime ReportTime GenerationTime* Description "
    "Assessment Contact* EventData IndicatorData History AdditionalData",
    "Assessment": "IncidentCategory BusinessImpact*",
    "Contact": "ContactName ContactTitle Email Telephone Contact",
    "EventData": "Description Flow AdditionalData",
    "IndicatorData": "Indicator*",
    "Indicator": "IndicatorID* Description StartTime EndTime Confidence Observable* "
    "AdditionalData",
    "History": "HistoryItem*",
    "HistoryItem": "DateTime* Contact Description AdditionalData",
    "Email": "EmailTo*",
    "Telephone": "TelephoneNumber*",
}
ATTRIBUTES = {
    "IODEF-Document": {"version"},
    "Incident": {"purpose"},
    "IncidentID": {"name"},
    "IndicatorID": {"name", "version"},
    "Contact": {"role", "type"},
    "HistoryItem": {"action"},
    "AdditionalData": {"dtype"},
}


def checked(one: ElementTree.Element) -> None:
    name = one.tag.removeprefix(f"{{{NAMESPACE}}}")
    assert ATTRIBUTES.get(name, set()) <= one.attrib.keys(), name
    inside = [each.tag.removeprefix(f"{{{NAMESPACE}}}") for each in one]
    if name in ORDER:
        order = ORDER[name].replace("*", "").split()
        assert inside == sorted(inside, key=order.index), name
        needed = {each[:-1] for each in ORDER[name].split() if each.endswith("*")}
        assert needed <= {*inside}, name
    for each in one:
        checked(each)


def found(root: ElementTree.Element, path: str) -> list[ElementTree.Element]:
    return root.findall("/".join(f"{{{NAMESPACE}}}{name}" for name in path.split("/")))


def test_iodef_has_what_rfc_7970_demands_and_only_cards_that_may_be_seen(
    site: Site, case: str
) -> None:
    contacts = Contacts(site.node)
    for name, how in (
        ("Duty desk", {"parties": ["sg"]}),
        ("Secret source", {}),
        ("Red phone", {"parties": ["sg"], "level": "RED"}),
    ):
        card = Card(
            name=name, party="th", person=False, duties=(Duty.ALWAYS,),
            mail=("desk@cert.example",), phones=("+6621234567",), source="us",
        )  # fmt: skip
        contacts.put(card, **how)
    made = export(site, case, "sg", Form.IODEF)
    root = ElementTree.fromstring(made.content)  # noqa: S314 - it is our own
    checked(root)
    (incident,) = root
    assert incident.attrib["restriction"] == "amber"
    (number,) = found(root, "Incident/IncidentID")
    assert number.text == case
    said = [each.text for each in found(root, "Incident/Contact/Contact/ContactName")]
    assert said == ["Duty desk"]
    assert [e.text for e in found(root, "Incident/Contact/Contact/Email/EmailTo")] == [
        "desk@cert.example"
    ]
    names = found(root, "Incident/IndicatorData/Indicator/Observable/DomainData/Name")
    assert "clearword.example" in {name.text for name in names}
    items = found(root, "Incident/History/HistoryItem")
    assert len(items) == made.entries
    text = made.content.decode()
    assert "<U+202E>" in (found(root, "Incident/Description")[1].text or "")
    assert not {c for c in text if unicodedata.category(c) == "Cc"} - {"\n"}
    assert "Secret source" not in text
    assert "Red phone" not in text


# --- MISP


def test_a_misp_event_is_marked_as_strictly_as_the_case_whose_log_it_tells(
    site: Site, case: str
) -> None:
    work = Casework(site.node)
    clear = "indicator--00000000-0000-4000-8000-000000000000"
    fresh = work.open("Clear evidence", ["sg"], level="CLEAR").id
    work.add_evidence(fresh, [clear])
    bare = work.open("No evidence", ["sg"]).id
    for name in (case, fresh, bare):
        event = orjson.loads(export(site, name, "sg", Form.MISP).content)["Event"]
        levels = [t["name"] for t in event["Tag"] if t["name"].startswith("tlp:")]
        # MISP has no tag for an audience: the receiver's organisation alone.
        assert levels == ["tlp:amber+strict"]
        (report,) = event["EventReport"]
        assert report["content"].startswith("**TLP:")
    again = orjson.loads(export(site, bare, "sg", Form.MISP).content)["Event"]
    assert again["uuid"] == event["uuid"]


# --- papers


def test_a_paper_tells_times_in_both_zones_and_counts_years_as_asked(
    site: Site, case: str
) -> None:
    plain = text_of(export(site, case, "sg", Form.MARKDOWN))
    assert "Asia/Singapore" in plain
    assert "2026-01-01 00:00 UTC | 2026-01-01 08:00 +08:00" in plain
    assert "Singapore (sg)" in plain
    thai = {"lang": Language.THAI, "era": Era.BUDDHIST}
    said = text_of(export(site, case, "sg", Form.MARKDOWN, **thai))
    assert "1 ม.ค. พ.ศ. 2569 00:00 UTC" in said
    assert "2026" not in said
    said = text_of(export(site, case, "sg", Form.MARKDOWN, lang=Language.THAI))
    assert "คริสต์ศักราช" in said
    assert "พ.ศ. 25" not in said


def test_a_paper_tells_what_became_of_a_case_and_what_was_corrected(
    site: Site,
) -> None:
    work = Casework(site.node)
    fresh = work.open("Kit", ["sg"]).id
    site.party("sg", kind=Kind.MEMBER)
    said = {"incident_class": "fraud:phishing", "national_class": "ระดับ 2"}
    work.assess(fresh, **said, description="seen in three banks")
    work.hand_over(fresh, "sg")
    work.embargo(fresh, "propose", site.node.clock.now() + 10**12)
    work.correct(fresh, fresh, name="Kit, two")
    (shown, thai) = (
        text_of(export(site, fresh, "sg", Form.MARKDOWN, lang=lang))
        for lang in Language
    )
    assert "# Kit, two" in shown
    assert "offered to Singapore (sg)" in shown
    assert "fraud:phishing" in shown
    assert "ระดับ 2" in shown
    assert "Kit, two; corrected" in shown
    assert "proposed, until 2026-01-12" in shown
    assert "แก้ไขแล้ว" in thai
    work.close(fresh, "taken down")
    assert "closed, 2026-01-01" in text_of(export(site, fresh, "sg", Form.MARKDOWN))


def test_a_thai_pdf_can_be_searched(site: Site, case: str) -> None:
    made = export(site, case, "sg", Form.PDF, lang=Language.THAI)
    text = "".join(text_of(made).split()).replace("\u200b", "")
    assert "ผู้ร่วมดำเนินการและสถานะ" in text
    assert "เอกสารนี้มีเฉพาะข้อมูลที่ผู้รับมีสิทธิ์ได้รับ" in text
    # Nothing of what others wrote is code, or turns the order of letters.
    assert '#read("/etc")' in text
    assert "#panic()" in text
    assert "<U+202E>gnp[.]exe" in text
