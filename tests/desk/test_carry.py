"""A node that is carried elsewhere is the same node to whoever asks it."""

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from commands import indicator
from serantau.clock import SetClock
from serantau.config import load_config
from serantau.desk import carry
from serantau.desk.found import Charter, found
from serantau.desk.intake import Intake
from serantau.desk.share import Share
from serantau.errors import BadInput, Conflict
from serantau.node import Node
from serantau.records import tables
from serantau.records.peers import Peer, Peers
from serantau.records.registry import Caller
from serantau.records.views import Asked
from serantau.rules.marking import Tlp, make_audience
from serantau.wire.bundle import Piece
from tables import with_tables

CIRCLE = "circle--6a1f2c1e-5f0e-4d38-9a77-0d4be3c1f5aa"
LATER = "2026-04-01T00:00:00.000Z"


def take(node: Node, *objects: dict[str, Any], boxes: tuple[int, ...] = ()) -> None:
    pieces = [
        Piece(ordinal=place, offset=0, line=0, raw=orjson.dumps(one))
        for place, one in enumerate(objects, 1)
    ]
    Intake(node).take(pieces, origin="test", boxes=boxes)


def caller(node: Node, name: str) -> Caller:
    with node.db.read() as tx:
        found_ = node.registry.caller_by_name(tx, name)
    assert found_ is not None
    return found_


def pages(node: Node, user: str, alias: str, way: str) -> list[tuple[Any, ...]]:
    """Walk through a collection as a TAXII client does; give what it sees."""
    share, who, walked = Share(node), caller(node, user), []
    collection = share.offer(who, alias).collection
    after = -1
    while True:
        asked = Asked(after=after, limit=3, all_versions=True)
        page = share.page(who, collection, asked, way=way)
        walked.append((page.bodies, page.count, page.first, page.last, page.more))
        if not page.more:
            return walked
        after = page.last


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A node with something in every table."""
    home = tmp_path / "th"
    found(with_tables(home), Charter("th", "ThaiCERT"), SetClock())
    with Node(load_config(home), SetClock("2026-05-01T00:00:00Z")) as node:
        circle = make_audience(circles=[CIRCLE])
        for_circle = indicator(4, Tlp.AMBER)
        for_circle["object_marking_refs"].append(circle["id"])
        with node.db.read() as tx:
            inbox = node.registry.collection(tx, "inbox").number
        with node.db.write() as tx:
            node.registry.add_user(tx, "vn-node", "vn", "reader", "a password of vn")
            node.registry.add_token(tx, "vn-node", "federation")
            node.registry.put_circle(tx, "mekong", ["la"], circle_id=CIRCLE)
            Peers().add(tx, Peer("vn", "http://vn.example", secret="of vn"), node.seal)
            peer = Peers().get(tx, "vn", node.seal)
            Peers().advance(tx, peer, "c", resume="there", pulled=1, held=2, refused=3)
        take(node, circle, indicator(1), indicator(2, Tlp.CLEAR), for_circle)
        take(node, indicator(1, modified=LATER), indicator(3, None), boxes=(inbox,))
        take(node, indicator(5, pattern="[x"), indicator(6, name="ธนาคาร ខ្មែរ \u2028"))
        pages(node, "vn-node", "released", "before")
        with node.db.write() as tx:
            # What was there before re-enters vn's view, with new stamps.
            node.registry.put_circle(tx, "mekong", ["la", "vn"])
        collection = Share(node).offer(caller(node, "admin"), "inbox").collection
        body = orjson.dumps({"objects": [indicator(7)]})
        Intake(node).post(caller(node, "admin"), collection, body)
        with node.db.write() as tx:
            for table in tables.metadata.sorted_tables:
                if tx.connection.execute(sa.select(table).limit(1)).first() is None:
                    tx.insert(table, {one.name: made_up(one) for one in table.columns})
    return home


def made_up(column: sa.Column[Any]) -> Any:
    """Give a value of a column's type, for tables that nothing above fills."""
    kind = column.type
    if isinstance(kind, sa.Boolean):
        return True
    if isinstance(kind, sa.LargeBinary):
        return b"\x00\xff"
    return "ธนาคาร \u2028" if isinstance(kind, sa.Text) else 7


def rows(node: Node) -> dict[str, list[tuple[Any, ...]]]:
    """Read every table as it is."""
    found_: dict[str, list[tuple[Any, ...]]] = {}
    with node.db.read() as tx:
        for table in tables.metadata.sorted_tables:
            query = sa.select(table).order_by(*table.primary_key.columns)
            found_[table.name] = [tuple(row) for row in tx.connection.execute(query)]
    return found_


def test_every_row_comes_back_as_it_was(
    home: Path, tmp_path: Path, store_url: str
) -> None:
    with Node(load_config(home)) as node:
        before = rows(node)
        carry.export(node, tmp_path / "out")
    empty = {name for name, several in before.items() if not several}
    assert not empty
    again = tmp_path / "again"
    carried = carry.restore(tmp_path / "out", again, store=store_url)
    with Node(load_config(again)) as node:
        assert rows(node) == before
        assert node.db.url.render_as_string(hide_password=False) == store_url
    assert carried.rows == {name: len(several) for name, several in before.items()}


