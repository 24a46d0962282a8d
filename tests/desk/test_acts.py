"""What own people read and decide is in the tree, and nobody changes it unseen."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import orjson
import pytest

from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.audit import note_reading
from serantau.desk.forget import CHORE, Forgetting
from serantau.desk.found import Charter, found
from serantau.desk.ledger import Book
from serantau.desk.recount import recount
from serantau.node import Node
from serantau.records import acts, tree
from serantau.records.acts import By
from serantau.records.audit import Period
from serantau.records.chores import Chores
from serantau.rules.leaf import DECISION, READING, act_leaf
from serantau.rules.party import Kind, Party
from serantau.rules.receipt import includes, leaf_hash

VERIFIER = Path(__file__).parents[2] / "docs" / "verify.py"
ANA = By("ana", "cli")
BEN = By("ben", "api")
EVER = Period()


def fill(node: Node) -> None:
    """Three readings and two decisions, with a release between."""
    with acts.acting(ANA):
        note_reading(node, "search", "c2.example", count=1, objects=["indicator--1"])
        with node.db.write() as tx:
            node.registry.put_party(tx, Party("zz", Kind.PARTNER))
            node.registry.put_circle(tx, "ports", ["zz"])
        note_reading(node, "show", "indicator--2", count=1, objects=["indicator--2"])
    with node.db.read() as tx:
        number, _ = node.registry.party(tx, "zz")
        (ours,) = node.search.versions(tx, node.config.node.identity)
        node.ledger.record(
            tx, party=number, actor="zz-node", way="taxii", collection=1, request="/x",
            stamps=[ours.added], epoch=tx.epoch(),
        )  # fmt: skip
    with acts.acting(BEN):
        note_reading(node, "show", "indicator--1", count=1, objects=["indicator--1"])


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node whose readings and decisions are leaves, with a signed head over them."""
    home: Path = tmp_path_factory.mktemp("node") / "th"
    found(home, Charter("th", "ThaiCERT"), SetClock())
    with Node(load_config(home), SetClock("2026-05-01T00:00:00Z")) as node:
        fill(node)
        Book(node).seal()
        Book(node).head()
        yield node


@pytest.fixture
def copy(sealed: Node, tmp_path: Path) -> Iterator[Node]:
    """A copy that somebody may change who has the file."""
    sealed.db.settle_log()
    home = shutil.copytree(sealed.home, tmp_path / "copy")
    with Node(load_config(home), SetClock("2026-05-01T00:00:00Z")) as node:
        yield node


def test_what_people_read_and_decided_are_leaves_of_their_own_types(
    sealed: Node,
) -> None:
    told = recount(sealed)
    assert (told.fault, told.checked, told.size, told.heads) == ("", 6, 6, 1)
    with sealed.db.read() as tx:
        kinds = [row.kind for row in tx.rows("SELECT kind FROM ledger.leaf ORDER BY n")]
        decided = acts.decided_by(tx, "ana", EVER, 10)
        assert [one.actor for one in acts.readers(tx, "indicator--1", EVER)] == [
            "ana",
            "ben",
        ]
    assert kinds == [1, 2, 2, 2, 3, 3]
    assert [(one.what, one.about) for one in decided] == [
        ("added a party", "zz"),
        ("made a circle", "ports"),
    ]
    assert decided[1].after == {"members": ["zz"]}


def test_a_leaf_of_a_reading_is_proven_and_shows_nothing_of_it(sealed: Node) -> None:
    with sealed.db.read() as tx:
        row = tx.row("SELECT * FROM ledger.reading WHERE n = 1")
        reading = tree.Reading(tx)
        path, root = reading.inclusion(1, 6), reading.root(6)
    text = act_leaf(kind=READING, node="th", seq=1, at=row.at, said=bytes(row.digest))
    assert includes(root, 6, 1, leaf_hash(text), path)
    assert text == orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
    assert b"ana" not in text
    assert b"example" not in text
    assert b"search" not in text


