"""Verifying makes everything anew, and names the first thing that differs."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk.found import Charter, found
from serantau.desk.ledger import Book
from serantau.desk.recount import recount
from serantau.errors import BadRequest, NotFound
from serantau.node import Node
from serantau.rules.party import Kind, Party
from serantau.rules.receipt import continues

LEAVES = 66_000
MORE = (
    "INSERT INTO ledger.release (at, party, actor, way, collection, grant_view, "
    "request, count, span, low, high, stamps) WITH RECURSIVE c(i) AS (SELECT 1 UNION "
    "ALL SELECT i + 1 FROM c WHERE i < :many) SELECT r.at, r.party, r.actor, r.way, "
    "r.collection, r.grant_view, r.request, r.count, r.span, r.low, r.high, r.stamps "
    "FROM ledger.release r, c WHERE r.n = 1"
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with more leaves than two levels of tiles hold."""
    home: Path = tmp_path_factory.mktemp("node") / "th"
    clock = SetClock()
    found(home, Charter("th", "ThaiCERT"), clock)
    with Node(load_config(home), clock) as made:
        with made.db.write() as tx:
            if "vn" not in made.registry.parties(tx):
                made.registry.put_party(tx, Party("vn", Kind.MEMBER))
        with made.db.read() as tx:
            number, _ = made.registry.party(tx, "vn")
            made.ledger.record(
                tx,
                party=number,
                actor="vn-node",
                way="taxii",
                collection=1,
                request="/x",
                stamps=[1],
                epoch=tx.epoch(),
            )
        with made.db.ledger() as tx:
            tx.run(MORE, many=LEAVES - 1)
        yield made


def test_a_large_tree_is_sealed_proven_and_verified(node: Node) -> None:
    book = Book(node)
    assert book.seal(0) is False
    early = book.head(0).head
    assert book.seal() is True
    late = book.head().head
    assert 0 < early.size < late.size == LEAVES
    path = [bytes.fromhex(one) for one in book.consistency(early.size, late.size)]
    assert continues(early.size, early.hash, late.size, late.hash, path)
    steps: list[int] = []
    told = recount(node, progress=lambda done, _: steps.append(done))
    assert (told.fault, told.checked, told.heads) == ("", LEAVES, 2)
    assert told.root == late.root
    assert steps == sorted(steps)
    assert steps[-1] == LEAVES
    # Nobody asks anew within minutes, and nothing has grown: it is the same head.
    assert book.head().head == late
    with pytest.raises(BadRequest, match="a tree of 9 before one of 5"):
        book.consistency(9, 5)
    with pytest.raises(BadRequest, match="has 66000 leaves"):
        book.consistency(5, LEAVES + 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE ledger.tile SET hashes = zeroblob(8192) WHERE level = 1 AND n = 0",
         "subtree 0 of level 8"),
        ("UPDATE ledger.tile SET hashes = zeroblob(544) WHERE level = 2 AND n = 0",
         "subtree 0 of level 16"),
        ("DELETE FROM ledger.tile WHERE level = 0 AND n = 1", "leaf 256 is not kept"),
        ("DELETE FROM ledger.leaf WHERE n = 300", "leaf 300 is of no row"),
        ("UPDATE ledger.release SET way = x'00' WHERE n = 400", "leaf 399 is not"),
        ("UPDATE ledger.tree_head SET signed = 'x'", "a head of"),
        ("UPDATE ledger.log SET size = 65999", "a head of 66,000 leaves was signed"),
    ],
)  # fmt: skip
def test_the_first_thing_that_differs_is_named(
    node: Node, tmp_path: Path, change: str, said: str
) -> None:
    Book(node).seal()
    Book(node).head()
    # A copy is changed, which somebody may do who has the file.
    node.db.settle_log()
    home = shutil.copytree(node.home, tmp_path / "copy")
    with Node(load_config(home), node.clock) as copy:
        with copy.db.ledger() as tx:
            tx.run(change)
        assert said in recount(copy).fault


def test_a_log_without_a_row_has_a_head_all_the_same(tmp_path: Path) -> None:
    found(tmp_path / "my", Charter("my", "MyCERT"), SetClock())
    with Node(load_config(tmp_path / "my"), SetClock()) as empty:
        assert recount(empty).size == 0
        book = Book(empty)
        with pytest.raises(NotFound, match="no tree yet"):
            book.consistency(0, 0)
        assert book.head().head.size == 0
        assert recount(empty).fault == ""


def test_a_sealer_at_work_seals_and_ends_when_it_is_told(tmp_path: Path) -> None:
    found(tmp_path / "my", Charter("my", "MyCERT"), SetClock())
    with Node(load_config(tmp_path / "my"), SetClock()) as node:
        stop = threading.Event()
        thread = threading.Thread(target=Book(node).run, args=(stop,))
        thread.start()
        with node.db.read() as tx:
            number, _ = node.registry.party(tx, "my")
            node.ledger.record_rows(
                tx, party=number, actor="", way="mail", request="", count=1, verdicts={}
            )
        until = time.monotonic() + 30
        size = 0
        while not size and time.monotonic() < until:
            with node.db.read() as tx:
                size = int(tx.value("SELECT max(size) FROM ledger.log") or 0)
            time.sleep(0.02)
        stop.set()
        thread.join(10)
        assert not thread.is_alive()
        assert size == 1
