"""The one way out: whom it answers, what it logs, and what it says beforehand."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from serantau.config import NodeConfig, NodeSection, StoreSection
from serantau.desk import share as share_module
from serantau.desk.intake import Intake
from serantau.desk.share import Share
from serantau.errors import Forbidden, NotFound
from serantau.node import SIGNING_FILE, Node
from serantau.records.registry import EVERYONE, Access, Caller, Collection
from serantau.records.views import Asked
from serantau.rules.marking import Tlp
from serantau.rules.party import Kind, Party
from serantau.rules.stix import sco_id
from stores import AMBER, CLEAR, GREEN, RED, indicator, later


class Desk:
    """A node th, its way out, and who asks."""

    def __init__(self, home: Path, url: str) -> None:
        self.node = Node(
            NodeConfig(
                home=home,
                node=NodeSection(member="th", team="ThaiCERT"),
                store=StoreSection(url=url),
            )
        )
        self.share = Share(self.node)
        for party in (
            Party("th", Kind.OWN),
            Party("vn", Kind.MEMBER),
            Party("jp", Kind.PARTNER),
        ):
            self.put(party)
        self.collect("all", read=(EVERYONE,))
        self.collect("box", box=True, read=(EVERYONE,), write=("party:vn",))
        self.collect("in", box=True, write=("kind:member",))
        self.collect("shut", box=True)

    def put(self, party: Party) -> None:
        with self.node.db.write() as tx:
            self.node.registry.put_party(tx, party)

    def collect(self, alias: str, **more: Any) -> Collection:
        access = Access(read=more.pop("read", ()), write=more.pop("write", ()))
        with self.node.db.write() as tx:
            return self.node.registry.put_collection(
                tx, alias, alias.title(), access=access, **more
            )

    def collection(self, alias: str) -> Collection:
        with self.node.db.read() as tx:
            return self.node.registry.collection(tx, alias)

    def caller(self, party: str, role: str = "reader") -> Caller:
        with self.node.db.read() as tx:
            number, held = self.node.registry.party(tx, party)
        return Caller(f"{party}-user", number, held, role)

    def load(
        self, *objects: dict[str, Any], box: str = "", source: str = "file"
    ) -> None:
        with self.node.db.write() as tx:
            boxes = (self.node.registry.collection(tx, box).number,) if box else ()
            self.node.objects.admit(
                tx,
                [self.node.reader.read(orjson.dumps(one)) for one in objects],
                source=source,
                handling=lambda _: Tlp.AMBER_STRICT,
                boxes=boxes,
            )

    def ids(self, party: str, alias: str = "all", **asked: Any) -> list[str]:
        page = self.share.page(
            self.caller(party), self.collection(alias), Asked(**asked), way="test"
        )
        return [one["id"] for one in orjson.loads(b"[" + page.bodies + b"]")]

    def found(self, object_id: str) -> Any:
        with self.node.db.read() as tx:
            return self.node.search.versions(tx, object_id)[-1]

    def logged(self) -> list[Any]:
        with self.node.db.read() as tx:
            return tx.rows("SELECT * FROM ledger.release ORDER BY n")


@pytest.fixture
def desk(tmp_path: Path, store_url: str) -> Iterator[Desk]:
    made = Desk(tmp_path, store_url)
    yield made
    made.node.close()


def test_a_caller_is_offered_what_it_may_read_or_write(desk: Desk) -> None:
    def offered(caller: Caller) -> list[tuple[str, bool, bool]]:
        return [
            (each.collection.alias, each.can_read, each.can_write)
            for each in desk.share.offers(caller)
        ]

    assert offered(desk.caller("vn", "writer")) == [
        ("all", True, False),
        ("box", True, True),
        ("in", False, True),
    ]
    # A reader of a party that may write does not write.
    assert offered(desk.caller("vn")) == [("all", True, False), ("box", True, False)]
    assert offered(desk.caller("jp", "writer")) == [
        ("all", True, False),
        ("box", True, False),
    ]
    assert desk.share.offer(desk.caller("vn", "writer"), "in").can_write
    for name in ("shut", "in", "nowhere", desk.collection("shut").id):
        with pytest.raises(NotFound, match="No collection is named"):
            desk.share.offer(desk.caller("vn"), name)


def test_what_goes_outside_is_logged_and_what_our_people_read_is_not(
    desk: Desk,
) -> None:
    one, two, three = indicator("a", GREEN), indicator("b", RED), indicator("c", GREEN)
    desk.load(one, two, three)
    caller, everything = desk.caller("vn"), desk.collection("all")
    assert desk.ids("th") == [one["id"], three["id"]]
    assert desk.logged() == []
    desk.share.page(caller, everything, Asked(), way="taxii", request="/objects/?a=b")
    lines, after = desk.share.lines(caller, everything, Asked(limit=1), way="taxii")
    assert ([line.id for line in lines], after) == ([one["id"]], lines[0].added)
    page, manifest = desk.logged()
    assert (page.count, page.actor, page.way, page.request) == (
        2,
        "vn-user",
        "taxii",
        "/objects/?a=b",
    )
    assert page.collection == everything.number
    assert manifest.count == 1
    with desk.node.db.read() as tx:
        runs = desk.node.ledger.stamps_of(tx, page.n)
    added = [desk.found(each["id"]).added for each in (one, three)]
    assert [at for low, high in runs for at in range(low, high + 1)] == added


def test_a_page_of_nothing_is_no_release(desk: Desk) -> None:
    desk.load(indicator("x", AMBER))
    assert desk.ids("vn") == []
    lines, after = desk.share.lines(
        desk.caller("vn"), desk.collection("all"), Asked(), way="test"
    )
    assert (lines, after) == ([], None)
    assert desk.logged() == []


def test_our_own_manifest_is_no_release(desk: Desk) -> None:
    desk.load(indicator("x", AMBER))
    lines, _ = desk.share.lines(
        desk.caller("th"), desk.collection("all"), Asked(), way="test"
    )
    assert len(lines) == 1
    assert desk.logged() == []


def test_a_page_that_cannot_be_logged_does_not_go(desk: Desk) -> None:
    desk.load(indicator("x", GREEN))
    with desk.node.db.write() as tx:
        tx.run("ALTER TABLE ledger.release RENAME TO gone")
    for read in (desk.share.page, desk.share.lines):
        with pytest.raises(Exception, match="release"):
            read(desk.caller("vn"), desk.collection("all"), Asked(), way="test")
    assert len(desk.ids("th")) == 1


def test_a_collection_that_may_not_be_read_gives_nothing(desk: Desk) -> None:
    desk.load(indicator("x", CLEAR), box="in")
    caller, shut = desk.caller("vn", "writer"), desk.collection("in")
    for read in (desk.share.page, desk.share.lines):
        with pytest.raises(Forbidden, match="may not read"):
            read(caller, shut, Asked(), way="test")
    with pytest.raises(Forbidden):
        desk.share.news(caller, shut, 0)


def test_news_are_told_of_what_a_caller_sees_only(desk: Desk) -> None:
    caller, everything = desk.caller("vn"), desk.collection("all")
    assert not desk.share.news(caller, everything, -1)
    desk.load(indicator("a", GREEN))
    last = desk.found(desk.ids("vn")[0]).added
    assert desk.share.news(caller, everything, last - 1)
    assert not desk.share.news(caller, everything, last)
    desk.load(indicator("b", AMBER))
    assert not desk.share.news(caller, everything, last)
    assert desk.share.news(desk.caller("th"), everything, last)


def test_what_is_remembered_of_views_stays_small(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_module, "_VIEWS_KEPT", 2)
    made = indicator("a", GREEN)
    desk.load(made, box="box")
    for _ in range(2):
        for party in ("vn", "jp", "th"):
            for alias in ("all", "box"):
                assert desk.ids(party, alias) == [made["id"]]
    assert len(desk.share._kept) == 2


def test_a_caller_deletes_what_it_sees_in_a_box_and_nothing_else(desk: Desk) -> None:
    caller, box = desk.caller("vn", "writer"), desk.collection("box")
    one, hidden = indicator("a", GREEN), indicator("b", RED)
    desk.load(one, later(one, 2), hidden, box="box", source="user:vn-user")

    def every(made: dict[str, Any]) -> Asked:
        return Asked(ids=(made["id"],), all_versions=True)

    assert desk.share.delete(caller, box, every(hidden)) == 0
    assert desk.share.delete(caller, box, Asked(ids=(one["id"],))) == 1
    assert desk.share.delete(caller, box, every(one)) == 1
    assert desk.share.delete(caller, box, every(one)) == 0
    assert desk.ids("vn", "box", all_versions=True) == []
    assert desk.found(hidden["id"])
    for who, where in (
        (desk.caller("vn"), box),
        (desk.caller("jp", "writer"), box),
        (caller, desk.collection("in")),
        (caller, desk.collection("all")),
    ):
        with pytest.raises(Forbidden):
            desk.share.delete(who, where, Asked(ids=(hidden["id"],)))


def test_an_object_without_a_version_is_deleted_too(desk: Desk) -> None:
    made: dict[str, Any] = {
        "type": "domain-name",
        "spec_version": "2.1",
        "value": "evil.example",
        "object_marking_refs": [GREEN],
    }
    made = {"id": sco_id(made), **made}
    desk.load(made, box="box", source="user:vn-user")
    box = desk.collection("box")
    assert desk.share.delete(desk.caller("vn", "writer"), box, Asked(ids=(made["id"],)))
    assert desk.ids("th") == []


def test_a_dry_run_tells_per_party_what_would_go_and_why_not_the_rest(
    desk: Desk,
) -> None:
    made = [indicator(f"n{n}", mark) for n, mark in enumerate((GREEN, GREEN, AMBER))]
    old = indicator("superseded", CLEAR)
    desk.load(*made, old, later(old, 2, GREEN), indicator("unmarked"))
    vn, jp = desk.share.preview()
    assert (vn.party.name, jp.party.name) == ("vn", "jp")
    assert (vn.released, vn.withheld) == (3, 2)
    assert [(row.released, row.rule, row.count) for row in vn.rows] == [
        (True, "green-to-community", 3),
        (False, "no-audience", 1),
        (False, "no-audience", 1),
    ]
    assert {row.marking for row in vn.rows} == {
        "TLP:GREEN",
        "TLP:AMBER",
        "no TLP marking, handled here as TLP:AMBER+STRICT",
    }
    assert set(vn.rows[0].samples) == {made[0]["id"], made[1]["id"], old["id"]}
    (only,) = desk.share.preview(["jp"])
    assert only.party.name == "jp"
    with pytest.raises(NotFound):
        desk.share.preview(["nobody"])
    assert desk.logged() == []


def test_a_dry_run_of_a_question_counts_what_it_finds(desk: Desk) -> None:
    desk.load(
        *(indicator(f"needle {n}", GREEN) for n in range(5)),
        indicator("needle", RED),
        indicator("hay", GREEN),
    )
    (vn,) = desk.share.preview(["vn"], "needle")
    assert [(row.released, row.count, len(row.samples)) for row in vn.rows] == [
        (True, 5, 3),
        (False, 1, 1),
    ]
    (nothing,) = desk.share.preview(["vn"], "no such thing")
    assert (nothing.rows, nothing.released, nothing.withheld) == ([], 0, 0)


def test_what_was_never_judged_is_not_released(desk: Desk) -> None:
    desk.load(indicator("x", CLEAR))
    with desk.node.db.write() as tx:
        tx.run("DELETE FROM verdict")
        tx.run("UPDATE stamp SET epoch = epoch + 1")
    (vn,) = desk.share.preview(["vn"])
    assert [(row.released, row.rule) for row in vn.rows] == [(False, "not-judged")]
    assert desk.ids("vn") == []
    assert desk.ids("th") == []


def test_who_got_an_object_and_how_it_is_marked_is_told(desk: Desk) -> None:
    one, two = indicator("a", GREEN), indicator("b")
    desk.load(one, two)
    for party in ("vn", "jp", "th"):
        desk.ids(party)
    told = desk.share.who_got(desk.found(one["id"]))
    assert [(row.party, row.rule) for row in told] == [
        ("vn", "green-to-community"),
        ("jp", "green-to-community"),
    ]
    assert desk.share.who_got(desk.found(two["id"])) == []
    assert desk.share.marking(desk.found(one["id"])) == "TLP:GREEN"
    assert desk.share.marking(desk.found(two["id"])).startswith("no TLP marking")


def test_a_party_that_is_blocked_between_two_pages_gets_no_second_one(
    desk: Desk,
) -> None:
    desk.load(*(indicator(f"{n}", GREEN) for n in range(4)))
    caller, everything = desk.caller("vn"), desk.collection("all")
    first = desk.share.page(caller, everything, Asked(limit=2), way="test")
    desk.put(Party("vn", Kind.MEMBER, blocked=True))
    second = desk.share.page(
        caller, everything, Asked(limit=2, after=first.last), way="test"
    )
    assert (first.count, second.count) == (2, 0)


def test_pages_while_verdicts_change_are_each_of_one_state(desk: Desk) -> None:
    # Whatever the moment: a page is whole or empty, never half of a change.
    made = [indicator(f"{n}", (GREEN, CLEAR)[n % 2]) for n in range(6)]
    desk.load(*made)
    counts: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            counts.append(len(set(desk.ids("vn"))))

    reader = threading.Thread(target=read)
    reader.start()
    for blocked in (True, False) * 8:
        desk.put(Party("vn", Kind.MEMBER, blocked=blocked))
    stop.set()
    reader.join()
    assert counts
    assert set(counts) <= {0, 6}


def test_what_was_posted_goes_out_only_as_it_is_marked(desk: Desk) -> None:
    box = desk.collection("box")
    made = [indicator("a", GREEN), indicator("b", RED), indicator("c")]
    body = orjson.dumps({"objects": made, "id": str(uuid.uuid4())})
    status = Intake(desk.node).post(desk.caller("vn", "writer"), box, body)
    assert status["success_count"] == 3
    assert desk.ids("jp", "box") == [made[0]["id"]]
    assert desk.ids("jp") == [made[0]["id"]]


def test_who_cannot_sign_gives_a_page_without_a_receipt(desk: Desk) -> None:
    desk.load(indicator("open", GREEN))
    keys = desk.node.config.keys
    keys.mkdir(exist_ok=True)
    (keys / SIGNING_FILE).write_bytes(b"no key")
    caller, collection = desk.caller("vn"), desk.collection("all")
    page = desk.share.page(caller, collection, Asked(), way="test", receipt=True)
    assert (page.count, page.receipt) == (1, "")
    assert [row.way for row in desk.logged()] == ["test"]