def test_a_sceptic_checks_what_left_in_a_tree_that_holds_readings_too(
    copy: Node,
) -> None:
    proof = Book(copy).prove(copy.config.node.identity)
    key = copy.signer.key.jwk["x"]
    told = subprocess.run(
        [sys.executable, "-I", VERIFIER, f"--key={key}", "-"],
        input=msgspec.json.encode(proof).decode(),
        capture_output=True,
        text=True,
        check=True,
        env={name: said for name, said in os.environ.items() if "COV" not in name},
    ).stdout
    assert "had 6 leaves" in told
    assert "Leaf 0: " in told
    assert "to zz, by taxii" in told
    assert "ana" not in told


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger.reading SET body = replace(body, 'c2', 'c3') WHERE n = 1",
        "UPDATE ledger.reading SET actor = 'ben' WHERE n = 1",
        "UPDATE ledger.reading SET at = at - 1 WHERE n = 1",
        "UPDATE ledger.reading SET body = x'00' WHERE n = 1",
        "UPDATE ledger.reading SET body = '[]' WHERE n = 1",
        "DELETE FROM ledger.reading WHERE n = 2",
        "UPDATE ledger.reading SET actor = '', body = '', salt = '' WHERE n = 3",
        "UPDATE decision SET body = replace(body, 'zz', 'vn') WHERE n = 2",
        "DELETE FROM decision WHERE n = 1",
        "UPDATE decision SET actor = '', body = '', salt = '' WHERE n = 1",
        "DELETE FROM ledger.release WHERE n = 1",
        "UPDATE ledger.release SET actor = '', request = '', rest = x'00' WHERE n = 1",
        "UPDATE ledger.release SET rest = x'00' WHERE n = 1",
        # Two rows change places: each is whole, and neither is where it was.
        "UPDATE ledger.reading SET n = CASE n WHEN 1 THEN -2 ELSE -1 END WHERE n < 3",
    ],
)
def test_a_row_that_was_changed_removed_or_moved_is_found(
    copy: Node, change: str
) -> None:
    assert not recount(copy).fault
    with copy.db.write() as tx:
        tx.run(change)
        tx.run("UPDATE ledger.reading SET n = -n WHERE n < 0")
    assert "is not what row" in recount(copy).fault


def test_a_row_that_is_put_between_others_is_found(copy: Node) -> None:
    with copy.db.write() as tx:
        tx.run(
            "INSERT INTO ledger.reading (n, at, actor, body, salt, digest) "
            "SELECT 0, at, actor, body, salt, digest FROM ledger.reading WHERE n = 1"
        )
    assert recount(copy).fault == "row 0 of reading is no leaf, and later ones are"
    with copy.db.write() as tx:
        tx.run("DELETE FROM ledger.leaf WHERE kind = 2 AND row = 2")
    assert "is of no row" in recount(copy).fault
    with copy.db.write() as tx:
        tx.run("UPDATE ledger.leaf SET row = 99 WHERE kind = 2 AND row = 3")
    assert recount(copy).fault


def test_what_is_erased_by_a_decision_is_told_and_the_tree_verifies(
    copy: Node,
) -> None:
    forgetting = Forgetting(copy)
    later = copy.clock.now() + 3_600_000_000
    with acts.acting(BEN):
        done = forgetting.erase(reason="request 7", actor="ana", until=later)
    assert done.rows == {READING: 2}
    told = recount(copy)
    assert (told.fault, told.erased) == ("", 2)
    with copy.db.read() as tx:
        assert acts.read_by(tx, "ana", EVER, 10) == []
        (decided,) = acts.decided_by(tx, "ben", EVER, 10)
        assert (decided.what, decided.why) == (acts.ERASED, "request 7")
        assert decided.after == {READING: [[1, 2]]}
        assert (
            tx.value("SELECT count(*) FROM ledger.reading WHERE length(salt) > 0") == 1
        )
    # Who takes the decision away has rows without words that nothing explains.
    with copy.db.write() as tx:
        tx.run("UPDATE decision SET body = '', actor = '', salt = '' WHERE n = 3")
    assert "is not what row" in recount(copy).fault