def test_a_caller_gets_the_same_pages_under_the_same_cursors(
    home: Path, tmp_path: Path, store_url: str
) -> None:
    with Node(load_config(home)) as node:
        carry.export(node, tmp_path / "out")
        before = {
            alias: pages(node, user, alias, "after")
            for user, alias in (("vn-node", "released"), ("admin", "inbox"))
        }
    carry.restore(tmp_path / "out", tmp_path / "again", store=store_url)
    with Node(load_config(tmp_path / "again")) as node:
        assert {
            alias: pages(node, user, alias, "after")
            for user, alias in (("vn-node", "released"), ("admin", "inbox"))
        } == before
    assert len(before["released"]) > 2


def test_who_got_what_search_and_secrets_are_as_before(
    home: Path, tmp_path: Path, store_url: str
) -> None:
    with Node(load_config(home)) as node:
        carry.export(node, tmp_path / "out")
    carry.restore(tmp_path / "out", tmp_path / "again", store=store_url)
    with Node(load_config(tmp_path / "again")) as node:
        share = Share(node)
        with node.db.read() as tx:
            (first,) = node.search.versions(tx, indicator(2)["id"])
            (thai,) = node.search.find(tx, "ธนาคาร")
            assert thai.id == indicator(6)["id"]
            assert Peers().get(tx, "vn", node.seal).secret == "of vn"
            assert node.registry.caller_by_password(tx, "vn-node", "a password of vn")
        (released,) = share.who_got(first)
        assert (released.party, released.way) == ("vn", "before")


def test_a_restored_node_goes_on_numbering_behind_its_last_row(
    home: Path, tmp_path: Path, store_url: str
) -> None:
    with Node(load_config(home)) as node:
        carry.export(node, tmp_path / "out")
    carry.restore(tmp_path / "out", tmp_path / "again", store=store_url)
    with Node(load_config(tmp_path / "again")) as node:
        with node.db.write() as tx:
            last = tx.value("SELECT last FROM stamp")
            node.registry.add_user(tx, "new", "vn", "reader")
            node.registry.add_token(tx, "new", "x")
            node.registry.put_collection(tx, "more", "More")
        take(node, indicator(9), indicator(10, pattern="[y"))
        pages(node, "vn-node", "released", "later")
        with node.db.read() as tx:
            (fresh,) = node.search.versions(tx, indicator(9)["id"])
            assert fresh.added > last


def test_an_export_is_for_the_nodes_user_only(home: Path, tmp_path: Path) -> None:
    with Node(load_config(home)) as node:
        carry.export(node, tmp_path / "out")
    for path in (tmp_path / "out", *(tmp_path / "out").rglob("*")):
        assert not path.stat().st_mode & 0o077, path


def test_a_damaged_export_restores_nothing(home: Path, tmp_path: Path) -> None:
    with Node(load_config(home)) as node:
        carry.export(node, tmp_path / "out")
    file = tmp_path / "out" / "object.ndjson"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(BadInput, match="not as it was exported"):
        carry.restore(tmp_path / "out", tmp_path / "again")
    assert not (tmp_path / "again" / "serantau.toml").exists()
    file.write_bytes(b"".join(lines))
    carry.restore(tmp_path / "out", tmp_path / "again")


def test_what_was_broken_off_is_no_export(home: Path, tmp_path: Path) -> None:
    with Node(load_config(home)) as node:
        carry.export(node, tmp_path / "out")
        with pytest.raises(Conflict, match="not empty"):
            carry.export(node, tmp_path / "out")
    (tmp_path / "out" / "export.toml").unlink()
    with pytest.raises(BadInput, match="no whole export"):
        carry.restore(tmp_path / "out", tmp_path / "again")


def test_an_export_of_other_tables_is_refused_with_what_to_do(
    home: Path, tmp_path: Path
) -> None:
    with Node(load_config(home)) as node:
        carry.export(node, tmp_path / "out")
    manifest = tmp_path / "out" / "export.toml"
    manifest.write_text(manifest.read_text().replace('revision = "', 'revision = "9'))
    with pytest.raises(BadInput, match="exported by version"):
        carry.restore(tmp_path / "out", tmp_path / "again")


def test_a_node_is_never_restored_over_another(home: Path, tmp_path: Path) -> None:
    with Node(load_config(home)) as node:
        carry.export(node, tmp_path / "out")
    with pytest.raises(Conflict, match="There is a node"):
        carry.restore(tmp_path / "out", home)
    shutil.copytree(home, tmp_path / "copy")
    (tmp_path / "copy" / "serantau.toml").unlink()
    with pytest.raises(Conflict, match="a node's data already"):
        carry.restore(tmp_path / "out", tmp_path / "copy")


def test_progress_counts_up_to_all_rows(home: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    with Node(load_config(home)) as node:
        total = carry.count(node)
        carry.export(node, tmp_path / "out", lambda done, _: steps.append(done))
    assert steps == sorted(steps)
    assert steps[-1] == total
