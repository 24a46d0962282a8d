"""A node that forgets, forks or breaks a promise about its log is found out."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from commands import indicator
from serantau.desk.asked import ask_peer
from serantau.desk.ledger import Book
from serantau.desk.recount import recount
from serantau.errors import Forbidden, ProofFailed
from serantau.node import SIGNING_FILE
from serantau.records import tree
from serantau.records.seen import Alarm, State
from serantau.rules.head import signed_text, take_apart
from serantau.rules.marking import TLP_2_IDS, Tlp
from serantau.rules.party import Kind
from serantau.testing import Region, Site, _Carried, identity_of, signer_of

VERIFIER = Path(__file__).parents[2] / "docs" / "verify.py"


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with Region(tmp_path, ["th", "sg", "vn"]) as made:
        made.mesh()
        yield made


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Region]:
    with Region(tmp_path, ["th", "sg"]) as made:
        made.mesh()
        yield made


def of_sg(number: int, tlp: Tlp = Tlp.GREEN) -> dict[str, Any]:
    return indicator(number, tlp, created_by_ref=identity_of("sg"))


def share(region: Region, *numbers: int) -> None:
    """Let th share something, and everyone have it and look at its log."""
    region.load("th", [indicator(n) for n in numbers])
    region.sync()
    region.clock.advance(seconds=60)


def watched(site: Site) -> list[Alarm]:
    site.sync()
    return site.federation.watch.alarms()


def test_what_has_no_version_raises_no_alarm(pair: Region) -> None:
    observable = {
        "type": "ipv4-addr",
        "spec_version": "2.1",
        "id": "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4",
        "value": "198.51.100.3",
        "object_marking_refs": [TLP_2_IDS[Tlp.GREEN]],
    }
    pair.load("th", [observable])
    pair.sync()
    pair.clock.advance(seconds=60)
    assert observable["id"] in pair["sg"].ids()
    assert watched(pair["sg"]) == []
    assert {*states(pair["sg"])} == {"proven"}
    assert recount(pair["th"].node, objects=True).fault == ""


def asks(region: Region, who: str, whom: str, object_id: str = "") -> Any:
    return ask_peer(
        region[who].node, whom, object_id, transport=lambda _: _Carried(region, who)
    )


def states(site: Site, node: str = "th") -> list[str]:
    with site.node.db.read() as tx:
        return [str(one.state) for one in site.federation.watch.rows.receipts(
            tx, node, "", 100
        )]  # fmt: skip


def tamper(site: Site, *statements: str) -> None:
    with site.node.db.ledger() as tx:
        for statement in statements:
            tx.run(statement)


@pytest.mark.no_cover
def test_receipts_are_kept_and_proven_by_the_peers_tree(
    tmp_path: Path, store_url: str
) -> None:
    with Region(tmp_path, ["th", "sg"], store_urls={"th": store_url}) as region:
        region.mesh()
        region.load("sg", [of_sg(1)])
        share(region, 2, 3, 4)
        region["th"].party("vn", identity=identity_of("vn"))
        for one, other in (("sg", "th"), ("th", "sg")):
            site = region[one]
            assert set(states(site, other)) == {"proven"}
            assert site.federation.watch.alarms() == []
            found = recount(site.node, objects=True)
            assert (found.fault, found.checked, found.waiting) == ("", found.size, 0)
            assert found.heads > 0
        assert asks(region, "sg", "th").passed == []
        with region["th"].node.db.ledger() as tx:
            tx.run("DELETE FROM ledger.tree_head")
            tx.run("UPDATE ledger.log SET size = 0")
        (alarm, *_) = watched(region["sg"])
        assert "shrunk" in alarm.said
        region["sg"].federation.watch.accept("th", "admin", "why")


def test_a_tree_that_was_rolled_back_raises_an_alarm_with_both_heads(
    pair: Region,
) -> None:
    share(pair, 1)
    share(pair, 2)
    tamper(
        pair["th"],
        "DELETE FROM ledger.leaf WHERE n >= 1",
        "DELETE FROM ledger.release WHERE n >= 2",
        "UPDATE ledger.sealed SET row = 1",
        "DELETE FROM ledger.tree_head",
        "UPDATE ledger.tile SET hashes = substr(hashes, 1, 32)",
        "UPDATE ledger.log SET size = 1",
    )
    (alarm, *_) = watched(pair["sg"])
    assert alarm.node == "th"
    assert "shrunk" in alarm.said
    assert alarm.first != alarm.second
    for text in (alarm.first, alarm.second):
        assert take_apart(text).signed_by([signer_of("th").key])
    # It is one alarm, however often it is seen, and a person ends it.
    pair.clock.advance(seconds=700)
    assert len(watched(pair["sg"])) == 1
    (status,) = [s for s in pair["sg"].federation.status() if s.peer.name == "th"]
    assert status.alarms == (alarm.said,)
    pair["sg"].federation.watch.accept("th", "admin", "restored from a backup")
    assert watched(pair["sg"]) == []


def test_reordered_leaves_raise_an_alarm(region: Region) -> None:
    share(region, 1)
    share(region, 2)
    with region["th"].node.db.ledger() as tx:
        held = tx.value("SELECT hashes FROM ledger.tile WHERE level = 0 AND n = 0")
        first, second, *rest = tree.parted(bytes(held))
        swapped = b"".join((second, first, *rest))
        tx.run("UPDATE ledger.tile SET hashes = :swapped", swapped=swapped)
    region.load("th", [indicator(3)])
    region["vn"].sync()
    (alarm, *_) = watched(region["sg"])
    assert "does not go on from" in alarm.said
    assert "is not what row" in recount(region["th"].node).fault


def test_a_forged_head_is_believed_by_nobody(
    pair: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(pair, 1)
    real, forger = Book.head, signer_of("a stranger")

    def forged(book: Book, seconds: float | None = None) -> Any:
        held = real(book, seconds)
        head = msgspec.structs.replace(held.head, size=held.head.size + 1)
        return type(held)(held.head, signed_text(head, forger.jws))

    monkeypatch.setattr(Book, "head", forged)
    (alarm, *_) = watched(pair["sg"])
    assert alarm.said == "its head is not signed with a key that is pinned"


def test_a_node_that_shows_two_histories_is_found_out_by_those_it_shows_them_to(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(region, 1)
    real = Book.head
    th = region["th"].node

    def two_faced(book: Book, seconds: float | None = None) -> Any:
        held = real(book, seconds)
        if book._node is not th:
            return held
        # The same size and time, another tree: signed by th all the same.
        head = msgspec.structs.replace(held.head, root="ab" * 32, at=held.head.at + 1)
        return type(held)(head, signed_text(head, th.signer.jws))

    with region["sg"].node.db.read() as tx:
        size = tx.value("SELECT max(size) FROM seen_head WHERE node = 'th'")
    assert size
    # vn never saw the first history: it joined by the second.
    region["vn"].write(lambda tx: region["vn"].federation.watch.rows.forget(tx, "th"))
    monkeypatch.setattr(Book, "head", two_faced)
    region["vn"].federation.pull("th")
    monkeypatch.undo()
    assert region["vn"].federation.watch.alarms() == []
    # sg hears from vn what vn was shown, and asks th about it.
    region.clock.advance(seconds=60)
    region["sg"].federation.pull("vn")
    region["sg"].federation.pull("th")
    (alarm, *_) = region["sg"].federation.watch.alarms()
    assert alarm.node == "th"
    assert "as vn was shown it" in alarm.said
    for text in (alarm.first, alarm.second):
        assert take_apart(text).signed_by([signer_of("th").key])


def test_a_node_that_runs_on_an_old_backup_hears_of_it_from_its_peers(
    pair: Region,
) -> None:
    share(pair, 1)
    th, sg = pair["th"], pair["sg"]
    assert watched(th) == []
    tamper(th, "DELETE FROM ledger.tree_head", "UPDATE ledger.log SET size = 0")
    (alarm,) = watched(th)
    assert (alarm.node, alarm.said) == ("th", "others were shown 1 leaves, here are 0")
    # What a person has seen to is over, though its peer still tells of it.
    th.federation.watch.accept("th", "admin", "restored from a backup")
    assert watched(th) == []
    assert [each.node for each in watched(sg)] == ["th"]


def test_a_promise_that_was_not_kept_raises_an_alarm(pair: Region) -> None:
    share(pair, 1)
    tamper(pair["th"], "UPDATE ledger.release SET receipt = NULL")
    pair["sg"].write(
        lambda tx: tx.run("UPDATE receipt SET state = :s", s=State.PROMISED)
    )
    assert watched(pair["sg"]) == []
    assert set(states(pair["sg"])) == {"promised"}
    pair.clock.advance(seconds=4000)
    (alarm, *_) = watched(pair["sg"])
    assert "leaf missing" in alarm.said
    assert set(states(pair["sg"])) == {"broken"}


def test_a_head_that_never_changes_raises_an_alarm(
    pair: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(pair, 1)
    old = Book(pair["th"].node).head()
    real, th = Book.head, pair["th"].node
    monkeypatch.setattr(
        Book, "head", lambda book, s=None: old if book._node is th else real(book, s)
    )
    pair.clock.advance(days=2)
    (alarm, *_) = watched(pair["sg"])
    assert alarm.said == "its head is not of today"


def test_a_peer_that_takes_anothers_name_raises_no_alarm_about_it(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(region, 1)
    node = region["vn"].node
    said = msgspec.structs.replace(node.config.node, member="th")
    monkeypatch.setattr(node, "config", msgspec.structs.replace(node.config, node=said))
    reports = {each.peer: each.log for each in region["sg"].sync()}
    found = reports["vn"]
    assert found is not None
    assert found.fault == "it is followed as vn and says it is th"
    assert region["sg"].federation.watch.alarms() == []


def test_a_node_that_cannot_sign_still_shares_and_gives_no_receipt(
    pair: Region,
) -> None:
    share(pair, 1)
    pair.load("th", [indicator(2)])
    (pair["th"].config.keys / SIGNING_FILE).write_bytes(b"no key")
    pair.restart("th")
    (report,) = pair["sg"].sync()
    assert (report.new, report.faults) == (1, [])
    assert report.log is not None
    assert report.log.fault
    assert len(states(pair["sg"])) == 1


def test_without_a_pinned_key_nothing_is_believed_and_that_is_told(
    pair: Region,
) -> None:
    pair["sg"].write(lambda tx: tx.run("DELETE FROM key_pin WHERE party = 'th'"))
    pair.load("th", [indicator(1)])
    (report,) = [each for each in pair["sg"].sync() if each.peer == "th"]
    assert report.log is not None
    assert "no key of th is pinned" in report.log.fault
    with pair["sg"].node.db.read() as tx:
        assert tx.value("SELECT count(*) FROM seen_head WHERE node = 'th'") == 0


def test_an_originator_is_shown_exactly_where_its_objects_went(
    region: Region,
) -> None:
    region["th"].party("jp", kind=Kind.PARTNER)
    region["th"].circle("mekong-secret", ["vn"])
    region.load("sg", [of_sg(1), of_sg(2)])
    region.load("th", [indicator(n) for n in range(10, 30)])
    region.sync()
    found = asks(region, "sg", "th")
    assert {(one.recipient, one.object) for one in found.passed} == {
        ("vn", indicator(1)["id"]),
        ("vn", indicator(2)["id"]),
    }
    assert {one.rule for one in found.passed} == {"green-to-community"}
    text = msgspec.json.encode(found.proofs).decode()
    for secret in ("mekong-secret", "circle--", "limit=", "node-vn"):
        assert secret not in text
    # Hashes and signatures may have two letters by chance.
    assert "jp" not in re.sub(r"[\w.-]{43,}", "", text)
    for number in range(10, 30):
        assert indicator(number)["id"] not in text
    one = asks(region, "sg", "th", indicator(2)["id"])
    assert {each.object for each in one.passed} == {indicator(2)["id"]}
    # What somebody else created, and what is not there, look the same: nothing.
    assert asks(region, "sg", "th", indicator(10)["id"]).passed == []
    assert asks(region, "sg", "th", indicator(99)["id"]).passed == []
    assert asks(region, "vn", "th").passed == []


def test_a_recipient_is_named_only_as_far_as_the_node_lets_it(region: Region) -> None:
    region.load("sg", [of_sg(1)])
    region.sync()
    node = region["th"].node
    ledger = msgspec.structs.replace(node.config.ledger, named=["coordinator"])
    node.config = msgspec.structs.replace(node.config, ledger=ledger)
    (one,) = asks(region, "sg", "th").passed
    assert (one.recipient, one.kind) == ("", "member")


def test_whoever_is_no_creator_here_is_told_nothing(pair: Region) -> None:
    pair["th"].party("sg", identity="")
    with pair["th"].node.db.read() as tx:
        caller = pair["th"].node.registry.caller_by_name(tx, "node-sg")
    assert caller is not None
    with pytest.raises(Forbidden, match="which objects you have created"):
        Book(pair["th"].node).passed(caller)
    ended = replace(caller, party=replace(caller.party, blocked=True))
    with pytest.raises(Forbidden, match="access to this node has ended"):
        Book(pair["th"].node).passed(ended)


def test_an_answer_that_was_changed_on_the_way_proves_nothing(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    region.load("sg", [of_sg(1)])
    region.sync()
    real = Book.passed

    def less(book: Book, *asked: Any) -> Any:
        return msgspec.structs.replace(real(book, *asked), entries=[])

    monkeypatch.setattr(Book, "passed", less)
    with pytest.raises(ProofFailed, match="is not signed by this node"):
        asks(region, "sg", "th")


def test_the_first_row_that_was_changed_is_named(pair: Region) -> None:
    for number in range(1, 5):
        share(pair, number)
    th = pair["th"]
    assert recount(th.node).size == 4
    with th.node.db.read() as tx:
        (before,) = tx.rows("SELECT * FROM ledger.release WHERE n = 3")
        assert tx.value("SELECT row FROM ledger.leaf WHERE n = 2") == 3
    for change in (
        "UPDATE ledger.release SET actor = 'nobody' WHERE n = 3",
        "UPDATE ledger.release SET request = '/y' WHERE n = 3",
        "UPDATE ledger.release SET count = 9 WHERE n = 3",
        "UPDATE ledger.release SET way = 'mail' WHERE n = 3",
        "UPDATE ledger.release SET at = at + 1 WHERE n = 3",
        "UPDATE ledger.release SET stamps = '' WHERE n = 3",
    ):
        tamper(th, change)
        assert recount(th.node).fault == "leaf 2 is not what row 3 says"
        with th.node.db.ledger() as tx:
            tx.run(
                "UPDATE ledger.release SET actor = :actor, request = :request, "
                "count = :count, way = :way, at = :at, stamps = :stamps WHERE n = 3",
                **{
                    name: getattr(before, name)
                    for name in ("actor", "request", "count", "way", "at", "stamps")
                },
            )
    assert recount(th.node).fault == ""
    shared = recount(th.node, alone=0)
    assert (shared.fault, shared.checked) == ("", 4)
    with th.node.db.read() as tx:
        content = tx.value("SELECT content FROM ledger.grant_view")
    tamper(th, "UPDATE ledger.grant_view SET content = '{}'")
    assert "the verdicts of row" in recount(th.node).fault
    with th.node.db.ledger() as tx:
        tx.run("UPDATE ledger.grant_view SET content = :content", content=content)
    tamper(th, "UPDATE ledger.leaf SET recipient = 'my' WHERE n = 2")
    assert "leaf 2 is not" in recount(th.node).fault
    assert "leaf 2 is not" in recount(th.node, alone=0).fault
    # Nothing ever takes a row away: what is erased keeps its row.
    tamper(th, "DELETE FROM ledger.release WHERE n = 3")
    assert recount(th.node).fault == "leaf 2 is not what row 3 says"


def verified(proof: Any, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if "COV" not in name
    }
    return subprocess.run(
        [sys.executable, "-I", VERIFIER, *options, "-"],
        input=msgspec.json.encode(proof).decode(),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


@pytest.mark.no_cover
def test_a_sceptic_checks_a_proof_without_any_of_this_program(region: Region) -> None:
    text = VERIFIER.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 200
    assert "serantau" not in "".join(
        line for line in text.splitlines() if line.startswith(("import", "from"))
    )
    region.load("sg", [of_sg(1), of_sg(2)])
    region.sync()
    (proof,) = asks(region, "sg", "th").proofs
    key = signer_of("th").key.jwk["x"]
    good = verified(proof, f"--key={key}")
    assert good.returncode == 0, good.stderr
    assert "to vn" in good.stdout
    assert indicator(2)["id"] in good.stdout
    change = msgspec.structs.replace
    (entry, *_) = proof.entries
    moved = change(entry.objects[0], salt="00" * 16)
    other = signer_of("sg").key.jwk["x"]
    bad = (
        (proof, other, "not signed by this key"),
        (change(proof, through=1), key, "not signed by this key"),
        (change(proof, entries=[change(entry, recipient="my")]), key, "recipient"),
        (change(proof, entries=[change(entry, path=[])]), key, "not in the tree"),
        (change(proof, entries=[change(entry, objects=[moved])]), key, "not on the"),
        (change(proof, head=proof.head[:-4] + "AAAA"), key, "signed"),
    )
    for changed, by, said in bad:
        found = verified(changed, f"--key={by}")
        assert found.returncode == 1, found.stdout
        assert said in found.stderr
        assert "Traceback" not in found.stderr
    rubbish = subprocess.run(
        [sys.executable, "-I", VERIFIER, f"--key={key}", "-"],
        input="{",
        capture_output=True,
        text=True,
        check=False,
    )
    assert rubbish.returncode == 1
    assert "Traceback" not in rubbish.stderr