def test_rows_older_than_their_time_lose_their_words_and_decisions_to_erase_stay(
    tmp_path: Path, store_url: str
) -> None:
    home = tmp_path / "my"
    url = "" if store_url.startswith("sqlite") else store_url
    found(home, Charter("my", "MyCERT", store=url), SetClock("2026-01-01T00:00:00Z"))
    flags = {
        "audit": {"keep_readings": 30, "keep_decisions": 60, "keep_requests": 90},
    }
    config = load_config(home, flags=flags)
    for day, erased in (("2026-01-02", 0), ("2026-02-10", 3), ("2026-04-20", 6)):
        with Node(config, SetClock(f"{day}T00:00:00Z")) as node:
            if day == "2026-01-02":
                fill(node)
            done = Forgetting(node).expire()
            told = recount(node)
            assert (told.fault, told.erased) == ("", erased), day
    assert done.rows == {DECISION: 2, "release": 1}
    with Node(config, SetClock("2027-01-01T00:00:00Z")) as node:
        assert Forgetting(node).expire().total == 0
        with node.db.read() as tx:
            assert len(acts.decided_by(tx, "serantau", EVER, 10)) == 3


def test_a_kill_between_decision_and_erasing_is_made_good_by_the_next_run(
    copy: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = copy.clock.now() + 3_600_000_000

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(acts, "erase", killed)
        with pytest.raises(KeyboardInterrupt):
            Forgetting(copy).erase(
                reason="request 7", object_id="indicator--1", until=later
            )
    assert not recount(copy).fault
    done = Forgetting(copy).erase(
        reason="request 7", object_id="indicator--1", until=later
    )
    assert done.rows == {READING: 2}
    told = recount(copy)
    assert (told.fault, told.erased) == ("", 2)


def test_what_no_json_number_holds_is_noted_as_a_text(copy: Node) -> None:
    far = 250_000_000_000_000_000
    with acts.acting(ANA), copy.db.write() as tx:
        copy.registry.put_party(tx, Party("zy", Kind.PARTNER, until=far))
        copy.registry.put_party(tx, Party("zy", Kind.PARTNER, title="\x00 \u2028"))
    with copy.db.read() as tx:
        every = acts.decided_by(tx, "ana", EVER, 10)
    added, changed = [one for one in every if one.about == "zy"]
    assert added.after["until"] == str(far)
    assert changed.before == {"title": "", "until": str(far)}
    assert changed.after == {"title": "\x00 \u2028", "until": None}
    Book(copy).seal()
    assert not recount(copy).fault


def test_a_running_node_erases_what_is_too_old_by_itself(
    sealed: Node, tmp_path: Path
) -> None:
    sealed.db.settle_log()
    home = shutil.copytree(sealed.home, tmp_path / "copy")
    config = load_config(home, flags={"audit": {"keep_readings": 30}})
    with Node(config, SetClock("2026-07-01T00:00:00Z")) as node:
        stop = threading.Event()
        thread = threading.Thread(target=Forgetting(node).run, args=(stop,))
        thread.start()
        done = 0
        until = time.monotonic() + 60
        while not done and time.monotonic() < until:
            time.sleep(0.02)
            with node.db.read() as tx:
                done = Chores().get(tx, CHORE).done
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        assert done
        told = recount(node)
        assert (told.fault, told.erased) == ("", 3)
        with node.db.read() as tx:
            (decided,) = acts.decided_by(tx, "serantau", EVER, 10)
        assert (decided.why, decided.after) == ("retention", {READING: [[1, 3]]})


def test_nobody_is_noted_for_what_a_node_does_by_itself(copy: Node) -> None:
    with copy.db.write() as tx:
        copy.registry.put_party(tx, Party("zy", Kind.PARTNER))
        assert tx.value("SELECT count(*) FROM decision") == 2


def test_what_came_to_nothing_is_no_decision(copy: Node) -> None:
    def fail() -> None:
        with acts.acting(ANA), copy.db.write() as tx:
            copy.registry.put_party(tx, Party("zy", Kind.PARTNER))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with acts.acting(ANA), copy.db.write() as tx:
        # As it was.
        copy.registry.put_party(tx, Party("zz", Kind.PARTNER))
    with copy.db.read() as tx:
        assert tx.value("SELECT count(*) FROM decision") == 2
