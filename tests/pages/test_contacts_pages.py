"""Contact cards at the pages: who sees them, who changes them, and what is drilled."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from doors import furnish
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.card_rota import read_rota, write_rota
from serantau.desk.contacts import Contacts, Held
from serantau.desk.found import Charter, found
from serantau.node import Node
from serantau.records.acts import decided_by, readers
from serantau.records.audit import Period
from serantau.rules.card import Card, Duty
from visitors import Pages, pages_of

HOSTILE = "<script>alert(1)</script>"
DESK = Card(
    "Duty desk",
    "sg",
    person=False,
    duties=(Duty.ALWAYS,),
    mail=("duty@sg.example",),
    phones=("+6561234567",),
    languages=("en", "zh-Hant"),
    zone="Asia/Singapore",
    source="a call",
)
FIELDS = {
    "name": "สมหญิง รักดี",
    "party": "id",
    "is": "person",
    "duties": ["technical", "sector"],
    "sector": "banking",
    "phones": "+62 21 123 4567",
    "mail": "one@id.example\ntwo@id.example",
    "languages": "id, en",
    "zone": "Asia/Jakarta",
    "source": "a letter",
    "verified": "2026-02-28",
    "confidence": "80",
}
ROTA = """
[[shift]]
person = "Mei \\"Night\\" \\\\ Lin"
days = ["mon", "holiday"]
begin = "20:00"
end = "08:00"
[[override]]
person = "Duty lead"
begin = 2026-03-05T00:00:00Z
end = 2026-03-06T00:00:00Z
[holidays]
"2026-04-13" = "Songkran"
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    home: Path = tmp_path_factory.mktemp("contacts") / "th"
    found(home, Charter("th", "ThaiCERT"), SetClock("2026-01-01T00:00:00Z"))
    with Node(load_config(home), SetClock("2026-03-01T02:00:00Z")) as node:
        furnish(node)
        with node.db.write() as tx:
            for role in ("analyst", "lead", "coordinator", "policy", "operator"):
                node.registry.add_user(tx, f"the-{role}", "th", role)
        cards = Contacts(node)
        cards.put(DESK)
        cards.put(
            replace(
                DESK,
                name=HOSTILE,
                party="id",
                phones=(),
                zone="Asia/Jakarta",
                mail=("old@id.example",),
                remark=f"{HOSTILE}\n" * 100,
            )
        )
        own = replace(DESK, name="Our desk", party="th", mail=("cert@th.example",))
        cards.put(own)
        with pages_of(node) as pages:
            yield pages


def _card(pages: Pages, name: str) -> Held:
    return Contacts(pages.node).find(name)


def test_the_book_tells_who_is_on_call_there_now(pages: Pages) -> None:
    said = pages.visitor("the-policy").read("/contacts")
    assert re.search(r"10:00 \+08 2026-03-01 sg Duty desk Stale \+6561234567", said)
    assert "09:00 WIB 2026-03-01 id" in said
    only = pages.visitor("the-policy").read("/contacts?party=id&q=old%40id")
    assert "1 old@id.example" not in only
    assert "Duty desk" not in only
    empty = pages.visitor("the-policy").read("/contacts?q=%00nobody")
    assert "No cards here." in empty


def test_a_reading_of_a_card_is_in_the_log_by_its_id(pages: Pages) -> None:
    card = _card(pages, "Duty desk").card.id
    assert "Duty desk" in pages.visitor("the-lead").read(f"/contacts/card/{card}")
    with pages.node.db.read() as tx:
        told = readers(tx, card, Period())
    assert ("the-lead", "page", "contacts show") in {
        (one.actor, one.way, one.what) for one in told
    }


def test_hostile_names_stay_words_on_every_page_of_contacts(pages: Pages) -> None:
    boss = pages.visitor("boss")
    card = _card(pages, HOSTILE).card.id
    for path in (
        "/contacts",
        f"/contacts/card/{card}",
        f"/contacts/card/{card}/edit",
        "/contacts/new?party=%22%3E%3Cscript%3E",
        "/contacts/drill",
        "/contacts/papers",
        "/contacts/import",
    ):
        answer = boss.get(path)
        assert answer.status_code == 200, path
        assert HOSTILE not in answer.text


