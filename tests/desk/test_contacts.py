"""Cards are written, shared and forgotten as objects; who wrote one decides its use."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from serantau.clock import SetClock, instant
from serantau.config import NodeConfig, load_config
from serantau.desk.card_import import CHANGED, NEW, REFUSED, SAME, Import
from serantau.desk.card_rota import read_rota
from serantau.desk.contacts import HEARSAY, THEIRS, Contacts, Held, zone_table
from serantau.desk.found import Charter, found
from serantau.errors import BadInput, BadRequest, Forbidden, NotFound
from serantau.node import Node
from serantau.records import acts
from serantau.records.acts import By
from serantau.records.audit import Period
from serantau.rules.card import CARD_EXTENSION, Card, Duty, card_object
from serantau.rules.level import Tlp
from serantau.rules.marking import TLP_2_IDS
from serantau.rules.rota import Override, Rota, Shift
from serantau.testing import Region

SOMCHAI = Card(
    "สมชาย ใจดี",
    "th",
    title="หัวหน้าเวร",
    duties=(Duty.ALWAYS,),
    mail=("somchai@cert.example",),
    phones=("+66812345678",),
    languages=("th", "en"),
    zone="Asia/Bangkok",
    source="the person",
)
DAYS = frozenset({"mon", "tue", "wed", "thu", "fri", "sat", "sun"})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("contacts") / "th"
    found(home, Charter("th", "ThaiCERT"), SetClock("2026-03-01T00:00:00Z"))
    return home


@pytest.fixture
def config(made: Path, tmp_path: Path) -> NodeConfig:
    return load_config(Path(shutil.copytree(made, tmp_path / "th")))


@pytest.fixture
def node(config: NodeConfig) -> Iterator[Node]:
    with Node(config, SetClock("2026-03-02T00:00:00Z")) as opened:
        yield opened


def told(node: Node, held: Held) -> list[dict[str, Any]]:
    with node.db.read() as tx:
        versions = node.search.versions(tx, held.card.id)
    return [orjson.loads(each.body) for each in versions]


def test_a_card_is_signed_and_reaches_only_those_it_names(tmp_path: Path) -> None:
    with Region(tmp_path, members=["th", "sg", "vn"]) as region:
        region.mesh()
        for one in ("sg", "vn"):
            region[one].pin("th", region["th"].node.signer.key)
        cards = Contacts(region["th"].node)
        alone = cards.put(SOMCHAI)
        shown = cards.put(replace(SOMCHAI, name="เวร"), parties=["sg"])
        region.sync()
        assert {alone.card.id, shown.card.id} & region["vn"].ids() == set()
        (there,) = Contacts(region["sg"].node).all("th")
        assert (there.card, there.origin) == (shown.card, THEIRS)
        # A correction follows, and so does the end.
        cards.put(replace(shown.card, phones=("+6621111111",)))
        region.sync()
        (there,) = Contacts(region["sg"].node).all("th")
        assert there.card.phones == ("+6621111111",)
        assert cards.erase(shown.card.id, "asked for by the person") == ["sg"]
        region.sync()
        assert Contacts(region["sg"].node).all("th") == []
        bodies = told(region["sg"].node, shown)
        assert [each["name"] for each in bodies] == ["(erased)"]


def test_what_somebody_says_of_a_third_party_is_used_only_after_it_was_verified(
    tmp_path: Path,
) -> None:
    with Region(tmp_path, members=["th", "sg"]) as region:
        region.mesh()
        region["sg"].pin("th", region["th"].node.signer.key)
        region["th"].party("vn")
        region["sg"].party("vn")
        Contacts(region["th"].node).put(replace(SOMCHAI, party="vn"), parties=["sg"])
        region.sync()
        cards = Contacts(region["sg"].node)
        (held,) = cards.all("vn")
        assert (held.origin, held.by, held.believed) == (HEARSAY, "th", False)
        assert cards.on_call("vn") == []
        with pytest.raises(Forbidden, match="th wrote this card"):
            cards.put(held.card)
        assert cards.verify(held.card.id).believed
        assert [one.held.card.name for one in cards.on_call("vn")] == [SOMCHAI.name]


def test_a_card_that_does_not_hold_is_used_no_more_until_it_is_changed(
    node: Node,
) -> None:
    cards = Contacts(node)
    held = cards.put(SOMCHAI)
    assert not cards.verify(held.card.id, right=False).believed
    assert cards.on_call("th") == []
    assert cards.put(replace(held.card, phones=("+6621111111",))).believed


def test_a_card_of_ours_that_proved_right_says_so_to_whoever_has_it(node: Node) -> None:
    cards = Contacts(node)
    held = cards.put(SOMCHAI)
    now = node.clock.now()
    assert held.stale(now, 180)
    assert not held.stale(now, 0)
    after = cards.verify(held.card.id, said="a call")
    assert not after.stale(now, 180)
    assert told(node, held)[-1]["extensions"][CARD_EXTENSION]["last_verified"]
    assert after.stale(now + 181 * 86_400_000_000, 180)


def test_a_card_that_claims_to_be_verified_in_the_future_is_stale_all_the_same(
    node: Node,
) -> None:
    with pytest.raises(BadRequest, match="source"):
        Contacts(node).put(replace(SOMCHAI, source=""))
    future = replace(SOMCHAI, verified=instant("2099-01-01T00:00:00Z"))
    held = Contacts(node).put(future)
    assert held.verified <= node.clock.now()


def test_nothing_of_a_person_who_is_forgotten_stays_in_the_store(
    node: Node, config: NodeConfig
) -> None:
    cards = Contacts(node)
    with acts.acting(By("ann", "cli")):
        held = cards.put(SOMCHAI)
        cards.put(replace(held.card, remark="on leave"))
        cards.verify(held.card.id, said="a call")
        assert cards.erase(held.card.id, "asked for") == []
    assert cards.all() == []
    (left,) = told(node, held)
    assert (left["revoked"], left["name"]) == (True, "(erased)")
    with node.db.read() as tx:
        decided = acts.decided_by(tx, "ann", Period(None, None), 99)
        assert tx.value("SELECT count(*) FROM card_check") == 0
    assert [one.what for one in decided][-1] == "erased a contact card"
    node.close()
    for path in config.home.glob("*.db*"):
        content = path.read_bytes()
        for word in (SOMCHAI.name, SOMCHAI.mail[0], SOMCHAI.phones[0], SOMCHAI.title):
            assert word.encode() not in content, path.name
    with pytest.raises(BadRequest, match="reason"):
        cards.erase(held.card.id, " ")


def test_a_card_with_something_wrong_is_not_kept(node: Node) -> None:
    cards = Contacts(node)
    for change, error in (
        ({"zone": "Asia/Yangoon"}, BadRequest),
        ({"party": "xx"}, NotFound),
        ({"deputies": (f"identity--{'1' * 8}-1111-4111-8111-{'1' * 12}",)}, NotFound),
        ({"phones": ("081",)}, BadRequest),
    ):
        with pytest.raises(error):
            cards.put(replace(SOMCHAI, **change))
    for marks in ({"level": "PINK"}, {"parties": ["xx"]}, {"circles": ["x"]}):
        with pytest.raises((BadRequest, NotFound)):
            cards.put(SOMCHAI, **marks)
    assert cards.all() == []


def test_a_card_is_named_by_its_name_or_how_its_id_begins(node: Node) -> None:
    cards = Contacts(node)
    one = cards.put(SOMCHAI)
    assert cards.find(SOMCHAI.name) == cards.find(one.card.id) == one
    assert cards.find(one.card.id.removeprefix("identity--")[:8]) == one
    cards.put(replace(SOMCHAI, phones=()))
    with pytest.raises(BadRequest, match="Several"):
        cards.find(SOMCHAI.name)
    with pytest.raises(NotFound):
        cards.find("id")


def test_a_card_keeps_its_markings_until_others_are_named(node: Node) -> None:
    cards = Contacts(node)
    held = cards.put(SOMCHAI, level="GREEN", parties=["sg"])
    assert cards.put(replace(held.card, remark="x")).refs == held.refs
    narrowed = cards.put(held.card, level="AMBER", parties=[])
    assert narrowed.refs == (TLP_2_IDS[Tlp.AMBER],)


def test_who_has_the_watch_is_called_and_else_who_is_reached_day_and_night(
    node: Node,
) -> None:
    cards = Contacts(node)
    expert = cards.put(replace(SOMCHAI, name="B", duties=(Duty.TECHNICAL,))).card
    first = cards.put(
        replace(SOMCHAI, name="A", duties=(Duty.POLICY,), deputies=(expert.id,))
    ).card
    assert [one.why for one in cards.on_call("th")] == ["technical"]
    desk = replace(SOMCHAI, name="เวร", person=False, zone="Asia/Yangon")
    held = cards.put(desk).card
    assert [(one.held.card.name, one.why) for one in cards.on_call("th")] == [
        ("เวร", "24x7")
    ]
    rota = Rota((Shift(first.id, DAYS, 8 * 60, 20 * 60),))
    cards.put(replace(held, rota=rota, deputies=(first.id,)))
    # 08:00 in Yangon is 01:30 UTC; the person is in Bangkok.
    (one,) = cards.on_call("th", instant("2026-03-02T01:30:00Z"))
    assert (one.held.card.name, one.why, one.desk) == ("A", "rota", "เวร")
    assert f"{one.local:%H:%M}" == "08:30"
    assert one.until == instant("2026-03-02T13:30:00Z")
    assert [each.card.name for each in one.deputies] == ["B"]
    (two,) = cards.on_call("th", instant("2026-03-02T01:29:00Z"))
    assert two.why == "24x7"
    with pytest.raises(BadRequest, match="year"):
        cards.on_call("th", 1 << 61)
    with pytest.raises(NotFound):
        cards.on_call("xx")


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("America/New_York", "2026-03-08T07:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ],
)
def test_a_change_of_clocks_abroad_is_found_to_the_second(name: str, at: str) -> None:
    zone = zone_table(name, instant(at) - 5 * 86_400_000_000)
    assert [change for change, _ in zone.changes] == [instant(at)]
    assert zone_table("Asia/Yangon", instant(at)).first == 23_400


def test_a_rota_is_read_from_a_file_and_what_is_wrong_is_told(node: Node) -> None:
    cards = Contacts(node)
    card = cards.put(SOMCHAI).card
    text = f"""
        [[shift]]
        person = "{SOMCHAI.name}"
        begin = "20:00"
        end = "08:00"
        [[override]]
        person = "{card.id}"
        begin = 2026-04-13T08:00:00+07:00
        end = 2026-04-14T08:00:00+07:00
        [holidays]
        "2026-04-13" = "สงกรานต์"
    """
    rota = read_rota(text.encode(), "rota.toml", cards)
    assert rota.shifts == (Shift(card.id, DAYS, 1200, 480),)
    begin = instant("2026-04-13T01:00:00Z")
    assert rota.overrides == (Override(card.id, begin, begin + 86_400_000_000),)
    assert list(rota.holidays.values()) == ["สงกรานต์"]
    for before, after, said in (
        ('"20:00"', '"8pm"', "no time of day"),
        ("08:00:00+07:00", "08:00:00", "with its offset"),
        ('"2026-04-13"', '"songkran"', "rota.toml"),
        ("[[shift]]", "[shift]", "expected tables"),
        ("[holidays]", "[feasts]", "'feasts': expected"),
        ('begin = "20:00"', "", "'begin' is missing"),
        ("2026-04-14T", "2026-04-13T", "ends before"),
    ):
        with pytest.raises(BadInput, match=said):
            read_rota(text.replace(before, after).encode(), "rota.toml", cards)


CSV = """name,party,duties,mail,phones,zone
สมชาย ใจดี,th,24x7,somchai@cert.example,+66812345678,Asia/Bangkok
Nguyễn Văn A,vn,technical,a@vn.example;b@vn.example,,Asia/Ho_Chi_Minh
"""


def test_an_import_shows_what_would_become_of_it_and_writes_nothing(node: Node) -> None:
    cards = Contacts(node)
    held = cards.put(SOMCHAI)
    again = CSV.replace("+66812345678", "+66800000000")
    one, two = Import(node, again.encode(), name="book.csv").proposed
    assert (one.state, one.changes) == (CHANGED, ("phones",))
    assert one.card.id == held.card.id
    assert (two.state, two.card.mail) == (NEW, ("a@vn.example", "b@vn.example"))
    assert two.card.source == "book.csv, imported 2026-03-02"
    assert cards.all() == [held]
    kept = Import(node, again.encode(), name="book.csv").keep()
    assert [one.card.phones for one in kept] == [("+66800000000",), ()]
    states = [one.state for one in Import(node, again.encode(), name="b").proposed]
    assert states == [SAME, SAME]


def test_of_a_file_with_something_wrong_nothing_is_taken_in(node: Node) -> None:
    bad = CSV.replace("technical", "friend").replace("vn,", "xx,")
    one, two = Import(node, bad.encode(), name="book.csv").proposed
    assert (one.state, two.state) == (NEW, REFUSED)
    assert len(two.faults) == 2
    with pytest.raises(BadInput, match="1 of 2 contacts are refused"):
        Import(node, bad.encode(), name="book.csv").keep()
    assert Contacts(node).all() == []


def test_an_object_that_is_only_like_a_card_is_none(node: Node) -> None:
    made = card_object(
        replace(SOMCHAI, id=f"identity--{'1' * 8}-1111-4111-8111-{'1' * 12}"),
        creator=node.config.node.identity,
        created=1,
        modified=1,
        marks=[TLP_2_IDS[Tlp.AMBER]],
    )
    del made["extensions"]
    made["description"] = CARD_EXTENSION
    with node.db.write() as tx:
        version = node.reader.read(orjson.dumps(made))
        node.objects.admit(tx, [version], source="x", handling=lambda _: Tlp.AMBER)
    assert Contacts(node).all() == []