def test_who_may_not_see_or_change_cards_gets_nothing(pages: Pages) -> None:
    card = f"/contacts/card/{_card(pages, 'Duty desk').card.id}"
    for name in ("wei", "the-operator"):
        for path in ("/contacts", card, "/contacts/export", "/contacts/drill"):
            answer = pages.visitor(name).get(path)
            assert answer.status_code == 403
            assert "duty@sg" not in answer.text
    for name, verbs in (
        ("the-policy", ("edit", "rota", "verify", "share", "erase")),
        ("the-analyst", ("share", "erase")),
    ):
        for verb in verbs:
            assert pages.visitor(name).send(f"{card}/{verb}").status_code == 403
    assert pages.visitor("the-analyst").send("/contacts/drill").status_code == 403
    assert pages.visitor("the-policy").send("/contacts/import").status_code == 403


def test_a_card_is_written_changed_and_stays_here(pages: Pages) -> None:
    one = pages.visitor("the-analyst")
    sent = one.send("/contacts/new", **FIELDS)
    assert sent.status_code == 303
    held = _card(pages, FIELDS["name"])  # type: ignore[arg-type]
    assert held.card.duties == (Duty.TECHNICAL, Duty.SECTOR)
    assert held.card.phones == ("+62211234567",)
    assert held.card.mail == ("one@id.example", "two@id.example")
    assert "TLP:AMBER" in held.marking

    path = f"/contacts/card/{held.card.id}"
    assert one.send(f"{path}/edit", **{**FIELDS, "title": "Lead"}).status_code == 303
    after = _card(pages, held.card.id)
    assert (after.card.title, after.created) == (
        "Lead",
        held.created,
    )
    assert after.refs == held.refs


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("phones", "021 123 4567", "no phone number"),
        ("mail", "javascript:alert(1)", ""),
        ("sector", "", "sector"),
        ("name", "", "This is needed."),
        ("name", "x" * 10_000, "At most 300"),
        ("name", "turn\u202eed", ""),
        ("zone", "Mars/Olympus", ""),
        ("party", "nobody", ""),
        ("verified", "2027-01-01", "This day is not over."),
        ("confidence", "101", "0 to 100"),
        ("deputies", "No such card", "no such card"),
        ("languages", "english!", "language"),
    ],
)
def test_what_is_wrong_with_a_card_is_told_and_nothing_is_kept(
    pages: Pages, field: str, value: str, said: str
) -> None:
    before = len(Contacts(pages.node).all())
    answer = pages.visitor("the-analyst").send(
        "/contacts/new", **{**FIELDS, field: value}
    )
    assert answer.status_code == 422
    assert 'class="error"' in answer.text
    assert said in answer.text
    assert len(Contacts(pages.node).all()) == before


def test_a_rota_is_written_as_it_is_read(pages: Pages) -> None:
    cards = Contacts(pages.node)
    for name in ('Mei "Night" \\ Lin', "Duty lead"):
        cards.put(replace(DESK, name=name, person=True))
    rota = read_rota(ROTA.encode(), "rota", cards)
    names = {one.card.id: one.card.name for one in cards.all()}
    assert read_rota(write_rota(rota, names).encode(), "again", cards) == rota
    assert read_rota(write_rota(rota, {}).encode(), "again", cards) == rota

    path = f"/contacts/card/{_card(pages, 'Duty desk').card.id}"
    lead = pages.visitor("the-lead")
    assert lead.send(f"{path}/rota", rota=ROTA).status_code == 303
    assert _card(pages, "Duty desk").card.rota == rota
    assert "Songkran" in lead.read(path)
    wrong = lead.send(f"{path}/rota", rota="[[shift]]\nperson = 'x'")
    assert wrong.status_code == 422
    assert _card(pages, "Duty desk").card.rota == rota


def test_only_who_decides_learns_the_names_of_circles(pages: Pages) -> None:
    with pages.node.db.write() as tx:
        pages.node.registry.put_circle(tx, "secret-canary", ["sg", "id"])
    held = _card(pages, "Our desk")
    path = f"/contacts/card/{held.card.id}"
    for name in ("the-analyst", "the-lead", "the-policy"):
        assert "secret-canary" not in pages.visitor(name).get(path).text
    assert "secret-canary" in pages.visitor("the-coordinator").get(path).text
    fields = {"level": "TLP:AMBER", "sure": "1", "parties": ["sg"]}
    sent = pages.visitor("the-lead").send(
        f"{path}/share", **fields, circles=["secret-canary"]
    )
    assert sent.status_code == 303
    marking = _card(pages, "Our desk").marking
    assert "sg" in marking
    assert "circle" not in marking


def _vcard(name: str) -> str:
    return (
        f"BEGIN:VCARD\r\nVERSION:4.0\r\nFN:{name}\r\nEMAIL:vc@sg.example\r\n"
        "TEL:+6567654321\r\nEND:VCARD\r\n"
    )


def test_a_file_is_shown_first_and_then_taken_in_whole(pages: Pages) -> None:
    one = pages.visitor("the-analyst")
    files: Any = {"file": ("book.vcf", _vcard(f"Lim {HOSTILE}").encode(), "text/vcard")}
    refused = one.send("/contacts/import", files=files)
    assert "refused" in refused.text
    assert "Take these in" not in refused.text

    told = {"party": "sg", "duties": ["technical"], "source": "their book"}
    looked = one.send("/contacts/import", files=files, **told)
    assert looked.status_code == 200
    assert HOSTILE not in looked.text
    assert not [c for c in Contacts(pages.node).all() if "Lim" in c.card.name]
    raw = re.search(r'name="raw" value="([^"]+)"', looked.text)
    assert raw is not None
    kept = one.send("/contacts/import", raw=raw[1], name="b", keep="1", **told)
    assert kept.headers["location"] == "/contacts?said=cards-imported"
    assert _card(pages, f"Lim {HOSTILE}").card.source == "their book"
    for wrong in ({"text": "\x00\x01"}, {"raw": "!!"}, {}):
        assert one.send("/contacts/import", **wrong, **told).status_code == 422


def test_cards_go_to_ones_own_address_book_as_files(pages: Pages) -> None:
    answer = pages.visitor("the-policy").get("/contacts/export?form=csv&party=sg")
    assert "attachment" in answer.headers["content-disposition"]
    assert "duty@sg.example" in answer.text
    assert (
        pages.visitor("the-policy")
        .get("/contacts/export")
        .text.startswith("BEGIN:VCARD")
    )


def test_papers_name_desks_and_are_downloads(pages: Pages) -> None:
    one = pages.visitor("the-policy")
    said = one.read("/contacts/papers")
    assert "cert@th.example" in said
    assert "duty@sg" not in said
    for path in ("rfc2350.md", "security.txt"):
        answer = one.get(f"/contacts/papers/{path}")
        assert "attachment" in answer.headers["content-disposition"]
        assert "cert@th.example" in answer.text


def test_a_drill_is_begun_by_who_may_send_and_calls_are_written_down(
    pages: Pages,
) -> None:
    lead = pages.visitor("the-lead")
    unsure = lead.send("/contacts/drill")
    assert unsure.status_code == 422
    # Without a mail server no mail can go, and nothing is begun.
    refused = lead.send("/contacts/drill", sure="1")
    assert "mail.host is empty" in refused.text

    cards = Contacts(pages.node)
    for held in cards.all():
        if held.card.party != "th":
            cards.put(
                replace(held.card, mail=(), phones=held.card.phones or ("+6281",))
            )
    begun = lead.send("/contacts/drill", sure="1")
    assert begun.headers["location"] == "/contacts/drill?said=drill-begun"
    shown = lead.get("/contacts/drill").text
    numbers = re.findall(r'name="number" value="(\d+)"', shown)
    analyst = pages.visitor("the-analyst")
    assert (
        analyst.send("/contacts/called", number=numbers[0], outcome="reached")
    ).status_code == 303
    said = analyst.read("/contacts/drill")
    assert "all phone 1 1 100%" in said
    for wrong in ({"number": "0"}, {"number": numbers[0], "outcome": "x"}):
        fields = {"outcome": "wrong", **wrong}
        assert analyst.send("/contacts/called", **fields).status_code == 400


def test_an_erased_person_is_on_no_page_and_the_reason_is_in_the_log(
    pages: Pages,
) -> None:
    # A card of its own: the tests of this module may run in several processes.
    leaving = replace(DESK, name="Who leaves", party="vn", mail=("old@vn.example",))
    Contacts(pages.node).put(leaving)
    held = _card(pages, "Who leaves")
    path = f"/contacts/card/{held.card.id}"
    lead = pages.visitor("the-lead")
    assert lead.send(f"{path}/erase", sure="1").status_code == 422
    assert lead.send(f"{path}/erase", reason="asked").status_code == 422
    assert lead.send(f"{path}/erase", sure="1", reason="asked").status_code == 303
    assert lead.get(path).status_code == 404
    assert "Who leaves" not in lead.get("/contacts").text
    with pages.node.db.read() as tx:
        told = decided_by(tx, "the-lead", Period(), 100)
    assert ("erased a contact card", "page", "asked") in {
        (one.what, one.way, one.why) for one in told
    }
